"""Size distributions of the powders: four families, two similar ones in each.

Like the powder set of the paper (DeCost and Holm, Data in Brief 9:727): eight distributions that come in four pairs, so
that telling families apart is easy and telling the two of a pair apart is not. Their own table is not published; these
are ours. All have the same mean projected area, so that the spheres of every powder cover about as much of the picture.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from texture_store.errors import UsageError

RMS_RADIUS_UM = 5.4
"""Root mean square radius of every distribution."""

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


def _mean_square(components: tuple[Component, ...]) -> float:
    """E[r^2] in um^2, by the midpoint rule over the quantiles."""
    middles = (np.arange(20_000) + 0.5) / 20_000
    return sum(part.share * float(np.mean(part.quantile(middles) ** 2)) for part in components)


def _with_equal_area(name: str, *components: Component) -> SizeDistribution:
    """A distribution of these components, all scaled by one factor so that it has RMS_RADIUS_UM."""
    for _ in range(12):  # the cut does not scale along, so that one step does not do
        factor = RMS_RADIUS_UM / _mean_square(components) ** 0.5
        components = tuple(replace(part, scale_um=part.scale_um * factor) for part in components)
    return SizeDistribution(name, name.rpartition("-")[0], components)


def _lognormal(name: str, shape: float) -> SizeDistribution:
    return _with_equal_area(name, Component(1.0, "lognormal", RMS_RADIUS_UM, shape))


def _weibull(name: str, shape: float) -> SizeDistribution:
    return _with_equal_area(name, Component(1.0, "weibull", RMS_RADIUS_UM, shape))


def _bimodal(name: str, coarse_share: float) -> SizeDistribution:
    """Fine particles and, three times as large, coarse ones; both log-normal."""
    fine = Component(1.0 - coarse_share, "lognormal", RMS_RADIUS_UM / 2, 0.12)
    return _with_equal_area(name, fine, Component(coarse_share, "lognormal", 3 * fine.scale_um, 0.12))


DISTRIBUTIONS: tuple[SizeDistribution, ...] = (
    _lognormal("narrow-a", 0.07),
    _lognormal("narrow-b", 0.18),
    _lognormal("wide-a", 0.30),
    _lognormal("wide-b", 0.40),
    _bimodal("bimodal-a", 0.10),
    _bimodal("bimodal-b", 0.15),
    _weibull("rosin-rammler-a", 1.55),
    _weibull("rosin-rammler-b", 1.25),
)
"""Eight powders in four pairs; the labels of the demo.

The shapes are chosen so that a forest on mean features of some 30 pictures of each tells the families apart and most
pictures of a pair, but not all.
"""
