"""How right predictions are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, mean_absolute_error, r2_score

from texture_store.errors import DimensionMismatchError, UsageError

Labels = npt.NDArray[np.str_]
Targets = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Of predicted classes; each score is 0 to 1."""

    f1_weighted: float
    """Mean of the classes' F1, weighted by how many rows are of them."""
    f1_macro: float
    """Plain mean of the F1 of the classes that occur among labels or predictions."""
    accuracy: float
    f1_by_class: dict[str, float]
    """NaN for a class that is neither among the labels nor predicted: its F1 is not defined."""
    confusion: npt.NDArray[np.int64]
    """(classes, classes) number of rows of the one class (row) that were predicted as the other (column)."""
    classes: list[str]


@dataclass(frozen=True)
class RegressionScores:
    """Of predicted numbers."""

    r2: float
    """1 - squared error / squared error of always predicting the mean of these very rows; negative when worse. NaN for
    fewer than two rows."""
    mae: float
    """Mean absolute error, in the unit of the target."""


def score(labels: Labels, predictions: Labels, classes: Sequence[str]) -> Scores:
    """Scores of `predictions` (n,) of `labels` (n,); `classes` orders the confusion matrix and holds all that occur.

    A class that is never predicted has F1 = 0. DimensionMismatchError when labels and predictions do not correspond,
    UsageError for no rows at all and for a label that is not among the classes.
    """
    _check(labels, predictions)
    names = [str(name) for name in classes]
    if unknown := sorted({*map(str, np.unique(labels)), *map(str, np.unique(predictions))} - set(names)):
        raise UsageError(f"{unknown[0]!r} is none of the classes ({', '.join(names)}); name every class")
    each = f1_score(labels, predictions, labels=names, average=None, zero_division=np.nan)
    return Scores(
        f1_weighted=weighted_f1(labels, predictions),
        f1_macro=float(f1_score(labels, predictions, average="macro", zero_division=0)),
        accuracy=float(accuracy_score(labels, predictions)),
        f1_by_class={name: float(f1) for name, f1 in zip(names, each, strict=True)},
        confusion=confusion_matrix(labels, predictions, labels=names).astype(np.int64),
        classes=names,
    )


def score_regression(targets: Targets, predictions: Targets) -> RegressionScores:
    """Scores of `predictions` (n,) of `targets` (n,), both float64.

    DimensionMismatchError when they do not correspond, UsageError for no rows at all.
    """
    _check(targets, predictions)
    return RegressionScores(
        r2=float(r2_score(targets, predictions)) if len(targets) > 1 else float("nan"),
        mae=float(mean_absolute_error(targets, predictions)),
    )


def weighted_f1(labels: Labels, predicted: Labels) -> float:
    """F1 of each label, weighted by how often it occurs; a label that is never predicted has F1 = 0."""
    return float(f1_score(labels, predicted, average="weighted", zero_division=0))


def majority_score(labels: Labels) -> float:
    """Weighted F1 of always predicting the most frequent label: what any score has to be compared with."""
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(names) == 0:
        raise UsageError("no labels to score; index with a labels file")
    return weighted_f1(labels, np.full(len(labels), names[np.argmax(counts)]))


def spread(values: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation (ddof = 1, the paper's error bar over trials); the latter is NaN for one value."""
    if len(values) == 0:
        raise UsageError("no values to average; evaluate at least one trial")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _check(labels: npt.NDArray[np.generic], predictions: npt.NDArray[np.generic]) -> None:
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise DimensionMismatchError(
            f"labels {labels.shape} and predictions {predictions.shape} do not correspond; give (n,) each"
        )
    if len(labels) == 0:
        raise UsageError("no predictions to score; give at least one row")
