import numpy as np
import pytest
from scipy import stats

from texture_store.errors import UsageError
from texture_store.evaluation.importance import MeanImportances
from texture_store.evaluation.importance_ranking import rank_importances
from texture_store.evaluation.significance import corrected_t_test

ALONE = np.arange(4)


def means(permutation: list[float], spread: list[float], votes: list[float], impurity: list[float]) -> MeanImportances:
    zeros = np.zeros(len(permutation))
    found = (np.array(values, np.float64) for values in (permutation, spread, votes))
    loss, loss_spread, lost_votes = found
    return MeanImportances(np.array(impurity), zeros, loss, loss_spread, lost_votes, 30)


def test_losses_come_first_and_votes_decide_where_there_is_none() -> None:
    ranking = rank_importances(
        means([0.1, 0.001, 0.2, -0.1], [0.01, 0.01, 0.01, 0.01], [0.0, 0.3, 0.0, 0.4], [0.25] * 4),
        ALONE,
        test_share=0.5,
    )
    assert ranking.columns.tolist() == [2, 0, 3, 1]
    assert ranking.is_loss.tolist() == [True, False, True, False]


def test_a_loss_is_one_exactly_where_the_corrected_test_says_so() -> None:
    draw = np.random.default_rng(3)
    folds = draw.normal(0.01, 0.01, (30, 200)) * draw.uniform(0.5, 3, 200) + draw.normal(0, 0.01, 200)
    ranking = rank_importances(
        means(folds.mean(axis=0).tolist(), folds.std(axis=0, ddof=1).tolist(), [0.0] * 200, [0.0] * 200),
        np.arange(200),
        test_share=0.5,
    )
    tests = [corrected_t_test(column, test_share=0.5) for column in folds.T]
    assert ranking.is_loss.tolist() == [test.p < 0.05 and test.mean > 0 for test in tests]
    assert 0 < ranking.is_loss.sum() < 200


def test_a_loss_without_spread_is_one_and_no_loss_is_none() -> None:
    ranking = rank_importances(means([0.1, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]), np.arange(2), test_share=0.5)
    assert ranking.is_loss.tolist() == [True, False]


def test_the_column_that_trees_split_on_most_speaks_for_its_cluster() -> None:
    ranking = rank_importances(
        means([0.0] * 4, [0.0] * 4, [0.2, 0.2, 0.1, 0.2], [0.1, 0.4, 0.3, 0.2]), np.array([0, 0, 1, 0]), test_share=0.5
    )
    assert ranking.columns.tolist() == [1, 2]


def test_votes_that_are_not_defined_leave_impurity() -> None:
    nan = float("nan")
    ranking = rank_importances(means([0.0] * 3, [0.0] * 3, [nan] * 3, [0.1, 0.6, 0.3]), np.arange(3), test_share=0.5)
    assert ranking.columns.tolist() == [1, 2, 0]


def test_what_cannot_be_judged_is_refused() -> None:
    found = means([0.0], [0.0], [0.0], [1.0])
    with pytest.raises(UsageError, match="rows tested per row"):
        rank_importances(found, np.arange(1), test_share=0.0)
    one = MeanImportances(*(np.zeros(1) for _ in range(5)), 1)
    with pytest.raises(UsageError, match="have no spread"):
        rank_importances(one, np.arange(1), test_share=0.5)
    assert stats.t.isf(0.025, 29) > 2  # what is demanded of a loss, in its corrected errors
