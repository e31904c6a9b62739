"""A dataset in two dimensions: a point an image, coloured by label."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from texture_store.report.figure_text import INK, QUIET, fitting

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, told apart without colour vision."""
_MARKERS = "osD^vPX"
_DPI = 150
_LEGEND_INCHES = 1.9
_LARGE, _SMALL, _MANY = 26, 10, 1000
"""Square points of a marker, and how many images make it small."""


def map_figure(
    points: np.ndarray,
    labels: Sequence[str | None],
    *,
    title: str,
    axes_names: tuple[str, str],
    marked: Mapping[int, str] | None = None,
) -> Figure:
    """Points float (n, 2) with one label each, None for images without one; `marked` rows get a ring and a name.

    `evaluation_figures.figure_bytes` makes the file.
    """
    names = sorted({label for label in labels if label is not None})
    figure = Figure(figsize=(8.2, 6.2), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(fitting(title, 7.5, size=10), fontsize=10, loc="left", parse_math=False)
    of_row = np.array([-1 if label is None else names.index(label) for label in labels])
    size = _LARGE if len(points) <= _MANY else _SMALL
    without = of_row == -1
    if without.any():
        name = "no label" if names else None
        axes.scatter(
            points[without, 0], points[without, 1], s=size, color="#b0b7bf", marker=".", label=name, linewidths=0
        )
    for number, name in enumerate(names):
        # The same pair of colour and marker does not come twice within 49 classes.
        marker = _MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)]
        axes.scatter(
            points[of_row == number, 0],
            points[of_row == number, 1],
            s=size,
            alpha=0.75,
            linewidths=0,
            color=_COLOURS[number % len(_COLOURS)],
            marker=marker,
            # Matplotlib leaves names that begin with _ out of legends.
            label=f"\u200b{fitting(name, _LEGEND_INCHES, size=8)}",
        )
    for row, text in (marked or {}).items():
        axes.scatter(points[row, 0], points[row, 1], s=110, facecolors="none", edgecolors=INK, linewidths=1)
        axes.annotate(
            text, points[row], xytext=(7, 5), textcoords="offset points", fontsize=8, color=INK, parse_math=False
        )
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    axes.tick_params(labelsize=7, colors=QUIET)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if names:
        legend = figure.legend(loc="outside right upper", fontsize=8, frameon=False)
        for entry in legend.get_texts():
            entry.set_parse_math(False)
    return figure
