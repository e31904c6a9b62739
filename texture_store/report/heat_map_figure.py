"""One filter's activation over a micrograph (the paper's Figure 10)."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from texture_store.explain.heat_map import enlarge
from texture_store.report.figure_text import QUIET, fitting, write
from texture_store.report.scale_bar import pixel_shape, show_micrograph
from texture_store.report.three_digits import three_digits
from texture_store.spec import Layer

_COLOURS = "inferno"
"""Perceptually uniform: equal steps of activation look equal, in grey print too."""
_ALPHA = 0.5
_LONGEST_SIDE = 4.2
_DPI = 150
_MARGIN, _GAP, _HEAD, _BAR_WIDTH, _BAR_ROOM = 0.12, 0.12, 0.62, 0.13, 0.72
"""Inches, as all lengths here."""
_LEAST_WIDTH = 5.0
"""So that a tall picture leaves room for the title."""
_LEAST_HEIGHT = 1.0
"""So that a flat picture leaves room for the colour bar."""


def heat_map_figure(
    picture: np.ndarray,
    activation: np.ndarray,
    *,
    layer: Layer,
    filter_number: int,
    path: str,
    facts: Mapping[str, Any],
    label: str | None = None,
) -> Figure:
    """The micrograph, and beside it the same with a filter's activation over it.

    `picture` is what the network saw, uint8 (H, W); `activation` is the filter's map, float (h, w), of
    explain.heat_map.activation_maps; `facts` are the picture's columns of schemas.MICROGRAPHS, of which um_per_px_x/y
    and px_per_px_x/y are used. Colours go from 0 to the map's highest activation. `evaluation_figures.figure_bytes`
    makes the file.

    Raises DimensionMismatchError when the map is not one of such a picture.
    """
    height, width = picture.shape
    large = enlarge(activation, layer, height, width)
    shape = pixel_shape(facts)
    shown_width, shown_height = _shown_size(width, height * shape.aspect)
    total_width = max(_LEAST_WIDTH, 2 * shown_width + 2 * _MARGIN + _GAP + _BAR_ROOM)
    total_height = _HEAD + max(_LEAST_HEIGHT, shown_height) + _MARGIN
    figure = Figure(figsize=(total_width, total_height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    _write_title(figure, total_width, activation, layer, filter_number, path, label)

    def place(left: float, room: float) -> tuple[float, float, float, float]:
        bottom = (total_height - _HEAD - shown_height) / total_height
        return left / total_width, bottom, room / total_width, shown_height / total_height

    colours = _colours(activation)
    overlay = colours.to_rgba(large, bytes=True)
    overlay[..., 3] = round(255 * _ALPHA)
    second = _MARGIN + shown_width + _GAP
    show_micrograph(figure.add_axes(place(_MARGIN, shown_width)), picture, shape)
    show_micrograph(figure.add_axes(place(second, shown_width)), picture, shape, overlay=overlay)
    axes = figure.add_axes(place(second + shown_width + _GAP, _BAR_WIDTH))
    bar = figure.colorbar(_as_over(colours, picture), cax=axes)
    bar.set_label("activation", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return figure


def _shown_size(width: float, height: float) -> tuple[float, float]:
    scale = _LONGEST_SIDE / max(width, height)
    return width * scale, height * scale


def _colours(activation: np.ndarray) -> ScalarMappable:
    highest = float(activation.max())
    # `input` is below 0 where a picture is darker than the mean; a filter that is silent here has a scale all the same.
    limits = Normalize(min(0.0, float(activation.min())), highest if highest > 0 else 1.0)
    return ScalarMappable(limits, matplotlib.colormaps[_COLOURS])


def _as_over(colours: ScalarMappable, picture: np.ndarray) -> ScalarMappable:
    """The colours as they look over the picture's mean grey: those that the eye looks up in the colour bar."""
    over = colours.get_cmap()(np.arange(256))
    over[:, :3] = _ALPHA * over[:, :3] + (1 - _ALPHA) * picture.mean() / 255
    return ScalarMappable(colours.norm, ListedColormap(over))


def _write_title(
    figure: Figure,
    width: float,
    activation: np.ndarray,
    layer: Layer,
    filter_number: int,
    path: str,
    label: str | None,
) -> None:
    mean = float(activation.mean(dtype=np.float64))
    title = f"{layer} filter {filter_number}, mean activation {three_digits(mean)}"
    write(figure, _MARGIN, 0.1, title, size=10, weight="bold")
    name = path if label is None else f"{path}  [{label}]"
    write(figure, _MARGIN, 0.34, fitting(name, width - 2 * _MARGIN, size=8), size=8, colour=QUIET)
