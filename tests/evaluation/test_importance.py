import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.metrics import make_scorer, r2_score

from tests.evaluation.clouds import LABELS, clouds
from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation import importance
from texture_store.evaluation.folds import make_folds
from texture_store.evaluation.importance import (
    mean_importances,
    permutation_seed,
    permuted_rows,
    trial_importances,
)
from texture_store.evaluation.scores import weighted_f1
from texture_store.evaluation.trial import estimator_seed, run_trial

FEATURES = clouds(1.5)
FOLDS = make_folds(LABELS, folds=3, seed=4)
ALONE = np.arange(4)
TARGETS = clouds(2.0, seed=1)[:, :2].sum(axis=1).astype(np.float64) + FEATURES[:, 0]


def plain_forest(number: int, trees: int = 30) -> RandomForestClassifier:
    """The forest that is tested on this fold, as somebody else would grow it."""
    forest = RandomForestClassifier(trees, random_state=estimator_seed(9, number))
    return forest.fit(FEATURES[number != FOLDS], LABELS[number != FOLDS])


def test_columns_alone_have_exactly_the_importances_of_scikit_learn() -> None:
    found = trial_importances(FEATURES, LABELS, FOLDS, ALONE, trees=30, seed=9, repeats=10)
    for number in range(3):
        forest, test = plain_forest(number), number == FOLDS
        np.testing.assert_array_equal(found.impurity[number], forest.feature_importances_)
        reference = permutation_importance(
            forest,
            FEATURES[test],
            LABELS[test],
            scoring=make_scorer(weighted_f1),
            n_repeats=10,
            random_state=permutation_seed(9, number),
        )
        np.testing.assert_array_equal(found.permutation[number], reference.importances.T)
        np.testing.assert_array_equal(found.permutation_of_columns()[number], reference.importances_mean)
    assert found.permutation[:, :, :2].mean() > 0.1  # the columns in which the clouds differ


def test_with_many_repeats_other_permutations_give_the_same() -> None:
    found = trial_importances(FEATURES, LABELS, FOLDS, ALONE, trees=8, seed=9, repeats=50)
    test = FOLDS == 1
    reference = permutation_importance(
        plain_forest(1, trees=8),
        FEATURES[test],
        LABELS[test],
        scoring=make_scorer(weighted_f1),
        n_repeats=50,
        random_state=77,
    )
    error = reference.importances_std * np.sqrt(2 / 50)
    assert (np.abs(found.permutation_of_columns()[1] - reference.importances_mean) <= 5 * error + 1e-12).all()


def test_the_forests_are_those_of_the_trial() -> None:
    trial = run_trial(FEATURES, LABELS, FOLDS, classifier="forest", task="classification", trees=30, seed=9)
    found = trial_importances(FEATURES, LABELS, FOLDS, ALONE, trees=30, seed=9, repeats=1)
    assert found.scores.tolist() == [scores.f1_weighted for scores in trial.fold_scores]


def by_hand(clusters: npt.NDArray[np.intp], number: int, repeats: int) -> tuple[list[list[float]], list[list[float]]]:
    """Losses of score and votes of a fold from whole forests, one permutation after the other."""
    forest, test = plain_forest(number), number == FOLDS
    rows, labels = FEATURES[test], LABELS[test]
    right = labels[:, None] == forest.classes_
    scores, votes = [], []
    for order in permuted_rows(len(rows), seed=permutation_seed(9, number), repeats=repeats):
        scores.append([])
        votes.append([])
        for cluster in range(clusters.max() + 1):
            permuted = rows.copy()
            permuted[:, clusters == cluster] = rows[order][:, clusters == cluster]
            scores[-1].append(weighted_f1(labels, forest.predict(rows)) - weighted_f1(labels, forest.predict(permuted)))
            lost = (forest.predict_proba(rows) - forest.predict_proba(permuted))[right].mean()
            votes[-1].append(lost)
    return scores, votes


@pytest.mark.parametrize("stack_bytes", [1, 1000, 1 << 28])
def test_columns_of_a_cluster_are_permuted_together(monkeypatch, stack_bytes: int) -> None:
    monkeypatch.setattr(importance, "STACK_BYTES", stack_bytes)
    clusters = np.array([0, 1, 0, 1])
    found = trial_importances(FEATURES, LABELS, FOLDS, clusters, trees=30, seed=9, repeats=5)
    for number in range(3):
        scores, votes = by_hand(clusters, number, 5)
        np.testing.assert_array_equal(found.permutation[number], scores)
        np.testing.assert_allclose(found.votes[number], votes, atol=1e-12)
    columns = found.permutation_of_columns()
    np.testing.assert_array_equal(columns[:, 0], columns[:, 2])
    np.testing.assert_array_equal(columns[:, 0], found.permutation.mean(axis=1)[:, 0])


def test_correlated_columns_matter_together_and_not_alone() -> None:
    features = np.hstack([np.repeat(clouds(8.0)[:, :2], 4, axis=1), clouds(0.0, seed=5)])
    together = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5])
    alone = trial_importances(features, LABELS, FOLDS, np.arange(12), trees=60, seed=1)
    shared = trial_importances(features, LABELS, FOLDS, together, trees=60, seed=1)
    assert alone.permutation.mean(axis=(0, 1)).max() < 0.05
    assert shared.permutation.mean(axis=(0, 1))[:2].min() > 0.15
    np.testing.assert_array_equal(alone.impurity, shared.impurity)


def test_a_constant_column_has_no_importance_and_is_not_asked_for() -> None:
    features = np.hstack([FEATURES, np.full((60, 1), 3, np.float32)])
    found = trial_importances(features, LABELS, FOLDS, np.arange(5), trees=20, seed=2)
    assert not found.split_on[:, 4].any()
    assert found.split_on[:, :2].all()
    for values in (found.impurity[:, 4], found.permutation[:, :, 4], found.votes[:, :, 4]):
        assert (values == 0).all()
    np.testing.assert_allclose(found.impurity.sum(axis=1), 1)


def test_a_planted_column_comes_first() -> None:
    features = np.random.default_rng(3).random((60, 40)).astype(np.float32)
    features[:, 17] += 2 * np.unique(LABELS, return_inverse=True)[1]
    mean = mean_importances([trial_importances(features, LABELS, FOLDS, np.arange(40), trees=60, seed=1)])
    assert mean.impurity.argmax() == mean.permutation.argmax() == mean.votes.argmax() == 17
    assert mean.permutation[17] > 5 * np.sort(mean.permutation)[-2]


def test_order_and_names_of_clusters_do_not_change_values() -> None:
    first = trial_importances(FEATURES, LABELS, FOLDS, np.array([0, 1, 0, 2]), trees=20, seed=2)
    second = trial_importances(FEATURES, LABELS, FOLDS, np.array([2, 0, 2, 1]), trees=20, seed=2)
    np.testing.assert_array_equal(first.permutation_of_columns(), second.permutation_of_columns())


def test_values_do_not_depend_on_threads_and_inputs_are_not_written() -> None:
    features = FEATURES.copy()
    features.setflags(write=False)
    first = trial_importances(features, LABELS, FOLDS, ALONE, trees=20, seed=2)
    second = trial_importances(features, LABELS, FOLDS, ALONE, trees=20, seed=2, threads=2)
    np.testing.assert_array_equal(first.permutation, second.permutation)
    np.testing.assert_array_equal(first.impurity, second.impurity)
    other = trial_importances(features, LABELS, FOLDS, ALONE, trees=20, seed=3)
    assert (first.permutation != other.permutation).any()


def test_equal_images_with_different_labels_leave_ties_to_the_forest() -> None:
    # Leaves of both classes: votes are fractions, and many rows have as many for the one as for the other.
    features = np.repeat(np.random.default_rng(0).random((30, 3)).astype(np.float32), 2, axis=0)
    labels = np.tile(["a", "b"], 30)
    folds = np.repeat(np.arange(30) % 3, 2)
    found = trial_importances(features, labels, folds, np.arange(3), trees=30, seed=0)
    assert np.isfinite(found.permutation).all()
    assert np.abs(found.votes).max() < 0.2


def test_a_class_that_was_not_learnt_gets_no_votes() -> None:
    folds = np.where(LABELS == "c", 0, np.arange(60) % 2).astype(np.int8)
    found = trial_importances(FEATURES, LABELS, folds, ALONE, trees=20, seed=2)
    trial = run_trial(FEATURES, LABELS, folds, classifier="forest", task="classification", trees=20, seed=2)
    assert found.scores.tolist() == [scores.f1_weighted for scores in trial.fold_scores]
    assert np.isfinite(found.votes).all()


def test_where_one_class_was_learnt_nothing_is_important() -> None:
    labels, folds = LABELS[:40], np.repeat([0, 1], 20)
    found = trial_importances(FEATURES[:40], labels, folds, ALONE, trees=5, seed=0)
    assert not found.impurity.any()
    assert not found.permutation.any()
    assert found.scores.tolist() == [0.0, 0.0]


def test_regression_loses_r2() -> None:
    folds = make_folds(TARGETS, folds=3, seed=4)
    found = trial_importances(FEATURES, TARGETS, folds, ALONE, task="regression", trees=30, seed=9, repeats=6)
    trial = run_trial(FEATURES, TARGETS, folds, classifier="forest", task="regression", trees=30, seed=9)
    np.testing.assert_allclose(found.scores, [scores.r2 for scores in trial.fold_scores], rtol=1e-12)
    test = folds == 2
    forest = RandomForestRegressor(30, max_features=1 / 3, random_state=estimator_seed(9, 2))
    forest.fit(FEATURES[~test], TARGETS[~test])
    reference = permutation_importance(
        forest,
        FEATURES[test],
        TARGETS[test],
        scoring=make_scorer(r2_score),
        n_repeats=6,
        random_state=permutation_seed(9, 2),
    )
    np.testing.assert_array_equal(found.impurity[2], forest.feature_importances_)
    np.testing.assert_allclose(found.permutation[2], reference.importances.T, atol=1e-12)
    assert found.permutation[2].mean(axis=0).argmax() == 0
    assert np.isnan(found.votes).all()


def test_means_and_spreads_are_over_the_folds_of_all_trials() -> None:
    trials = [
        trial_importances(FEATURES, LABELS, FOLDS, np.array([0, 0, 1, 2]), trees=10, seed=seed, repeats=3)
        for seed in (1, 2)
    ]
    mean = mean_importances(trials)
    assert mean.num_folds == 6
    impurity = np.array([row for trial in trials for row in trial.impurity])
    permutation = np.array([row for trial in trials for row in trial.permutation_of_columns()])
    votes = np.array([row for trial in trials for row in trial.votes_of_columns()])
    np.testing.assert_allclose(mean.impurity, impurity.sum(axis=0) / 6)
    np.testing.assert_allclose(mean.votes, votes.sum(axis=0) / 6, atol=1e-15)
    np.testing.assert_allclose(
        mean.permutation_spread, np.sqrt(((permutation - permutation.mean(axis=0)) ** 2).sum(axis=0) / 5)
    )
    np.testing.assert_allclose(mean.impurity_spread, np.sqrt(((impurity - mean.impurity) ** 2).sum(axis=0) / 5))


def test_trials_that_do_not_correspond_are_not_averaged() -> None:
    trials = [
        trial_importances(FEATURES, LABELS, FOLDS, clusters, trees=2, seed=1, repeats=1)
        for clusters in (ALONE, np.array([0, 0, 1, 2]))
    ]
    with pytest.raises(UsageError, match="different columns or clusters"):
        mean_importances(trials)
    with pytest.raises(UsageError, match="no importances"):
        mean_importances([])


def test_permutations_are_permutations_and_differ() -> None:
    rows = permuted_rows(50, seed=3, repeats=8)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(50), (8, 1)))
    assert len({tuple(row) for row in rows.tolist()}) == 8
    np.testing.assert_array_equal(permuted_rows(50, seed=3, repeats=4), rows[:4])


NAN = FEATURES.copy()
NAN[3, 2] = np.nan


@pytest.mark.parametrize(("changes", "error", "reason"), [
    ({"features": FEATURES[:59]}, DimensionMismatchError, r"features \(59, 4\), labels \(60,\)"),
    ({"folds": FOLDS[:59]}, DimensionMismatchError, "do not correspond"),
    ({"clusters": ALONE[:3]}, DimensionMismatchError, r"clusters \(3,\)"),
    ({"features": FEATURES.ravel()}, DimensionMismatchError, "not a matrix"),
    ({"features": NAN}, EncodingError, "not finite"),
    ({"features": FEATURES[:, :0], "clusters": ALONE[:0]}, UsageError, "empty"),
    ({"folds": FOLDS * 0}, UsageError, "1 fold"),
    ({"clusters": ALONE + 1}, UsageError, "not numbered"),
    ({"clusters": ALONE * 2}, UsageError, "not numbered"),
    ({"clusters": ALONE * 1.0}, UsageError, "not numbered"),
    ({"repeats": 0}, UsageError, "0 repeats"),
])  # fmt: skip
def test_what_cannot_be_asked_is_refused(changes, error, reason: str) -> None:
    arguments = {"features": FEATURES, "labels": LABELS, "folds": FOLDS, "clusters": ALONE} | changes
    with pytest.raises(error, match=reason) as caught:
        trial_importances(**arguments, trees=2, seed=0)
    assert "\n" not in str(caught.value)
