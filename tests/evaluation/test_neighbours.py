import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.neighbours import nearest


def test_neighbours_are_those_of_scikit_learn() -> None:
    features = np.random.default_rng(0).gamma(2.0, 1.0, (40, 7)).astype(np.float32)
    reference = NearestNeighbors(metric="cosine").fit(features)
    distances, rows = reference.kneighbors(n_neighbors=6)  # each row without itself
    for row in range(40):
        found = nearest(features, row, 6)
        np.testing.assert_array_equal(found.rows, rows[row])
        np.testing.assert_allclose(found.cosines, 1 - distances[row], atol=1e-6)


def test_contrast_does_not_matter() -> None:
    features = np.array([[1.0, 2.0], [10.0, 20.0], [2.0, 1.0]])
    found = nearest(features, 0, 2)
    assert found.rows.tolist() == [1, 2]
    assert found.cosines == pytest.approx([1.0, 0.8])


def test_a_vector_of_zeros_is_near_to_none() -> None:
    found = nearest(np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), 0, 2)
    assert found.rows.tolist() == [2, 1]
    assert found.cosines[1] == 0.0


def test_only_rows_of_the_mask_are_named() -> None:
    features = np.random.default_rng(1).gamma(2.0, 1.0, (40, 7))
    among = np.arange(40) % 3 == 0
    for row in (0, 1):  # in the mask and not
        found, all_rows = nearest(features, row, 5, among=among), nearest(features, row, 39)
        np.testing.assert_array_equal(found.rows, [other for other in all_rows.rows if other % 3 == 0][:5])
        np.testing.assert_array_equal(found.cosines, all_rows.cosines[np.isin(all_rows.rows, found.rows)])
    np.testing.assert_array_equal(nearest(features, 4, 6, among=np.ones(40, bool)).rows, nearest(features, 4, 6).rows)


def test_a_mask_with_fewer_rows_than_asked_is_refused() -> None:
    among = np.array([True, True, False])
    assert nearest(np.eye(3), 0, 1, among=among).rows.tolist() == [1]
    assert nearest(np.eye(3), 2, 2, among=among).rows.tolist() == [0, 1]
    with pytest.raises(UsageError, match="2 neighbours of row 0: the mask leaves 1 other"):
        nearest(np.eye(3), 0, 2, among=among)
    for mask in (among[:2], np.array([0, 1, 2])):
        with pytest.raises(DimensionMismatchError, match="mask"):
            nearest(np.eye(3), 0, 1, among=mask)


@pytest.mark.parametrize(("row", "number"), [(3, 1), (-1, 1), (0, 3), (0, -1)])
def test_rows_that_are_not_there_are_refused(row: int, number: int) -> None:
    with pytest.raises(UsageError, match="3 rows"):
        nearest(np.eye(3), row, number)


def test_what_is_not_a_matrix_is_refused() -> None:
    with pytest.raises(DimensionMismatchError, match="not a matrix"):
        nearest(np.zeros(3), 0, 1)
