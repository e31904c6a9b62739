import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from texture_store.encoding.drift import Drift, drift
from texture_store.errors import DictionaryError

Float64s = npt.NDArray[np.float64]


def _errors(count: int, mean: float = 100.0, *, seed: int = 0) -> Float64s:
    return np.random.default_rng(seed).gamma(20, mean / 20, count)


def test_the_ratio_is_that_of_the_means() -> None:
    found = drift(np.array([1.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    assert (found.ratio, found.num_old, found.num_new) == (2.0, 2, 3)


def test_the_interval_is_that_of_all_resamples_by_hand() -> None:
    # Of (1, 3) the four resamples have means 1, 2, 2, 3; of (2, 2) all have 2: ratios 2, 1, 1, 2/3, each end likely.
    found = drift(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert (found.low, found.high) == (2 / 3, 2.0)


def test_the_interval_is_near_that_of_scipys_bootstrap() -> None:
    old, new = _errors(80), _errors(50, 110, seed=1)
    expected = stats.bootstrap(
        (old, new),
        lambda old, new, axis: new.mean(axis=axis) / old.mean(axis=axis),
        n_resamples=4000,
        method="percentile",
        rng=1,
    ).confidence_interval
    found = drift(old, new)
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.08 * width)
    assert found.high == pytest.approx(expected.high, abs=0.08 * width)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        found = drift(_errors(40, seed=2 * seed), _errors(40, 110, seed=2 * seed + 1), seed=seed, resamples=400)
        covered += found.low <= 1.1 <= found.high
    assert stats.binomtest(covered, 200, 0.95).pvalue > 0.001


def test_the_same_seed_gives_the_same_interval() -> None:
    old, new = _errors(30), _errors(30, seed=1)
    assert drift(old, new) == drift(old, new)
    assert drift(old, new, seed=1) != drift(old, new)


def test_resamples_may_take_several_blocks() -> None:
    found = drift(_errors(100_000), _errors(100_000, 105, seed=1), resamples=100)
    assert found.low < found.ratio < found.high
    assert found.ratio == pytest.approx(1.05, abs=0.005)


@pytest.mark.parametrize(
    ("ratio", "low", "verdict"),
    [
        (0.9, 0.8, "fits"),
        (1.05, 0.9, "fits"),
        (1.06, 0.9, "undecided"),
        (1.2, 1.05, "undecided"),
        (1.2, 1.06, "does not fit"),
    ],
)
def test_it_does_not_fit_only_where_the_whole_interval_says_so(ratio: float, low: float, verdict: str) -> None:
    assert Drift(ratio, low, 1.5, 10, 10).verdict(0.05) == verdict


def test_images_alike_fit_and_others_do_not() -> None:
    assert drift(_errors(400), _errors(400, 95, seed=1)).verdict() == "fits"
    assert drift(_errors(400), _errors(400, 120, seed=1)).verdict() == "does not fit"
    assert drift(_errors(4), _errors(4, 115, seed=2)).verdict() == "undecided"


def test_no_error_on_the_old_side() -> None:
    none, some = np.zeros(5), np.ones(3)
    assert drift(none, none) == Drift(1.0, 1.0, 1.0, 5, 5)
    assert drift(none, some) == Drift(np.inf, np.inf, np.inf, 5, 3)
    assert drift(none, some).verdict() == "does not fit"
    # Some resamples of the old side have no error: ratios without bound, and no NaN.
    assert drift(np.array([0.0, 1.0]), some) == Drift(2.0, 1.0, np.inf, 2, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ([1.0], [1.0, 2.0], "1 held-out images"),
        ([1.0, 2.0], [], "0 new images"),
        ([1.0, 2.0], [[1.0, 2.0]], "2 new images"),
        ([1.0, np.nan], [1.0, 2.0], "held-out images are negative or not finite"),
        ([1.0, 2.0], [-1.0, 2.0], "new images are negative or not finite"),
    ],
)
def test_too_few_or_unusable_errors_are_refused(old: list[float], new: list[float], message: str) -> None:
    with pytest.raises(DictionaryError, match=message):
        drift(np.array(old), np.array(new))
