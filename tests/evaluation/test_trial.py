import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.evaluation.clouds import LABELS, clouds
from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.classifiers import RIDGE_PENALTIES, make_estimator
from texture_store.evaluation.folds import fold_seed, make_folds, singleton_groups
from texture_store.evaluation.scores import majority_score, spread
from texture_store.evaluation.trial import estimator_seed, run_trial

FEATURES = clouds(1.5)
FOLDS = make_folds(LABELS, folds=3, seed=4)
GROUPS = np.array([f"g{row // 4}" for row in range(60)])
TARGETS = clouds(2.0, seed=1).sum(axis=1).astype(np.float64)

PLAIN = {
    "forest": lambda seed: RandomForestClassifier(30, random_state=seed),
    "svm": lambda seed: make_estimator("svm", task="classification", seed=seed),
    "logistic": lambda _: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}
PLAIN_REGRESSION = {
    "forest": lambda seed: RandomForestRegressor(30, max_features=1 / 3, random_state=seed),
    "ridge": lambda _: make_pipeline(StandardScaler(), RidgeCV(alphas=RIDGE_PENALTIES)),
}


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["image", "group"])
@pytest.mark.parametrize("classifier", ["forest", "svm", "logistic"])
def test_scores_are_exactly_those_of_a_plain_loop(classifier, groups) -> None:
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(3, shuffle=True, random_state=4)
    predictions, by_fold = np.empty_like(LABELS), []
    for number, (train, test) in enumerate(splitter.split(FEATURES, LABELS, groups)):
        model = PLAIN[classifier](estimator_seed(9, number)).fit(FEATURES[train], LABELS[train])
        predictions[test] = model.predict(FEATURES[test])
        by_fold.append(f1_score(LABELS[test], predictions[test], average="weighted", zero_division=0))

    folds = make_folds(LABELS, folds=3, seed=4, groups=groups)
    trial = run_trial(FEATURES, LABELS, folds, classifier=classifier, task="classification", trees=30, seed=9)

    np.testing.assert_array_equal(trial.predictions, predictions)
    assert trial.scores.f1_weighted == f1_score(LABELS, predictions, average="weighted")
    assert trial.scores.f1_macro == f1_score(LABELS, predictions, average="macro")
    assert trial.scores.accuracy == accuracy_score(LABELS, predictions)
    assert [fold.f1_weighted for fold in trial.fold_scores] == by_fold
    assert 0.4 < trial.scores.accuracy < 1  # neither all right nor guessing: predictions can differ
    np.testing.assert_array_equal(sum(fold.confusion for fold in trial.fold_scores), trial.scores.confusion)


@pytest.mark.parametrize("classifier", ["forest", "ridge"])
def test_regression_is_exactly_that_of_a_plain_loop(classifier) -> None:
    folds = make_folds(TARGETS, folds=3, seed=4)
    predictions = np.empty(60)
    for number in range(3):
        train, test = folds != number, folds == number
        model = PLAIN_REGRESSION[classifier](estimator_seed(9, number)).fit(FEATURES[train], TARGETS[train])
        predictions[test] = model.predict(FEATURES[test])

    trial = run_trial(FEATURES, TARGETS, folds, classifier=classifier, task="regression", trees=30, seed=9)

    np.testing.assert_array_equal(trial.predictions, predictions)
    assert (trial.scores.r2, trial.scores.mae) == (
        r2_score(TARGETS, predictions),
        mean_absolute_error(TARGETS, predictions),
    )
    assert trial.fold_scores[1].r2 == r2_score(TARGETS[folds == 1], predictions[folds == 1])


def test_features_that_depend_on_the_fold_are_asked_for_once_and_in_turn() -> None:
    asked = []

    def of_fold(fold: int) -> np.ndarray:
        asked.append(fold)
        return FEATURES if fold != 1 else FEATURES[:, ::-1]

    settings = {"classifier": "forest", "task": "classification", "trees": 30, "seed": 9}
    trial = run_trial(of_fold, LABELS, FOLDS, **settings)
    assert asked == [0, 1, 2]
    straight, reversed_ = (run_trial(each, LABELS, FOLDS, **settings) for each in (FEATURES, FEATURES[:, ::-1]))
    expected = np.where(FOLDS == 1, reversed_.predictions, straight.predictions)
    np.testing.assert_array_equal(trial.predictions, expected)
    assert (straight.predictions != reversed_.predictions)[FOLDS == 1].any()


def test_features_of_a_fold_are_checked_too() -> None:
    settings = {"classifier": "forest", "task": "classification", "seed": 9}
    with pytest.raises(DimensionMismatchError, match="do not correspond"):
        run_trial(lambda fold: FEATURES[: 60 - fold], LABELS, FOLDS, **settings)
    with pytest.raises(EncodingError, match="not finite"):
        run_trial(lambda fold: FEATURES * np.float32("nan"), LABELS, FOLDS, **settings)


def test_columns_stand_beside_the_features() -> None:
    features, columns = clouds(0.0), clouds(3.0)[:, :2].astype(np.float64)
    beside = run_trial(
        features, LABELS, FOLDS, classifier="forest", task="classification", trees=30, seed=1, columns=columns
    )
    together = np.hstack([features, columns.astype(np.float32)])
    one = run_trial(together, LABELS, FOLDS, classifier="forest", task="classification", trees=30, seed=1)
    np.testing.assert_array_equal(beside.predictions, one.predictions)
    alone = run_trial(features, LABELS, FOLDS, classifier="forest", task="classification", trees=30, seed=1)
    assert beside.scores.accuracy > alone.scores.accuracy + 0.2
    only = run_trial(
        features[:, :0], LABELS, FOLDS, classifier="forest", task="classification", trees=30, seed=1, columns=columns
    )
    assert only.scores.accuracy > 0.7


@pytest.mark.parametrize("classifier", ["forest", "svm", "logistic"])
def test_shared_features_are_read_and_not_written(classifier) -> None:
    features = clouds(1.5)
    features.setflags(write=False)
    first = run_trial(features, LABELS, FOLDS, classifier=classifier, task="classification", trees=10, seed=1)
    again = run_trial(features, LABELS, FOLDS, classifier=classifier, task="classification", trees=10, seed=1)
    np.testing.assert_array_equal(first.predictions, again.predictions)


# A fold in training is 2/3 of the rows. Beside it: 64 rows of 600 where columns are put beside them; for the SVM, which
# keeps what it learnt from, the rows under test.
@pytest.mark.parametrize(("classifier", "columns", "share"), [("forest", 0, 0.7), ("forest", 3, 0.8), ("svm", 0, 1.1)])
def test_only_the_fold_in_training_is_copied(classifier, columns: int, share: float) -> None:
    features = np.random.default_rng(0).random((600, 10_000), dtype=np.float32)  # 24 MB
    labels = np.repeat(["a", "b", "c"], 200)
    folds = make_folds(labels, folds=3, seed=0)
    beside = np.zeros((600, columns), dtype=np.float32) if columns else None
    tracemalloc.start()
    try:
        run_trial(
            features, labels, folds, classifier=classifier, task="classification", trees=1, seed=0, columns=beside
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < share * features.nbytes


def test_a_row_is_never_predicted_by_a_forest_that_saw_it() -> None:
    # Each row's own features are unique, so that a forest which saw the row would know its label; otherwise none can.
    rng = np.random.default_rng(1)
    labels = rng.permutation(LABELS)
    folds = make_folds(labels, folds=3, seed=0)
    trial = run_trial(np.eye(60), labels, folds, classifier="forest", task="classification", trees=30, seed=0)
    assert trial.scores.accuracy < 0.6


def test_predictions_do_not_depend_on_the_threads_but_on_the_seed() -> None:
    first, second, *others = (
        run_trial(FEATURES, LABELS, FOLDS, classifier="forest", task="classification", trees=20, seed=s, threads=t)
        for s, t in [(3, 1), (3, 2), (4, 1), (5, 1), (6, 1)]
    )
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert any((first.predictions != other.predictions).any() for other in others)


def test_folds_grow_different_trees() -> None:
    assert len({estimator_seed(seed, fold) for seed in range(50) for fold in range(3)}) == 150


@pytest.mark.parametrize("classifier", ["forest", "svm", "logistic"])
def test_what_was_learnt_from_one_class_is_that_class(classifier) -> None:
    labels = np.array(["a"] * 10 + ["b"] * 10)
    folds = (labels == "b").astype(np.int8)
    trial = run_trial(clouds(9.0)[:20], labels, folds, classifier=classifier, task="classification", trees=5, seed=0)
    assert trial.scores.accuracy == 0.0
    assert trial.scores.f1_by_class == {"a": 0.0, "b": 0.0}


def test_a_forest_takes_missing_values_where_they_are_allowed() -> None:
    # Whether the value is there tells a from b; how large it is tells nothing.
    labels = np.array(["a", "b"] * 30)
    values = np.random.default_rng(0).random((60, 1)).astype(np.float32)
    values[labels == "a"] = np.nan
    folds = make_folds(labels, folds=3, seed=0)
    trial = run_trial(
        values, labels, folds, classifier="forest", task="classification", trees=20, seed=0, allow_missing=True
    )
    assert trial.scores.accuracy == 1.0
    with pytest.raises(UsageError, match="svm does not take missing values"):
        run_trial(values, labels, folds, classifier="svm", task="classification", seed=0, allow_missing=True)


NAN, INF = FEATURES.copy(), FEATURES.copy()
NAN[3, 2], INF[3, 2] = np.nan, np.inf


@pytest.mark.parametrize(("features", "labels", "folds", "error", "reason"), [
    (FEATURES[:59], LABELS, FOLDS, DimensionMismatchError, r"features \(59, 4\), labels \(60,\), folds \(60,\)"),
    (FEATURES, LABELS, FOLDS[:59], DimensionMismatchError, r"folds \(59,\) do not correspond"),
    (FEATURES.ravel(), LABELS, FOLDS, DimensionMismatchError, "do not correspond"),
    (NAN, LABELS, FOLDS, EncodingError, "not finite"),
    (INF, LABELS, FOLDS, EncodingError, "not finite"),
    (FEATURES[:, :0], LABELS, FOLDS, UsageError, r"empty \(60 images x 0 values\)"),
    (FEATURES[:0], LABELS[:0], FOLDS[:0], UsageError, r"empty \(0 images x 4 values\)"),
    (FEATURES, LABELS, FOLDS * 0, UsageError, "1 fold; at least two"),
])  # fmt: skip
def test_what_cannot_be_tried_is_refused(features, labels, folds, error, reason: str) -> None:
    with pytest.raises(error, match=reason) as caught:
        run_trial(features, labels, folds, classifier="forest", task="classification", trees=2, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("columns", "error"), [
    (np.zeros((59, 1)), DimensionMismatchError),
    (np.zeros(60), DimensionMismatchError),
    (np.full((60, 1), np.nan), EncodingError),
])  # fmt: skip
def test_columns_that_do_not_fit_are_refused(columns, error) -> None:
    with pytest.raises(error):
        run_trial(FEATURES, LABELS, FOLDS, classifier="forest", task="classification", trees=2, seed=0, columns=columns)


@pytest.mark.slow
def test_scale_alone_predicts_the_papers_steel_labels(test_data: Path) -> None:
    """The paper's 710 images, of which a forest knows nothing but um per px: 0.904 by image, 0.89 by specimen."""
    micrometres = {"um": 1.0, "nm": 1e-3}
    with (test_data / "uhcs" / "uhcs-metadata.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["primary_microconstituent"] in ("spheroidite", "network", "pearlite")
        ]
    assert len(rows) == 710
    um_per_px = np.array([
        [float(row["micron_bar"]) * micrometres[row["micron_bar_units"]] / float(row["micron_bar_px"])] for row in rows
    ])  # fmt: skip
    labels = np.array([row["primary_microconstituent"] for row in rows])
    groups, without = singleton_groups(np.array([row["sample_id"] for row in rows], dtype=object))
    assert (without, len(set(groups))) == (69, 42 + 69)
    scores: dict[str, list[float]] = {"image": [], "group": []}
    for protocol, found in scores.items():
        for trial in range(4):
            seed = fold_seed(dataset="uhcs", snapshot=1, label="phase", protocol=protocol, trial=trial)
            folds = make_folds(labels, folds=3, seed=seed, groups=groups if protocol == "group" else None)
            # 100 of the 400 trees: one column has a single split to choose, so that more change nothing.
            result = run_trial(
                um_per_px, labels, folds, classifier="forest", task="classification", trees=100, seed=seed
            )
            found.append(result.scores.f1_weighted)
    assert spread(scores["image"])[0] == pytest.approx(0.904, abs=0.015)
    assert spread(scores["group"])[0] == pytest.approx(0.89, abs=0.02)
    assert majority_score(labels) == pytest.approx(0.363, abs=0.001)
