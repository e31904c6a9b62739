import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from texture_store.encoding.sampling import (
    DESCRIPTORS_PER_IMAGE,
    held_out,
    path_share,
    sample_positions,
)
from texture_store.errors import DimensionMismatchError


@given(st.integers(0, 3000), st.integers(0, 400), st.text())
def test_positions_are_different_ascending_and_in_range(num_positions: int, count: int, key: str) -> None:
    positions = sample_positions(num_positions, count, key=key)
    assert positions.dtype == np.int64
    assert len(positions) == min(count, num_positions)
    assert (np.diff(positions) > 0).all()
    assert not len(positions) or 0 <= positions[0] <= positions[-1] < num_positions
    np.testing.assert_array_equal(positions, sample_positions(num_positions, count, key=key))


def test_positions_and_shares_stay_the_same_over_releases() -> None:
    assert sample_positions(65025, 6, key="a/b.tif\nconv1_2").tolist() == [10230, 11339, 16619, 22861, 40778, 53439]
    assert path_share("a/b.tif") == 0.881408339379576


def test_each_position_is_equally_likely() -> None:
    counts = np.zeros(225)
    for number in range(4000):
        counts[sample_positions(225, 25, key=f"{number}.png\nconv5_3")] += 1
    # A position is in a sample or not: the variance is 1 - 25/225 of that of independent draws.
    statistic = ((counts - counts.mean()) ** 2).sum() / counts.mean() / (1 - 25 / 225)
    assert 0.001 < stats.chi2.sf(statistic, 224) < 0.999


def test_pairs_of_positions_are_equally_likely() -> None:
    together = np.zeros((6, 6))
    for number in range(6000):
        first, second = sample_positions(6, 2, key=str(number))
        together[first, second] += 1
    assert 0.001 < stats.chisquare(together[np.triu_indices(6, 1)]).pvalue < 0.999


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    small, large = (set(sample_positions(5000, count, key="x").tolist()) for count in (40, 300))
    assert small < large


def test_keys_give_different_samples() -> None:
    samples = [
        sample_positions(65025, DESCRIPTORS_PER_IMAGE, key=f"a.tif\n{layer}") for layer in ("conv1_2", "conv2_2")
    ]
    # 256 of 65,025 twice have one position in common on average.
    assert len(set(samples[0]) & set(samples[1])) < 10


@pytest.mark.parametrize(("num_positions", "count"), [(-1, 3), (3, -1)])
def test_negative_numbers_are_refused(num_positions: int, count: int) -> None:
    with pytest.raises(DimensionMismatchError, match="cannot sample"):
        sample_positions(num_positions, count, key="x")


@given(st.text())
def test_the_share_of_any_path_is_below_1(path: str) -> None:
    assert 0 <= path_share(path) < 1


def test_shares_are_uniform_and_nest() -> None:
    shares = np.array([path_share(f"lot-{number // 100}/image_{number:05}.tif") for number in range(20_000)])
    assert stats.kstest(shares, "uniform").pvalue > 0.001
    assert set(np.flatnonzero(shares < 0.1)) < set(np.flatnonzero(shares < 0.2))


def test_one_in_three_is_held_out_whatever_its_share() -> None:
    paths = [f"lot-{number // 100}/image_{number:05}.tif" for number in range(20_000)]
    is_held_out = np.array([held_out(path) for path in paths])
    is_sampled = np.array([path_share(path) < 0.2 for path in paths])
    assert stats.binomtest(int(is_held_out.sum()), len(paths), 1 / 3).pvalue > 0.001
    table = np.histogram2d(is_held_out, is_sampled, bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 0.001
