"""Size distributions of the powders: four families, two similar ones in each.

Like the powder set of the paper (DeCost and Holm, Data in Brief 9:727): eight distributions that come in four pairs, so
that telling families apart is easy and telling the two of a pair apart is not. Their own table is not published; these
are ours. All have the same mean projected area, so that the spheres of every powder cover about as much of the picture.
"""

from dataclasses import dataclass
from math import exp, gamma
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from texture_store.errors import UsageError

RMS_RADIUS_UM = 5.4
"""Root mean square radius of every distribution, before truncation."""

MIN_RADIUS_UM = 1.0
"""Smaller particles would be under 5 px wide and vanish in blur and noise."""

MAX_RADIUS_UM = 20.0
"""Larger ones would bury a good part of the picture."""

Radii = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Component:
    """One part of a mixture: `share` of the particles, by number.

    lognormal: ln(radius / scale) is normal with standard deviation `shape`.
    weibull: P(radius <= r) = 1 - exp(-(r / scale)^shape), in powder technology the Rosin-Rammler distribution.
    Both are cut to MIN_RADIUS_UM..MAX_RADIUS_UM.
    """

    share: float
    kind: Literal["lognormal", "weibull"]
    scale_um: float
    shape: float

    def _whole_cdf(self, radii_um: Radii) -> Radii:
        if self.kind == "lognormal":
            return np.asarray(ndtr(np.log(radii_um / self.scale_um) / self.shape))
        return np.asarray(-np.expm1(-((radii_um / self.scale_um) ** self.shape)))

    def _whole_quantile(self, probabilities: Radii) -> Radii:
        if self.kind == "lognormal":
            return np.asarray(self.scale_um * np.exp(self.shape * ndtri(probabilities)))
        return np.asarray(self.scale_um * (-np.log1p(-probabilities)) ** (1.0 / self.shape))

    def cdf(self, radii_um: Radii) -> Radii:
        """P(radius <= r) for r of any shape, in um."""
        low, high = self._whole_cdf(np.array([MIN_RADIUS_UM, MAX_RADIUS_UM]))
        inside = np.clip(radii_um, MIN_RADIUS_UM, MAX_RADIUS_UM)
        return np.asarray((self._whole_cdf(inside) - low) / (high - low))

    def quantile(self, probabilities: Radii) -> Radii:
        """The inverse of `cdf`, for probabilities in 0..1."""
        low, high = self._whole_cdf(np.array([MIN_RADIUS_UM, MAX_RADIUS_UM]))
        radii_um = self._whole_quantile(low + probabilities * (high - low))
        return np.clip(radii_um, MIN_RADIUS_UM, MAX_RADIUS_UM)


@dataclass(frozen=True)
class SizeDistribution:
    """Particle radii of a powder, by number. The two distributions of one `family` are a similar pair."""

    name: str
    family: str
    components: tuple[Component, ...]

    def cdf(self, radii_um: Radii) -> Radii:
        """P(radius <= r) for r of any shape, in um."""
        radii_um = np.asarray(radii_um, dtype=np.float64)
        return np.asarray(sum(part.share * part.cdf(radii_um) for part in self.components))

    def sample(self, rng: np.random.Generator, num_radii: int) -> Radii:
        """(num_radii,) float64 radii in um, independent draws. UsageError for a negative number."""
        if num_radii < 0:
            raise UsageError(f"cannot draw {num_radii} radii; ask for 0 or more")
        shares = np.array([part.share for part in self.components])
        which = np.searchsorted(np.cumsum(shares)[:-1], rng.random(num_radii), side="right")
        probabilities = rng.random(num_radii)
        radii_um = np.empty(num_radii)
        for index, part in enumerate(self.components):
            chosen = which == index
            radii_um[chosen] = part.quantile(probabilities[chosen])
        return radii_um


def _mean_square(kind: str, shape: float) -> float:
    """E[r^2] of a component with scale 1, without the cut."""
    return exp(2.0 * shape**2) if kind == "lognormal" else gamma(1.0 + 2.0 / shape)


def _single(name: str, family: str, kind: Literal["lognormal", "weibull"], shape: float) -> SizeDistribution:
    scale_um = RMS_RADIUS_UM / _mean_square(kind, shape) ** 0.5
    return SizeDistribution(name, family, (Component(1.0, kind, scale_um, shape),))


def _bimodal(name: str, coarse_share: float, ratio: float, shape: float) -> SizeDistribution:
    """Fine and coarse particles, medians in the given ratio, both log-normal with the same shape."""
    fine_share = 1.0 - coarse_share
    mean_square = (fine_share + coarse_share * ratio**2) * _mean_square("lognormal", shape)
    scale_um = RMS_RADIUS_UM / mean_square**0.5
    fine = Component(fine_share, "lognormal", scale_um, shape)
    coarse = Component(coarse_share, "lognormal", scale_um * ratio, shape)
    return SizeDistribution(name, "bimodal", (fine, coarse))


DISTRIBUTIONS: tuple[SizeDistribution, ...] = (
    _single("narrow-a", "narrow", "lognormal", 0.08),
    _single("narrow-b", "narrow", "lognormal", 0.16),
    _single("wide-a", "wide", "lognormal", 0.34),
    _single("wide-b", "wide", "lognormal", 0.42),
    _bimodal("bimodal-a", 0.10, 3.0, 0.12),
    _bimodal("bimodal-b", 0.16, 3.0, 0.12),
    _single("rosin-rammler-a", "rosin-rammler", "weibull", 1.7),
    _single("rosin-rammler-b", "rosin-rammler", "weibull", 1.4),
)
"""Eight powders in four pairs; the labels of the demo."""
