import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from texture_store.errors import UsageError
from texture_store.evaluation.folds import make_folds
from texture_store.evaluation.metadata import columns_score, metadata_baseline, metadata_score, shuffled
from texture_store.evaluation.trial import estimator_seed

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.array(["coarse", "fine", "none"]), 30)
SCALE = np.where(LABELS == "coarse", 1.0, 0.1) * RNG.uniform(0.8, 1.2, 90)
SCALE[::9] = np.nan
NOISE = RNG.normal(size=90)
DETECTOR = np.where(LABELS == "none", "BSE", "SE").astype(object)
DETECTOR[:3] = None
FOLDS = make_folds(LABELS, folds=3, seed=1)


def test_a_column_alone_scores_as_a_plain_loop_of_scikit_learn_does():
    predicted = np.empty_like(LABELS)
    for fold in range(3):
        test = fold == FOLDS
        train = ~test
        forest = RandomForestClassifier(20, random_state=estimator_seed(7, fold))
        predicted[test] = forest.fit(SCALE[train, None], LABELS[train]).predict(SCALE[test, None])
    found = columns_score([SCALE], LABELS, FOLDS, trees=20, seed=7)
    assert found.f1_weighted == f1_score(LABELS, predicted, average="weighted")


def test_what_decides_the_label_is_told_from_what_does_not():
    found = metadata_score({"um_per_px": SCALE, "detector": DETECTOR, "noise": NOISE}, LABELS, FOLDS, trees=30, seed=3)
    assert found.together.f1_weighted > 0.9
    assert found.fields["noise"].f1_weighted < 0.5
    assert found.fields["um_per_px"].f1_by_class["coarse"] > 0.9
    assert found.fields["detector"].f1_by_class["none"] > 0.9
    assert found.fields["detector"].f1_by_class["coarse"] < 0.7


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_linear_classifiers_take_missing_values_too(classifier):
    found = columns_score([DETECTOR, SCALE], LABELS, FOLDS, classifier=classifier, seed=3)
    assert found.f1_weighted > 0.5


def test_one_column_is_also_all_of_them():
    found = metadata_score({"um_per_px": SCALE}, LABELS, FOLDS, trees=10, seed=3)
    assert found.together is found.fields["um_per_px"]


def test_the_baseline_is_the_best_that_metadata_reach():
    columns = {"um_per_px": SCALE, "noise": NOISE}
    folds = [make_folds(LABELS, folds=3, seed=seed) for seed in (1, 2)]
    trials = [metadata_score(columns, LABELS, own, trees=10, seed=5 + t) for t, own in enumerate(folds)]
    alone = [np.mean([trial.fields[name].f1_weighted for trial in trials]) for name in columns]
    expected = max(np.mean([trial.together.f1_weighted for trial in trials]), *alone)
    assert metadata_baseline(columns, LABELS, folds, trees=10, seed=5) == pytest.approx(expected)
    with pytest.raises(UsageError, match="no trial"):
        metadata_baseline(columns, LABELS, [], seed=5)


def test_shuffled_labels_are_the_same_labels_and_cannot_be_predicted():
    dealt = shuffled(LABELS, seed=4)
    assert sorted(dealt) == sorted(LABELS)
    assert (dealt != LABELS).mean() > 0.4
    np.testing.assert_array_equal(dealt, shuffled(LABELS, seed=4))
    guess = DummyClassifier(strategy="stratified", random_state=0).fit(SCALE, LABELS).predict(SCALE)
    found = columns_score([SCALE, DETECTOR], dealt, make_folds(dealt, folds=3, seed=1), trees=30, seed=3)
    assert abs(found.f1_weighted - f1_score(LABELS, guess, average="weighted")) < 0.2


def test_no_column_is_said():
    with pytest.raises(UsageError, match="--columns"):
        columns_score([], LABELS, FOLDS, seed=1)
