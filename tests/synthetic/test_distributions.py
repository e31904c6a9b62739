import numpy as np
import pytest
from scipy import stats

from texture_store.errors import UsageError
from texture_store.synthetic.distributions import (
    DISTRIBUTIONS,
    MAX_RADIUS_UM,
    MIN_RADIUS_UM,
    RMS_RADIUS_UM,
    Component,
    SizeDistribution,
)

by_name = pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda distribution: distribution.name)


def reference_cdf(distribution: SizeDistribution, radii_um: np.ndarray) -> np.ndarray:
    """The stated distribution in scipy.stats' own terms, cut to the allowed radii."""
    total = np.zeros_like(radii_um)
    for part in distribution.components:
        if part.kind == "lognormal":
            whole = stats.lognorm(s=part.shape, scale=part.scale_um)
        else:
            whole = stats.weibull_min(c=part.shape, scale=part.scale_um)
        low, high = whole.cdf(MIN_RADIUS_UM), whole.cdf(MAX_RADIUS_UM)
        total += part.share * (np.clip(whole.cdf(radii_um), low, high) - low) / (high - low)
    return total


@by_name
def test_radii_follow_the_stated_distribution(distribution: SizeDistribution) -> None:
    radii_um = distribution.sample(np.random.default_rng(11), 20_000)
    assert stats.kstest(radii_um, lambda values: reference_cdf(distribution, values)).pvalue > 0.01


def test_the_two_of_a_pair_are_told_apart_by_enough_radii() -> None:
    first, second = DISTRIBUTIONS[0], DISTRIBUTIONS[1]
    radii_um = first.sample(np.random.default_rng(11), 20_000)
    assert stats.kstest(radii_um, lambda values: reference_cdf(second, values)).pvalue < 1e-6


@by_name
def test_cdf_is_the_one_of_scipy(distribution: SizeDistribution) -> None:
    radii_um = np.linspace(0.5, 25.0, 500)
    np.testing.assert_allclose(distribution.cdf(radii_um), reference_cdf(distribution, radii_um), atol=1e-12)


@by_name
def test_shares_of_a_mixture_add_up_to_one(distribution: SizeDistribution) -> None:
    assert sum(part.share for part in distribution.components) == pytest.approx(1.0)


@by_name
def test_every_powder_has_the_same_projected_area(distribution: SizeDistribution) -> None:
    radii_um = distribution.sample(np.random.default_rng(5), 50_000)
    assert np.sqrt(np.mean(radii_um**2)) == pytest.approx(RMS_RADIUS_UM, rel=0.02)


def test_eight_distributions_come_in_four_pairs() -> None:
    families = [distribution.family for distribution in DISTRIBUTIONS]
    assert len({distribution.name for distribution in DISTRIBUTIONS}) == 8
    assert sorted(families.count(family) for family in set(families)) == [2, 2, 2, 2]


@by_name
def test_the_nearest_distribution_is_the_other_one_of_the_pair(distribution: SizeDistribution) -> None:
    radii_um = np.linspace(MIN_RADIUS_UM, MAX_RADIUS_UM, 4000)

    def wasserstein(other: SizeDistribution) -> float:
        """First Wasserstein distance: the area between the two distribution functions, um."""
        gap = np.abs(reference_cdf(distribution, radii_um) - reference_cdf(other, radii_um))
        return float(np.trapezoid(gap, radii_um))

    others = [other for other in DISTRIBUTIONS if other is not distribution]
    partner = next(other for other in others if other.family == distribution.family)
    strangers = [wasserstein(other) for other in others if other is not partner]
    assert 0.05 < wasserstein(partner) < min(strangers)


def test_quantile_is_the_inverse_of_cdf() -> None:
    probabilities = np.linspace(0.001, 0.999, 200)
    for part in (Component(1.0, "lognormal", 5.0, 0.4), Component(1.0, "weibull", 6.0, 1.5)):
        np.testing.assert_allclose(part.cdf(part.quantile(probabilities)), probabilities, atol=1e-10)


def test_radii_stay_within_the_limits() -> None:
    vast = SizeDistribution("vast", "vast", (Component(1.0, "lognormal", 5.0, 3.0),))
    radii_um = vast.sample(np.random.default_rng(0), 10_000)
    assert radii_um.min() >= MIN_RADIUS_UM
    assert radii_um.max() <= MAX_RADIUS_UM


def test_no_radii_can_be_asked_for_but_not_fewer() -> None:
    assert DISTRIBUTIONS[0].sample(np.random.default_rng(0), 0).shape == (0,)
    with pytest.raises(UsageError, match="-1 radii"):
        DISTRIBUTIONS[0].sample(np.random.default_rng(0), -1)
