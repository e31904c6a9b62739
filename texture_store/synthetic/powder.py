"""A micrograph of a powder, from its size distribution and a seed."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from texture_store.errors import UsageError
from texture_store.synthetic.bed import Bed, drop_spheres
from texture_store.synthetic.databar import add_databar
from texture_store.synthetic.distributions import Radii, SizeDistribution
from texture_store.synthetic.exposure import draw_exposure, expose
from texture_store.synthetic.relief import visible_surface
from texture_store.synthetic.shading import secondary_electron_signal

UM_PER_PX = 0.4
"""Of every picture: a larger one shows more powder, not larger particles."""

MARGIN_UM = 7.6
"""Powder around what is seen, so that particles reach over the edges: 512 px see 204.8 um of 220 um."""

SPHERES_PER_UM2 = 800 / 220.0**2
"""800 spheres for 512 px, as in the paper's set (11 x 11 x 2 units, 20 um each)."""

MIN_SIZE_PX = 32
MAX_SIZE_PX = 4096


@dataclass(frozen=True)
class PowderMicrograph:
    """A picture of a powder and the truth about it."""

    pixels: npt.NDArray[np.uint8]
    """(H, W): the picture, and under it `databar_rows` rows of databar."""
    um_per_px: float
    distribution: SizeDistribution
    bed: Bed
    """All spheres, those outside the picture as well; `bed.radii_um` is the sample of the distribution."""
    margin_um: float
    """Position in the bed of the picture's upper left corner: bed x = column * um_per_px + margin_um."""
    databar_rows: int
    seed: int

    @property
    def size(self) -> int:
        """Side of the picture without its databar, px."""
        return int(self.pixels.shape[1])


def powder(distribution: SizeDistribution, *, seed: int, size: int = 512, databar: bool = False) -> PowderMicrograph:
    """A micrograph of a powder of this distribution, `size` x `size` px, with a databar under it if asked for.

    The same distribution, seed and size give the same bytes on one machine. A seed gives unrelated powders for two
    distributions. UsageError for a negative seed and a size outside MIN_SIZE_PX..MAX_SIZE_PX.
    """
    rng, side_um, radii_um = _particles(distribution, seed, size)
    bed = drop_spheres(radii_um, side_um, rng)
    relief = visible_surface(bed, size=size, um_per_px=UM_PER_PX, margin_um=MARGIN_UM)
    signal = secondary_electron_signal(bed, relief, um_per_px=UM_PER_PX, margin_um=MARGIN_UM, rng=rng)
    pixels = expose(signal, draw_exposure(rng), rng)
    databar_rows = 0
    if databar:
        pixels, databar_rows = add_databar(pixels, um_per_px=UM_PER_PX, sample=f"powder {seed}")
    return PowderMicrograph(pixels, UM_PER_PX, distribution, bed, MARGIN_UM, databar_rows, seed)


def powder_radii(distribution: SizeDistribution, *, seed: int, size: int = 512) -> Radii:
    """(n,) float64 radii in um of the spheres of `powder` with these settings, without drawing it."""
    return _particles(distribution, seed, size)[2]


def _particles(distribution: SizeDistribution, seed: int, size: int) -> tuple[np.random.Generator, float, Radii]:
    """The generator after its first use, the side of the bed in um, and the radii of the spheres."""
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; give 0 or more")
    if not MIN_SIZE_PX <= size <= MAX_SIZE_PX:
        raise UsageError(f"a powder of {size} px is not possible; give {MIN_SIZE_PX} to {MAX_SIZE_PX}")
    rng = np.random.default_rng([seed, zlib.crc32(distribution.name.encode())])
    side_um = size * UM_PER_PX + 2 * MARGIN_UM
    return rng, side_um, distribution.sample(rng, round(SPHERES_PER_UM2 * side_um**2))
