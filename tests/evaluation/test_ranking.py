import numpy as np
import pytest

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.ranking import top_columns

NAN = float("nan")


def test_the_greatest_come_first_and_equal_ones_in_their_order() -> None:
    values = np.array([1.0, 3.0, NAN, 3.0, -2.0, 5.0])
    assert top_columns(values, 3).tolist() == [5, 1, 3]
    assert top_columns(values, 99).tolist() == [5, 1, 3, 0, 4]
    assert top_columns(values, 0).tolist() == []


def test_ties_are_broken_by_what_stands_beside() -> None:
    values, ties = np.array([1.0, 1.0, 1.0, 1.0, 2.0]), np.array([0.0, 7.0, NAN, 9.0, -5.0])
    assert top_columns(values, 5, ties=ties).tolist() == [4, 3, 1, 0, 2]


def test_a_cluster_is_named_once_by_its_first() -> None:
    values, clusters = np.array([1.0, 4.0, 3.0, 4.0, NAN]), np.array([2, 0, 1, 0, 3])
    assert top_columns(values, 5, clusters=clusters).tolist() == [1, 2, 0]
    assert top_columns(values, 5, clusters=clusters, ties=np.array([0, 1.0, 0, 2, 0])).tolist() == [3, 2, 0]


def test_what_does_not_correspond_is_refused() -> None:
    with pytest.raises(DimensionMismatchError):
        top_columns(np.zeros(3), 1, ties=np.zeros(2))
    with pytest.raises(DimensionMismatchError):
        top_columns(np.zeros(3), 1, clusters=np.zeros(4, int))
    with pytest.raises(DimensionMismatchError):
        top_columns(np.zeros((3, 1)), 1)
    with pytest.raises(UsageError, match="-1 columns"):
        top_columns(np.zeros(3), -1)
