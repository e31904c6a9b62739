"""What a filter answers to: its texture beside the patches and micrographs of the archive that it is most active in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from texture_store.explain.patches import Patch
from texture_store.report.figure_text import QUIET, activation_text, fitting, wrapped, write
from texture_store.report.scale_bar import PixelShape, pixel_shape, show_micrograph
from texture_store.spec import Layer

_CELL, _GAP, _MARGIN, _NAME, _CAPTION, _HEAD, _COLUMN_HEAD = 1.5, 0.1, 0.12, 1.15, 0.44, 0.4, 0.24
"""Inches: side of a picture, space between two, at the edge, for a row's name, under a picture, for titles."""
_LEAST_CELL = 1.0
"""So that a row of flat pictures leaves room for its name."""
_DPI = 150
_BOX = "#ffb000"
"""Amber, with a black rim: seen on light and on dark, and without colour vision."""


@dataclass(frozen=True)
class Exemplar:
    """A micrograph of high mean activation."""

    picture: np.ndarray
    """uint8 (H, W), as the network sees it."""
    patch: Patch
    """Where in it the filter is most active (explain.patches.best_patch)."""
    mean_activation: float
    """Over the whole picture: the feature."""
    path: str
    label: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Columns of schemas.MICROGRAPHS, for scale bar and aspect."""


@dataclass(frozen=True)
class FilterExemplars:
    """A row of the figure."""

    layer: Layer
    filter_number: int
    exemplars: Sequence[Exemplar]
    """The highest first."""
    texture: np.ndarray | None = None
    """uint8 (H, W) or (H, W, 3): what maximises the filter."""
    note: str = ""
    """Such as the importance, or the mean activation of each class."""


def exemplar_figure(filters: Sequence[FilterExemplars], *, title: str) -> Figure | None:
    """A row for each filter: name, texture, top patches, and the micrographs that they lie in with the patches' boxes.

    Rows may have different numbers of exemplars, and no texture. None without a filter.
    `evaluation_figures.figure_bytes` makes the file.
    """
    if not filters:
        return None
    has_textures = any(row.texture is not None for row in filters)
    most = max(len(row.exemplars) for row in filters)
    starts = _starts(has_textures, most)
    cells = [_cell_height(row) for row in filters]
    width = max(starts["end"] + _MARGIN, 5.0)
    height = _HEAD + _COLUMN_HEAD + sum(cells) + len(filters) * _CAPTION + _MARGIN
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    write(figure, _MARGIN, 0.1, fitting(title, width - 2 * _MARGIN, size=11, weight="bold"), size=11, weight="bold")
    for name in ("texture", "patches", "micrographs"):
        if (name == "texture" and has_textures) or (name != "texture" and most):
            write(figure, starts[name], _HEAD + 0.02, name, size=9, colour=QUIET)
    top = _HEAD + _COLUMN_HEAD
    for row, cell in zip(filters, cells, strict=True):
        _draw_row(figure, row, starts, top, cell)
        top += cell + _CAPTION
    return figure


def _starts(has_textures: bool, most: int) -> dict[str, float]:
    """Where each group of columns begins."""
    step = _CELL + _GAP
    texture = _MARGIN + _NAME
    patches = texture + (step + _GAP if has_textures else 0)
    micrographs = patches + most * step + (_GAP if most else 0)
    return {"texture": texture, "patches": patches, "micrographs": micrographs, "end": micrographs + most * step - _GAP}


def _cell_height(row: FilterExemplars) -> float:
    """Of the highest picture in a row, all being fitted into a square."""
    if row.texture is not None:
        return _CELL
    highest = _LEAST_CELL
    for exemplar in row.exemplars:
        rows, columns = exemplar.picture.shape
        # A patch is as high for its width as its pixels are.
        highest = max(highest, _CELL * pixel_shape(exemplar.facts).aspect * max(1.0, rows / columns))
    return min(_CELL, highest)


def _draw_row(figure: Figure, row: FilterExemplars, starts: Mapping[str, float], top: float, cell: float) -> None:
    write(figure, _MARGIN, top, row.layer, size=10, weight="bold")
    write(figure, _MARGIN, top + 0.19, f"filter {row.filter_number}", size=10, weight="bold")
    for number, line in enumerate(wrapped(row.note, _NAME - _GAP, size=7, lines=4)):
        write(figure, _MARGIN, top + 0.42 + 0.13 * number, line, size=7, colour=QUIET)
    if row.texture is not None:
        show_micrograph(_axes(figure, starts["texture"], top, cell), row.texture, PixelShape())
    for number, exemplar in enumerate(row.exemplars):
        shift = number * (_CELL + _GAP)
        shape = pixel_shape(exemplar.facts)
        left = starts["patches"] + shift
        patch = exemplar.patch.cut(exemplar.picture)
        show_micrograph(_axes(figure, left, top, cell), patch, shape, text_size=6)
        _caption(figure, left, top + cell, f"mean {activation_text(exemplar.patch.mean_activation)}", "")
        left = starts["micrographs"] + shift
        axes = _axes(figure, left, top, cell)
        show_micrograph(axes, exemplar.picture, shape, text_size=6)
        _draw_box(axes, exemplar.patch)
        mean = f"mean {activation_text(exemplar.mean_activation)}"
        named = mean if exemplar.label is None else f"{mean}, {exemplar.label}"
        _caption(figure, left, top + cell, named, exemplar.path)


def _axes(figure: Figure, left: float, top: float, cell: float) -> Axes:
    """Axes for one picture, which stands at the foot of its cell."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, 1 - (top + cell) / height, _CELL / width, cell / height))
    axes.set_anchor("S")
    return axes


def _draw_box(axes: Axes, patch: Patch) -> None:
    for colour, line_width in (("black", 2.4), (_BOX, 1.2)):
        box = Rectangle(
            (patch.left, patch.top), patch.side, patch.side, fill=False, edgecolor=colour, linewidth=line_width
        )
        axes.add_patch(box)


def _caption(figure: Figure, left: float, foot: float, first: str, second: str) -> None:
    write(figure, left, foot + 0.04, fitting(first, _CELL, size=7), size=7)
    write(figure, left, foot + 0.17, fitting(second, _CELL, size=7), size=7, colour=QUIET)
