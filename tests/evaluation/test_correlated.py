import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.correlated import correlated_columns

RNG = np.random.default_rng(0)


def mixed() -> npt.NDArray[np.float32]:
    """(80, 24) three hidden variables seen through noise, with many equal values."""
    hidden = RNG.standard_normal((80, 3))
    noise = RNG.standard_normal((80, 24)) * np.linspace(0.05, 0.8, 24)
    return np.maximum(hidden[:, np.arange(24) % 3] + noise, 0).astype(np.float32)


MIXED = mixed()
TABLES = arrays(np.float32, st.tuples(st.integers(2, 12), st.integers(1, 8)), elements=st.integers(-3, 3))


def test_correlations_are_those_of_scipy() -> None:
    rho = np.abs(spearmanr(MIXED).statistic)
    found = correlated_columns(MIXED, min_correlation=0.7)
    together = found.of_column[:, None] == found.of_column
    assert rho[together].min() >= 0.7
    assert 3 < found.num_clusters < 24
    np.testing.assert_array_equal(found.partners, ((rho >= 0.7) & ~together).sum(axis=1))
    assert found.partners.any()  # noise is so strong that some columns are left between two clusters


def test_no_two_clusters_could_be_one() -> None:
    rho = np.abs(spearmanr(MIXED).statistic)
    number = (found := correlated_columns(MIXED, min_correlation=0.7)).num_clusters
    for one in range(number):
        for other in range(one + 1, number):
            assert rho[np.ix_(found.of_column == one, found.of_column == other)].min() < 0.7


def test_chains_are_not_one_cluster() -> None:
    rows = np.arange(200.0)
    # Each turned further: neighbours agree, the first and the last do not.
    columns = np.stack([np.sin(2 * np.pi * rows / 200 + turn) for turn in np.linspace(0, np.pi / 2, 12)], axis=1)
    found = correlated_columns(columns)
    assert np.abs(spearmanr(columns).statistic)[0, -1] < 0.1
    assert found.of_column[0] != found.of_column[-1]
    assert np.abs(spearmanr(columns).statistic)[found.of_column[:, None] == found.of_column].min() >= 0.9


def test_copies_opposites_and_what_rises_alike_share_a_cluster() -> None:
    column = RNG.gamma(1.0, 1.0, 50)
    other = RNG.gamma(1.0, 1.0, 50)
    features = np.stack([other, column, column, -column, np.exp(column)], axis=1)
    assert correlated_columns(features, min_correlation=1.0).of_column.tolist() == [0, 1, 1, 1, 1]


def test_clusters_are_numbered_by_their_first_columns_and_constants_are_alone() -> None:
    a, b = RNG.random(30), RNG.random(30)
    dead = np.zeros(30)
    assert correlated_columns(np.stack([dead, b, a, dead, b, a, dead], axis=1)).of_column.tolist() == [
        0, 1, 2, 3, 1, 2, 4,
    ]  # fmt: skip
    assert correlated_columns(np.zeros((5, 3))).of_column.tolist() == [0, 1, 2]


@settings(deadline=None, max_examples=30)
@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(features, random) -> None:
    order = random.sample(range(len(features)), len(features))
    first, second = correlated_columns(features), correlated_columns(features[order])
    np.testing.assert_array_equal(first.of_column, second.of_column)
    np.testing.assert_array_equal(first.partners, second.partners)


@settings(deadline=None, max_examples=30)
@given(TABLES)
def test_a_copy_of_a_column_joins_its_cluster(features) -> None:
    doubled = correlated_columns(np.hstack([features, features])).of_column
    alone = correlated_columns(features).of_column
    width = features.shape[1]
    varying = np.ptp(features, axis=0) > 0
    np.testing.assert_array_equal(doubled[:width][varying], doubled[width:][varying])
    assert set(alone) == set(range(alone.max() + 1))
    assert len(set(doubled[:width][~varying]) | set(doubled[width:][~varying])) == 2 * (~varying).sum()


@pytest.mark.parametrize(("features", "least", "error"), [
    (np.zeros(3), 0.9, DimensionMismatchError),
    (np.full((3, 2), np.nan), 0.9, EncodingError),
    (np.zeros((1, 2)), 0.9, UsageError),
    (MIXED, 0.0, UsageError),
    (MIXED, 1.1, UsageError),
    (MIXED, float("nan"), UsageError),
])  # fmt: skip
def test_what_cannot_be_clustered_is_refused(features, least, error) -> None:
    with pytest.raises(error) as caught:
        correlated_columns(features, min_correlation=least)
    assert "\n" not in str(caught.value)
