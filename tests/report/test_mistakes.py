import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from texture_store.errors import DimensionMismatchError
from texture_store.report.mistakes import find_mistakes


def test_shares_and_wrong_classes_are_counted_over_trials() -> None:
    predicted = np.array([[0, 1, 2, 1], [0, 2, 2, 0], [0, 2, 2, 2], [0, 0, 2, 0]])
    found = find_mistakes(predicted, np.array([0, 0, 2, 1]), 3)
    assert found.shares.tolist() == [0, 0.75, 0, 0.75]
    assert found.taken_for.tolist() == [-1, 2, -1, 0]
    assert found.worst.tolist() == [1, 3]


@given(
    arrays.arrays(np.int16, (5, 7), elements=st.integers(0, 3)), arrays.arrays(np.int16, 7, elements=st.integers(0, 3))
)
def test_an_image_is_never_taken_for_what_it_is(predicted: np.ndarray, true: np.ndarray) -> None:
    found = find_mistakes(predicted, true, 4)
    for image in range(7):
        wrong = [one for one in predicted[:, image] if one != true[image]]
        assert found.shares[image] == pytest.approx(len(wrong) / 5)
        if wrong:
            assert wrong.count(found.taken_for[image]) == max(wrong.count(one) for one in wrong)
        else:
            assert found.taken_for[image] == -1
    assert set(found.worst) == set(np.flatnonzero(found.shares))


def test_predictions_of_other_images_are_refused() -> None:
    for predicted in (np.zeros((2, 3), int), np.zeros((0, 4), int), np.zeros(4, int)):
        with pytest.raises(DimensionMismatchError):
            find_mistakes(predicted, np.zeros(4, int), 2)
