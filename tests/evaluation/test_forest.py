import numpy as np
import pytest

from tests.evaluation.clouds import LABELS, clouds
from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.folds import make_folds
from texture_store.evaluation.forest import forest_score
from texture_store.evaluation.scores import weighted_f1
from texture_store.evaluation.trial import run_trial


def test_clouds_far_apart_are_told_apart() -> None:
    assert forest_score(clouds(30.0), LABELS, trees=20, seed=0) == 1.0


def test_noise_scores_about_as_guessing_does() -> None:
    scores = [forest_score(clouds(0.0, seed), LABELS, trees=30, seed=seed) for seed in range(6)]
    assert 0.2 < np.mean(scores) < 0.47  # guessing: 1/3; a score from trees that saw the row would be 1


def test_the_score_is_that_of_a_trial_pooled_over_stratified_folds() -> None:
    features = clouds(1.5)
    folds = make_folds(LABELS, folds=3, seed=3)
    trial = run_trial(features, LABELS, folds, classifier="forest", task="classification", trees=20, seed=3)
    assert forest_score(features, LABELS, trees=20, seed=3) == weighted_f1(LABELS, trial.predictions)
    assert forest_score(features, LABELS, trees=20, seed=3, threads=2) == trial.scores.f1_weighted


@pytest.mark.parametrize(("features", "labels", "error", "reason"), [
    (np.zeros((59, 4)), LABELS, DimensionMismatchError, "do not correspond"),
    (np.zeros(60), LABELS, DimensionMismatchError, "do not correspond"),
    (np.full((60, 4), np.nan), LABELS, EncodingError, "not finite"),
    (np.zeros((60, 4)), np.repeat("a", 60), UsageError, "one class only"),
    (np.zeros((5, 4)), np.array(["a", "a", "a", "b", "b"]), UsageError, "'b' has 2 images"),
    (np.zeros((0, 4)), np.array([], dtype=str), UsageError, "0 images"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused(features, labels, error, reason: str) -> None:
    with pytest.raises(error, match=reason):
        forest_score(features, labels, trees=5, seed=0)
