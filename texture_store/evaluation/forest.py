"""The paper's yardstick in one call: a random forest under 3-fold cross-validation by image, scored by weighted F1."""

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError
from texture_store.evaluation.classifiers import NUM_TREES
from texture_store.evaluation.folds import make_folds
from texture_store.evaluation.trial import run_trial

NUM_FOLDS = 3
"""The paper's."""


def forest_score(
    features: npt.NDArray[np.floating],
    labels: npt.NDArray[np.str_],
    *,
    trees: int = NUM_TREES,
    folds: int = NUM_FOLDS,
    seed: int,
    threads: int = 1,
) -> float:
    """Weighted F1, 0..1, of all out-of-fold predictions pooled.

    features (n, d), finite; labels (n,). Folds are shuffled and stratified. The result does not depend on `threads`.
    DimensionMismatchError when rows and labels do not correspond, EncodingError for values that are not finite,
    UsageError for fewer than two labels and for a label with fewer images than folds.
    """
    if features.ndim != 2 or labels.shape != (len(features),):
        raise DimensionMismatchError(
            f"features {features.shape} and labels {labels.shape} do not correspond; give (n, d) and (n,)"
        )
    tested_in = make_folds(labels, folds=folds, seed=seed)
    trial = run_trial(
        features,
        labels,
        tested_in,
        classifier="forest",
        task="classification",
        trees=trees,
        seed=seed,
        threads=threads,
    )
    return trial.scores.f1_weighted
