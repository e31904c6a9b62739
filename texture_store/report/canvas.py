"""A drawing in sheet pixels, y downwards, and its PNG: what the sheets share."""

import io
import warnings
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

INK, QUIET, WARNING, PROBLEM = "#1f2328", "#59636e", "#9a4b00", "#d1242f"
_DPI = 100
_measuring: Any = RendererAgg
"""Untyped in matplotlib."""
_FONT = "DejaVu Sans"
_MOST_CHARACTERS = 400
"""That are measured of a text."""


def blank(width: int, height: int) -> Axes:
    """White axes of width x height px: one unit is one px, (0, 0) is the upper left corner."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return axes


def draw_picture(axes: Axes, picture: np.ndarray, x: float, y: float, width: float, height: float) -> None:
    """(H, W) uint8 on width x height px from the upper left corner (x, y), pixels as squares."""
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(x, x + width, y + height, y),
        interpolation="nearest",
        aspect="auto",
    )
    axes.set(xlim=limits[0], ylim=limits[1])  # imshow has changed them


def draw_box(axes: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    """A filled rectangle from the upper left corner (x, y)."""
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, linewidth=0))


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 8,
    colour: str = INK,
    weight: str = "normal",
) -> None:
    """Plain text with its left middle at (x, y): `$` is no formula, control characters are shown as `?`."""
    axes.text(x, y, plain(text), fontsize=size, color=colour, fontweight=weight, va="center", parse_math=False)


def plain(text: str) -> str:
    """Untrusted text on one line: what cannot be printed becomes `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shortened(text: str, width: float, *, size: float = 8, weight: str = "normal") -> str:
    """`plain` text that `write` makes no wider than `width` px: of a longer one the middle is left out."""
    font = FontProperties(family=_FONT, size=size, weight=weight)
    renderer = _measuring(1, 1, _DPI)
    text = plain(text)

    def fits(shown: str) -> bool:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")
            return bool(renderer.get_text_width_height_descent(shown, font, False)[0] <= width)

    if len(text) <= _MOST_CHARACTERS and fits(text):
        return text
    fitting, too_many = 0, min(len(text), _MOST_CHARACTERS)
    while too_many - fitting > 1:
        kept = (fitting + too_many) // 2
        fitting, too_many = (kept, too_many) if fits(_without_middle(text, kept)) else (fitting, kept)
    return _without_middle(text, fitting)


def _without_middle(text: str, kept: int) -> str:
    tail = (kept + 1) // 2
    return f"{text[: kept - tail]}…{text[len(text) - tail :]}"


def png(axes: Axes) -> bytes:
    """The drawing, the same bytes for the same calls."""
    encoded = io.BytesIO()
    figure = axes.get_figure(root=True)
    assert figure is not None  # they are of `blank`
    with warnings.catch_warnings(), matplotlib.rc_context({"font.family": [_FONT]}):
        warnings.filterwarnings("ignore", message="Glyph")  # a path may be in any script; a box is drawn then
        figure.savefig(encoded, format="png", dpi=_DPI, metadata={"Software": None})
    return encoded.getvalue()
