"""How bright the visible surface is for the detector of a scanning electron microscope."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from texture_store.synthetic.bed import Bed
from texture_store.synthetic.grain import TILE_PX, UM_PER_TILE_PX, grain_tile
from texture_store.synthetic.relief import Relief

Picture = npt.NDArray[np.float32]

HOLDER_SIGNAL = 0.22
"""The carbon tape under the powder emits few electrons."""

MAX_EDGE_GAIN = 4.0
"""Where the surface is nearly parallel to the beam the escape depth limits the gain."""


@dataclass(frozen=True)
class Normals:
    """Unit vectors at right angles to the visible surface; z points to the eye. All arrays are float32 (H, W)."""

    x: Picture
    y: Picture
    z: Picture


def secondary_electron_signal(
    bed: Bed, relief: Relief, *, um_per_px: float, margin_um: float, rng: np.random.Generator
) -> Picture:
    """(H, W) float32 signal, about 0..3: facing the detector and edge-on is bright, pits and gaps are dark.

    Yield over a surface whose normal is at an angle t to the beam grows as 1 / cos t (Goldstein et al., Scanning
    Electron Microscopy and X-Ray Microanalysis, chapter on secondary electrons). The detector stands at the upper
    left. How little of a pit's signal gets out is judged by its depth under its surroundings at two widths.
    """
    normals, brightness = _rough_normals(bed, relief, um_per_px=um_per_px, margin_um=margin_um, rng=rng)
    azimuth = np.deg2rad(rng.uniform(200.0, 250.0))
    towards = np.array([0.6 * np.cos(azimuth), 0.6 * np.sin(azimuth), 0.8], np.float32)
    facing = normals.x * towards[0] + normals.y * towards[1] + normals.z * towards[2]
    edge = np.minimum(1.0 / np.maximum(normals.z, 0.05), MAX_EDGE_GAIN)
    emitted = (1.0 + brightness) * (0.35 + 0.65 * np.maximum(facing, 0.0)) + 0.28 * (edge - 1.0)
    emitted = np.where(relief.sphere >= 0, emitted, HOLDER_SIGNAL * (1.0 + brightness))
    return np.asarray(emitted * _escaping_share(relief.height_um, um_per_px), dtype=np.float32)


def _rough_normals(
    bed: Bed, relief: Relief, *, um_per_px: float, margin_um: float, rng: np.random.Generator
) -> tuple[Normals, Picture]:
    """Normals with the tilt of the surface grain, and the grain's relative brightness."""
    num_spheres = len(bed.radii_um)
    offsets = rng.integers(0, TILE_PX, (2, num_spheres + 1))
    # The last entry stands for the holder: index HOLDER = -1.
    x, y, z, radii = (
        np.append(values, last).astype(np.float32)
        for values, last in ((bed.x_um, 0.0), (bed.y_um, 0.0), (bed.z_um, -1.0), (bed.radii_um, 1.0))
    )
    which = relief.sphere
    size = which.shape[0]
    centres_um = ((np.arange(size) + 0.5) * um_per_px + margin_um).astype(np.float32)
    radius = radii[which]
    across = (centres_um[None, :] - x[which]) / radius
    down = (centres_um[:, None] - y[which]) / radius
    up = np.where(which >= 0, np.clip((relief.height_um - z[which]) / radius, 0.0, 1.0), np.float32(1.0))
    holder = which < 0
    # Stereographic coordinates on the sphere: the grain keeps its shape and is foreshortened towards the rim.
    stretch = np.where(holder, np.float32(1.0), 2.0 / (1.0 + up)) * radius / np.float32(UM_PER_TILE_PX)
    columns = (across * stretch).astype(np.int32) + offsets[0][which]
    rows = (down * stretch).astype(np.int32) + offsets[1][which]
    at = (rows & (TILE_PX - 1)) * TILE_PX + (columns & (TILE_PX - 1))
    tile = grain_tile()
    across = np.where(holder, np.float32(0.0), across) + tile.tilt_x.ravel()[at]
    down = np.where(holder, np.float32(0.0), down) + tile.tilt_y.ravel()[at]
    length = np.sqrt(across * across + down * down + up * up)
    return Normals(across / length, down / length, up / length), tile.brightness.ravel()[at]


def _escaping_share(height_um: Picture, um_per_px: float) -> Picture:
    """Share of the signal that gets out, 0..1: less the deeper a point lies under its surroundings."""
    share = np.ones_like(height_um)
    for width_um, strength in ((1.2, 0.35), (5.0, 0.16)):
        depth_um = np.maximum(gaussian_filter(height_um, width_um / um_per_px) - height_um, 0.0)
        share /= 1.0 + strength * depth_um
    return share
