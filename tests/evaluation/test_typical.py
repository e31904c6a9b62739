import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from tests.evaluation.clouds import LABELS, clouds
from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.typical import atypical, class_distances, typical

FEATURES = clouds(3.0)


def test_distances_are_to_the_median_of_the_class() -> None:
    standard = StandardScaler().fit_transform(FEATURES.astype(np.float64))
    expected = np.empty(60)
    for row in range(60):
        centre = np.median(standard[LABELS[row] == LABELS], axis=0)
        expected[row] = np.sqrt(((standard[row] - centre) ** 2).mean())
    np.testing.assert_allclose(class_distances(FEATURES, LABELS), expected, rtol=1e-5)


def test_most_and_least_typical_are_ordered_and_of_the_class() -> None:
    found, distances = typical(FEATURES, LABELS, 4), class_distances(FEATURES, LABELS)
    assert list(found) == ["a", "b", "c"]
    for name, images in found.items():
        order = sorted(np.flatnonzero(name == LABELS), key=lambda row: distances[row])
        assert images.most.tolist() == order[:4]
        assert images.least.tolist() == order[:-5:-1]


def test_a_mislabelled_image_is_least_typical() -> None:
    labels = LABELS.copy()
    labels[7] = "b"
    features = clouds(20.0)[:, :2]
    assert typical(features, labels, 1)["b"].least.tolist() == [7]


def test_many_mislabelled_images_do_not_move_the_centre_to_them() -> None:
    labels = LABELS.copy()
    labels[:8] = "b"  # 8 of 28
    found = typical(clouds(20.0)[:, :2], labels, 8)["b"]
    assert sorted(found.least.tolist()) == list(range(8))


def test_units_and_constant_columns_do_not_matter() -> None:
    other = np.hstack([FEATURES * np.float32([1, 64, 1024, 2.0**-10]), np.full((60, 2), 9, np.float32)])
    np.testing.assert_allclose(class_distances(other, LABELS), class_distances(FEATURES, LABELS), rtol=1e-4)


def test_a_small_class_names_all_it_has() -> None:
    labels = LABELS.astype("<U6")
    labels[5] = "single"
    found = typical(FEATURES, labels, 3)["single"]
    assert (found.most.tolist(), found.least.tolist()) == ([5], [5])


def test_atypical_are_the_rows_farthest_from_their_neighbours() -> None:
    standard = StandardScaler().fit_transform(FEATURES.astype(np.float64))
    expected = NearestNeighbors(n_neighbors=10).fit(standard).kneighbors()[0].mean(axis=1)
    found = atypical(FEATURES, 5)
    np.testing.assert_allclose(found.distances, expected / np.median(expected), rtol=1e-4)
    np.testing.assert_array_equal(found.rows, np.argsort(-found.distances, kind="stable")[:5])
    assert found.num_neighbours == 10


def test_an_image_unlike_all_others_is_most_atypical() -> None:
    features = FEATURES.copy()
    features[33] = [0, 0, 0, 40]
    found = atypical(features, 1)
    assert found.rows.tolist() == [33]
    assert found.distances[33] > 3


def test_few_images_are_all_neighbours_and_equal_ones_are_alike() -> None:
    assert atypical(FEATURES[:4], 1).num_neighbours == 3
    equal = atypical(np.ones((5, 3)), 9)
    assert equal.rows.tolist() == [0, 1, 2, 3, 4]
    assert equal.distances.tolist() == [0.0] * 5


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(60)))
def test_the_order_of_the_images_does_not_matter(order) -> None:
    rows = np.array(order)
    moved = typical(FEATURES[rows], LABELS[rows], 3)
    for name, images in typical(FEATURES, LABELS, 3).items():
        np.testing.assert_array_equal(rows[moved[name].most], images.most)
        np.testing.assert_array_equal(rows[moved[name].least], images.least)
    np.testing.assert_array_equal(rows[atypical(FEATURES[rows], 3).rows], atypical(FEATURES, 3).rows)


UNLABELLED = LABELS.copy()
UNLABELLED[3] = ""


@pytest.mark.parametrize(("features", "labels", "number", "error"), [
    (FEATURES[:59], LABELS, 1, DimensionMismatchError),
    (FEATURES.ravel(), LABELS, 1, DimensionMismatchError),
    (FEATURES * np.inf, LABELS, 1, EncodingError),
    (FEATURES, UNLABELLED, 1, UsageError),
    (FEATURES, LABELS, -1, UsageError),
])  # fmt: skip
def test_what_has_no_typical_image_is_refused(features, labels, number, error) -> None:
    with pytest.raises(error) as caught:
        typical(features, labels, number)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("features", "number", "neighbours", "error"), [
    (FEATURES.ravel(), 1, 10, DimensionMismatchError),
    (FEATURES * np.inf, 1, 10, EncodingError),
    (FEATURES[:1], 1, 10, UsageError),
    (FEATURES, -1, 10, UsageError),
    (FEATURES, 1, 0, UsageError),
])  # fmt: skip
def test_what_has_no_atypical_image_is_refused(features, number, neighbours, error) -> None:
    with pytest.raises(error) as caught:
        atypical(features, number, num_neighbours=neighbours)
    assert "\n" not in str(caught.value)
