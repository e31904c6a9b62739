"""The row of `evaluations` that a trial ends as."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from jobs.evaluation_plan import EvaluationPlan
from jobs.evaluation_splits import Split
from jobs.evaluation_trials import Outcome
from texture_store.evaluation.scores import RegressionScores, Scores, majority_score, score_regression
from texture_store.evaluation.trial import Trial
from texture_store.store.evaluations import Row

_DECIDING_LIBRARIES = ("texture-store", "scikit-learn", "numpy", "scipy")


def row_of(plan: EvaluationPlan, outcome: Outcome, metadata: Mapping[str, float] | None) -> Row:
    """All columns of schemas.EVALUATIONS; scores, or the error. `metadata`: scores of metadata alone, by field."""
    split = plan.splits[outcome.place[1]]
    row = plan.rows[outcome.place] | {
        "majority": majority(plan, split),
        "metadata": None if metadata is None else dict(metadata),
        "error": outcome.error,
        "seconds": round(outcome.seconds, 3),
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "versions": _versions(),
    }
    if outcome.trial is None:
        return row
    sizes = {"fold_sizes": np.bincount(split.folds, minlength=plan.request.folds).tolist()}
    return row | sizes | _scores(outcome.trial.scores, outcome.trial.fold_scores) | _predictions(outcome.trial)


def majority(plan: EvaluationPlan, split: Split) -> float:
    """Weighted F1 of always predicting the most frequent class; for regression R² of the training folds' mean."""
    if plan.request.task == "classification":
        return majority_score(plan.labels)
    predictions = np.empty_like(plan.labels)
    for fold in np.unique(split.folds):
        test = split.folds == fold
        predictions[test] = plan.labels[~test].mean()
    return score_regression(plan.labels, predictions).r2


def _scores(pooled: Scores | RegressionScores, folds: list[Any]) -> dict[str, object]:
    if isinstance(pooled, RegressionScores):
        return {
            "r2": pooled.r2,
            "mae": pooled.mae,
            "fold_r2": [fold.r2 for fold in folds],
            "fold_mae": [fold.mae for fold in folds],
        }
    return {
        "f1_weighted": pooled.f1_weighted,
        "f1_macro": pooled.f1_macro,
        "accuracy": pooled.accuracy,
        "classes": pooled.classes,
        "f1_by_class": list(pooled.f1_by_class.values()),
        "confusion": pooled.confusion.tolist(),
        "fold_f1_weighted": [fold.f1_weighted for fold in folds],
        "fold_f1_macro": [fold.f1_macro for fold in folds],
        "fold_accuracy": [fold.accuracy for fold in folds],
        "fold_f1_by_class": [list(fold.f1_by_class.values()) for fold in folds],
        "fold_confusion": [fold.confusion.tolist() for fold in folds],
    }


def _predictions(trial: Trial[Any]) -> dict[str, object]:
    if isinstance(trial.scores, RegressionScores):
        return {"predicted_value": trial.predictions.tolist()}
    place = {name: number for number, name in enumerate(trial.scores.classes)}
    return {"predicted_class": [place[str(name)] for name in trial.predictions]}


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _DECIDING_LIBRARIES}
