"""Rows of pictures with a line or two under each, all cells of one size."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from texture_store.explain.positions import Box
from texture_store.report.figure_text import INK, QUIET, fitting, wrapped, write
from texture_store.report.scale_bar import PixelShape, show_micrograph

_CELL, _GAP, _MARGIN, _LINE = 1.6, 0.12, 0.15, 0.13
"""Inches, as all lengths here: side of a cell, space between two, at the edge, a line of text under a picture."""
_TITLE, _ROW_TITLE, _NOTE, _ROW_GAP = 0.36, 0.3, 0.16, 0.1
_LEAST_COLUMNS = 4
_BOLDER = 1.15
"""Bold letters are that much wider."""
_DPI = 150
_BOX = "#ffb000"
"""Amber, with a black rim: seen on light and on dark, and without colour vision."""


@dataclass(frozen=True)
class GridCell:
    """A picture with its text."""

    picture: np.ndarray | None
    """uint8 (H, W) or (H, W, 3); None leaves its place empty."""
    lines: Sequence[str] = ()
    """Under it; the first one is darker."""
    shape: PixelShape = field(default_factory=PixelShape)
    overlay: np.ndarray | None = None
    """uint8 RGBA (h, w, 4) over the picture."""
    box: Box | None = None
    """A part that is framed, in px of the picture."""


@dataclass(frozen=True)
class GridRow:
    """A row under a title."""

    title: str
    cells: Sequence[GridCell]
    lines: Sequence[str] = ()
    """Between the title and the pictures."""


def grid_figure(rows: Sequence[GridRow], *, title: str, notes: Sequence[str] = ()) -> Figure | None:
    """The rows under each other; a row takes the height of its highest picture. `notes` are under the title.

    `evaluation_figures.figure_bytes` makes the file. None without a row.
    """
    rows = [row for row in rows if row.cells]
    if not rows:
        return None
    columns = max(_LEAST_COLUMNS, *(len(row.cells) for row in rows))
    width = 2 * _MARGIN + columns * (_CELL + _GAP) - _GAP
    notes = [line for note in notes for line in wrapped(note, width - 2 * _MARGIN, size=8, lines=4)]
    heights = [max(_height(cell) for cell in row.cells) for row in rows]
    texts = [_LINE * max(len(cell.lines) for cell in row.cells) for row in rows]
    between = [wrapped("\n".join(row.lines), width - 2 * _MARGIN, size=8, lines=4) for row in rows]
    heads = [_ROW_TITLE * bool(row.title) + 0.15 * len(lines) for row, lines in zip(rows, between, strict=True)]
    head = _TITLE + _NOTE * len(notes)
    figure = Figure(
        figsize=(width, head + sum(heights) + sum(texts) + sum(heads) + len(rows) * _ROW_GAP + _MARGIN),
        dpi=_DPI,
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    write(figure, _MARGIN, 0.1, fitting(title, width - 2 * _MARGIN, size=_BOLDER * 11), size=11, weight="bold")
    for number, note in enumerate(notes):
        write(figure, _MARGIN, _TITLE + _NOTE * number, note, size=8, colour=QUIET)
    top = head
    for row, lines, row_head, height, text in zip(rows, between, heads, heights, texts, strict=True):
        write(
            figure, _MARGIN, top + 0.1, fitting(row.title, width - 2 * _MARGIN, size=_BOLDER * 9), size=9, weight="bold"
        )
        for number, line in enumerate(lines):
            write(figure, _MARGIN, top + 0.27 + 0.15 * number, line, size=8, colour=QUIET)
        top += row_head
        for number, cell in enumerate(row.cells):
            _draw(figure, cell, _MARGIN + number * (_CELL + _GAP), top, height)
        top += height + text + _ROW_GAP
    return figure


def _height(cell: GridCell) -> float:
    if cell.picture is None:
        return _CELL
    rows, columns = cell.picture.shape[:2]
    return float(min(_CELL, _CELL * rows * cell.shape.aspect / columns))


def _draw(figure: Figure, cell: GridCell, left: float, top: float, height: float) -> None:
    if cell.picture is not None:
        whole_width, whole_height = figure.get_size_inches()
        place = (
            left / whole_width,
            1 - (top + height) / whole_height,
            _CELL / whole_width,
            height / whole_height,
        )
        axes = figure.add_axes(place)
        axes.set_anchor("SW")
        show_micrograph(axes, cell.picture, cell.shape, overlay=cell.overlay, text_size=6)
        if cell.box is not None:
            left_px, top_px, right_px, bottom_px = cell.box
            for colour, line_width in (("black", 2.4), (_BOX, 1.2)):
                axes.add_patch(
                    Rectangle(
                        (left_px, top_px),
                        right_px - left_px,
                        bottom_px - top_px,
                        fill=False,
                        edgecolor=colour,
                        linewidth=line_width,
                    )
                )
    for number, line in enumerate(cell.lines):
        y = top + height + 0.03 + _LINE * number
        write(figure, left, y, fitting(line, _CELL, size=7), size=7, colour=QUIET if number else INK)
