"""The surface of the particles: facets of crystal grains with fine roughness, as on zinc powder.

One tile, made once per process from a fixed seed, serves all particles; each sees its own part of it.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

TILE_PX = 512
"""Side of the tile; a power of two, so that coordinates wrap with a mask."""

UM_PER_TILE_PX = 0.1
NUM_GRAINS = 700
"""Grains in a tile: about 2 um across, a good deal smaller than most particles."""

Tile = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grain:
    """A surface that wraps around at its edges. All arrays are float32 (TILE_PX, TILE_PX)."""

    brightness: Tile
    """Signal relative to 1, mean 0."""
    tilt_x: Tile
    """Slope of the surface, which turns its normal."""
    tilt_y: Tile


@cache
def grain_tile() -> Grain:
    """The tile; the same in every process."""
    rng = np.random.default_rng(20170901)
    seeds = rng.random((NUM_GRAINS, 2)) * TILE_PX
    pixels = np.stack(np.meshgrid(np.arange(TILE_PX), np.arange(TILE_PX), indexing="ij"), axis=-1) + 0.5
    distances, nearest = cKDTree(seeds, boxsize=TILE_PX).query(pixels.reshape(-1, 2), k=2)
    grains = nearest[:, 0].reshape(TILE_PX, TILE_PX)
    # The two nearest seeds are equally far on a boundary: etched grain boundaries are dark lines there.
    gap_px = (distances[:, 1] - distances[:, 0]).reshape(TILE_PX, TILE_PX)
    boundary = np.exp(-gap_px / 2.5)
    white = rng.standard_normal((TILE_PX, TILE_PX))
    rough = gaussian_filter(white, 2.5, mode="wrap")
    rough /= rough.std()
    facets = rng.standard_normal((3, NUM_GRAINS))
    slope_y, slope_x = np.gradient(rough)
    brightness = 0.11 * facets[0][grains] - 0.35 * boundary + 0.07 * rough
    return Grain(
        brightness=(brightness - brightness.mean()).astype(np.float32),
        tilt_x=(0.14 * facets[1][grains] - 0.4 * slope_x).astype(np.float32),
        tilt_y=(0.14 * facets[2][grains] - 0.4 * slope_y).astype(np.float32),
    )
