"""A micrograph at its own aspect, with a bar of a round length."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

_LONGEST_SHARE = 1 / 3
"""Of the picture's width."""
_THICKNESS = 0.5
"""Of the text's size."""
_POINTS_PER_INCH = 72
_LEAST_UM, _MOST_UM = 1e-6, 1e9
"""Um per px outside of this are no microscope's: metadata that went wrong."""


@dataclass(frozen=True)
class PixelShape:
    """How a pixel of a seen picture is to be shown."""

    aspect: float = 1.0
    """Its height as a share of its width."""
    um_per_px: float | None = None
    """Its width, if it is known."""


def pixel_shape(facts: Mapping[str, Any]) -> PixelShape:
    """The shape of a seen pixel, from the columns um_per_px_x/y and px_per_px_x/y of schemas.MICROGRAPHS.

    In um where both axes are known, so that one bar holds along both; else in px of the file, so that a picture that
    was stretched for the network is shown as the file shows it. Columns may be absent: pixels are square then.
    """
    um_x, um_y = (_scale(facts.get(f"um_per_px_{axis}")) for axis in "xy")
    if um_x is not None and um_y is not None:
        return PixelShape(um_y / um_x, um_x)
    px_x, px_y = (_scale(facts.get(f"px_per_px_{axis}")) for axis in "xy")
    return PixelShape() if px_x is None or px_y is None else PixelShape(px_y / px_x)


def nice_length(longest: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not longer."""
    exponent = math.floor(math.log10(longest))
    # Parsed, not multiplied: 5 * 10**-3 is not 0.005. The next power too, as the logarithm of 1000 may come out low.
    lengths = [float(f"{step}e{power}") for power in (exponent - 1, exponent, exponent + 1) for step in (1, 2, 5)]
    return max(length for length in lengths if length <= longest)


def length_text(length_um: float) -> str:
    """Such as `20 µm`, and under 1 um `500 nm`."""
    return f"{length_um:g} µm" if length_um >= 1 else f"{length_um * 1000:g} nm"


def show_micrograph(
    axes: Axes, picture: np.ndarray, shape: PixelShape, *, overlay: np.ndarray | None = None, text_size: float = 8
) -> None:
    """Draw a uint8 picture (H, W) in px coordinates, unstretched, with a scale bar where the scale is known.

    `overlay`, uint8 RGBA (H, W, 4), is drawn between picture and bar.
    """
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent, aspect=shape.aspect)
    if overlay is not None:
        axes.imshow(overlay, extent=extent, aspect=shape.aspect)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if shape.um_per_px is None:
        return
    length_um = nice_length(width * shape.um_per_px * _LONGEST_SHARE)
    bar = AnchoredSizeBar(
        axes.transData,
        length_um / shape.um_per_px,
        length_text(length_um),
        loc="lower right",
        size_vertical=_THICKNESS * text_size * _px_per_point(axes, width, height * shape.aspect) / shape.aspect,
        color="white",
        fill_bar=True,
        pad=0.35,
        sep=3,
        borderpad=0.4,
        label_top=True,
        fontproperties=FontProperties(size=text_size),
    )
    bar.size_bar.get_children()[0].set_linewidth(0)  # an outline makes it longer than it says
    # On black that lets little through: a white bar alone is lost on bright micrographs, a black one on dark ones.
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.65)
    axes.add_artist(bar)


def _px_per_point(axes: Axes, width: float, height: float) -> float:
    """Px of a picture of width x height (square) px on a point of paper, when it is fitted into the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes that are drawn on are in a figure"
    room = axes.get_position(original=True)
    inches_x, inches_y = figure.get_size_inches() * room.size
    return float(max(width / inches_x, height / inches_y)) / _POINTS_PER_INCH


def _scale(value: object) -> float | None:
    """A usable number of um or px; None for an absent or impossible one."""
    if not isinstance(value, int | float | np.number):
        return None
    number = float(value)
    return number if _LEAST_UM <= number <= _MOST_UM else None
