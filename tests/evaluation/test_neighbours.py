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


@pytest.mark.parametrize(("row", "number"), [(3, 1), (-1, 1), (0, 3), (0, -1)])
def test_rows_that_are_not_there_are_refused(row: int, number: int) -> None:
    with pytest.raises(UsageError, match="3 rows"):
        nearest(np.eye(3), row, number)


def test_what_is_not_a_matrix_is_refused() -> None:
    with pytest.raises(DimensionMismatchError, match="not a matrix"):
        nearest(np.zeros(3), 0, 1)
