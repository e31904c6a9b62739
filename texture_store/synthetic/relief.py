"""What is seen from above: for every pixel the height and the sphere on top."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from texture_store.synthetic.bed import Bed

HOLDER = -1
"""In `Relief.sphere`: no sphere here, the holder is seen."""


@dataclass(frozen=True)
class Relief:
    """The visible surface, seen straight from above (no perspective). All arrays are (H, W)."""

    height_um: npt.NDArray[np.float32]
    """Height over the holder, 0 where it shows."""
    sphere: npt.NDArray[np.int32]
    """Index of the visible sphere in the bed, or HOLDER."""


def visible_surface(bed: Bed, *, size: int, um_per_px: float, margin_um: float) -> Relief:
    """The surface in a window of `size` x `size` px whose corner lies `margin_um` inside the bed's corner.

    A depth buffer: of all spheres over a pixel's centre the one with the highest surface there is seen.
    """
    height_um = np.zeros((size, size), np.float32)
    sphere = np.full((size, size), HOLDER, np.int32)
    centres_px = (np.arange(size) + 0.5) * um_per_px + margin_um
    for index, (x, y, z, radius) in enumerate(zip(bed.x_um, bed.y_um, bed.z_um, bed.radii_um, strict=True)):
        left, right = (_pixel(edge - margin_um, um_per_px, size) for edge in (x - radius, x + radius))
        top, bottom = (_pixel(edge - margin_um, um_per_px, size) for edge in (y - radius, y + radius))
        if left == right or top == bottom:
            continue
        dx = centres_px[left:right] - x
        dy = centres_px[top:bottom, None] - y
        room = radius * radius - dx * dx - dy * dy
        # Where a pixel's centre is not under the sphere its surface is put below the holder, so that it never wins.
        surface = np.where(room > 0.0, z + np.sqrt(np.maximum(room, 0.0)), -1.0).astype(np.float32)
        window = height_um[top:bottom, left:right]
        wins = surface > window
        np.copyto(window, surface, where=wins)
        np.copyto(sphere[top:bottom, left:right], np.int32(index), where=wins)
    return Relief(height_um, sphere)


def _pixel(edge_um: float, um_per_px: float, size: int) -> int:
    """Index of the pixel whose centre comes first after `edge_um`, kept in 0..size."""
    return min(max(ceil(edge_um / um_per_px - 0.5), 0), size)
