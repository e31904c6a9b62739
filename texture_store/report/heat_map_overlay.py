"""The colours of an activation over a micrograph: dark where there is none, so that the micrograph shows through."""

import matplotlib
import numpy as np
import numpy.typing as npt

from texture_store.explain.heat_map import enlarge
from texture_store.micrograph.resize import resize
from texture_store.spec import Layer

OPACITY = 190
"""Of 255, of the highest activation over its micrograph."""


def overlay_colours(shares: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """RGBA (H, W, 4) of an activation (H, W) as shares of the highest one; opacity falls with the square root of it."""
    shares = np.clip(shares, 0, 1)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.7 * shares, bytes=True)  # its ends are black and white
    colours[..., 3] = np.rint(OPACITY * np.sqrt(shares))
    return np.asarray(colours, np.uint8)


def heat_map_overlay(
    picture: npt.NDArray[np.uint8], activation: npt.NDArray[np.uint8], layer: Layer, *, seen: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """RGB (H, W, 3): a picture (H, W), maybe smaller than what the network saw, under a filter's activation.

    activation (h, w): in proportion to the map; `seen` is (height, width) of what the network saw, px. Full colour
    stands for the 99.5th percentile of the map, since single peaks would leave everything else dark. Raises
    DimensionMismatchError when the map is not one of such a picture.
    """
    height, width = picture.shape
    top = float(np.percentile(activation, 99.5)) or max(1.0, float(activation.max()))
    shares = enlarge(activation.astype(np.float32) / top, layer, *seen)
    colours = overlay_colours(resize(shares, width, height, method="bilinear"))
    opacity = colours[..., 3:].astype(np.float32) / 255
    mixed = opacity * colours[..., :3] + (1 - opacity) * picture[..., None]
    return np.asarray(np.rint(mixed), np.uint8)
