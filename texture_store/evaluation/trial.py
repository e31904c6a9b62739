"""One trial: learn without each fold, predict it, and score all predictions together and fold by fold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
from sklearn.utils import assert_all_finite

from texture_store.errors import DimensionMismatchError, EncodingError, UsageError
from texture_store.evaluation.classifiers import NUM_TREES, Classifier, Regressor, Task, make_estimator
from texture_store.evaluation.scores import RegressionScores, Scores, score, score_regression

Vectors = npt.NDArray[np.floating]
OfFold = Callable[[int], Vectors]
"""Vectors of all rows as they are where a fold is tested: what was learnt for them was learnt without it."""

COPIED_ROWS = 64
"""Rows that are gathered at once: 33 MB of packed Gram at conv5_3."""

AnyScores = TypeVar("AnyScores", Scores, RegressionScores)


@dataclass(frozen=True)
class Trial(Generic[AnyScores]):
    """What one cross-validation found."""

    predictions: npt.NDArray[Any]
    """(n,) for each row what was predicted without its fold."""
    scores: AnyScores
    """Of all predictions pooled."""
    fold_scores: list[AnyScores]
    """Of each fold's own rows, in the order of the folds."""


@overload
def run_trial(
    features: Vectors | OfFold,
    labels: npt.NDArray[np.str_],
    folds: npt.NDArray[np.integer],
    *,
    classifier: Classifier | Regressor,
    task: Literal["classification"],
    trees: int = ...,
    seed: int,
    threads: int = ...,
    columns: npt.NDArray[np.floating] | None = ...,
    allow_missing: bool = ...,
) -> Trial[Scores]: ...


@overload
def run_trial(
    features: Vectors | OfFold,
    labels: npt.NDArray[np.float64],
    folds: npt.NDArray[np.integer],
    *,
    classifier: Classifier | Regressor,
    task: Literal["regression"],
    trees: int = ...,
    seed: int,
    threads: int = ...,
    columns: npt.NDArray[np.floating] | None = ...,
    allow_missing: bool = ...,
) -> Trial[RegressionScores]: ...


def run_trial(
    features: Vectors | OfFold,
    labels: npt.NDArray[Any],
    folds: npt.NDArray[np.integer],
    *,
    classifier: Classifier | Regressor,
    task: Task,
    trees: int = NUM_TREES,
    seed: int,
    threads: int = 1,
    columns: npt.NDArray[np.floating] | None = None,
    allow_missing: bool = False,
) -> Trial[Scores] | Trial[RegressionScores]:
    """Cross-validate over `folds` (n,) of `make_folds`; equal to a plain scikit-learn loop with the same seeds.

    features (n, d) are never copied as a whole, only the rows of one fold's training or test at a time (the SVM keeps
    the former while it predicts the latter), and may be read-only. columns (n, c) stand beside them. labels (n,): text,
    or float64 for regression. Fold k is learnt with the seed `estimator_seed(seed, k)`. Where all rows to learn from
    are of one class, that class is predicted. Where the features themselves depend on what is learnt from (dictionaries
    inside the folds), `features` gives those of fold k, and is asked once for each, when the one before is done with.
    allow_missing: NaN stands for a missing value; forests only, which learn the side to which it goes.

    Raises:
        DimensionMismatchError: rows, labels, folds and columns do not correspond.
        EncodingError: a value is not finite.
        UsageError: no features, one fold only, or a classifier that the task does not have.
    """
    if allow_missing and classifier != "forest":
        raise UsageError(f"{classifier} does not take missing values; fill them or take forest")
    _check_finite(columns, allow_missing=allow_missing)
    if not callable(features):
        _check(features, labels, folds, columns)
        _check_finite(features, allow_missing=allow_missing)
    predictions = np.empty_like(labels)
    numbers = np.unique(folds)
    for number in numbers:
        train, test = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        if task == "classification" and (labels[train] == labels[train[0]]).all():
            predictions[test] = labels[train[0]]
            continue
        estimator = make_estimator(
            classifier, task=task, trees=trees, seed=estimator_seed(seed, int(number)), threads=threads
        )
        if callable(features):
            vectors = features(int(number))
            _check(vectors, labels, folds, columns)
            _check_finite(vectors, allow_missing=allow_missing)
        else:
            vectors = features
        estimator.fit(_rows(vectors, columns, train), labels[train])
        predictions[test] = estimator.predict(_rows(vectors, columns, test))
        del vectors  # before the next one is made
    if task == "regression":
        each = [score_regression(labels[folds == number], predictions[folds == number]) for number in numbers]
        return Trial(predictions, score_regression(labels, predictions), each)
    classes = [str(name) for name in np.unique(labels)]
    by_fold = [score(labels[folds == number], predictions[folds == number], classes) for number in numbers]
    return Trial(predictions, score(labels, predictions, classes), by_fold)


def estimator_seed(seed: int, fold: int) -> int:
    """Each fold grows its own trees, and no seed shares them with its neighbour; 0 <= estimator_seed < 2**32."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def _rows(features: Vectors, columns: npt.NDArray[np.floating] | None, chosen: npt.NDArray[np.intp]) -> Vectors:
    """The chosen rows, (m, d + c), in the precision of the features."""
    if columns is None:
        return features[chosen]
    width = features.shape[1]
    rows = np.empty((len(chosen), width + columns.shape[1]), dtype=features.dtype)
    rows[:, width:] = columns[chosen]
    # By blocks: the chosen rows of the features exist once, not twice.
    for start in range(0, len(chosen), COPIED_ROWS):
        block = slice(start, start + COPIED_ROWS)
        rows[block, :width] = features[chosen[block]]
    return rows


def _check(
    features: Vectors,
    labels: npt.NDArray[Any],
    folds: npt.NDArray[np.integer],
    columns: npt.NDArray[np.floating] | None,
) -> None:
    beside = "" if columns is None else f", columns {columns.shape}"
    if (
        features.ndim != 2
        or labels.shape != (len(features),)
        or folds.shape != labels.shape
        or (columns is not None and (columns.ndim != 2 or len(columns) != len(features)))
    ):
        raise DimensionMismatchError(
            f"features {features.shape}, labels {labels.shape}, folds {folds.shape}{beside} do not correspond; "
            "give (n, d), (n,), (n,)" + (" and (n, c)" if beside else "")
        )
    if len(features) == 0 or features.shape[1] + (0 if columns is None else columns.shape[1]) == 0:
        raise UsageError(f"the feature set is empty ({len(features)} images x {features.shape[1]} values); featurize")
    if (number := len(np.unique(folds))) < 2:
        raise UsageError(f"{number} fold; at least two are needed, one to learn from")


def _check_finite(values: npt.NDArray[np.floating] | None, *, allow_missing: bool) -> None:
    if values is None:
        return
    try:
        assert_all_finite(values, allow_nan=allow_missing)
    except ValueError as error:
        raise EncodingError("features hold values that are not finite; leave those images out") from error
