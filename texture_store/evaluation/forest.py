"""The paper's yardstick: a random forest under cross-validation, scored by weighted F1.

Ling et al. 2017: 400 trees, 3 folds. Averaging of F1 and stratification are not stated there; the library of one of its
authors (Citrine's lolo) weights F1 by class, tries the square root of the number of features per split, grows trees to
full depth and measures impurity by Gini, and so does this.
"""

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from texture_store.errors import DimensionMismatchError, EncodingError, UsageError

NUM_TREES = 400
NUM_FOLDS = 3

Vectors = npt.NDArray[np.floating]
Labels = npt.NDArray[np.str_]


def forest_predictions(
    features: Vectors,
    labels: Labels,
    *,
    trees: int = NUM_TREES,
    folds: int = NUM_FOLDS,
    seed: int,
    threads: int = 1,
) -> Labels:
    """For each row the label that a forest predicts which was grown without that row's fold.

    features (n, d), finite; labels (n,). Folds are shuffled and stratified. The result does not depend on `threads`.
    DimensionMismatchError when rows and labels do not correspond, EncodingError for values that are not finite,
    UsageError for fewer than two labels and for a label with fewer images than folds.
    """
    labels = np.asarray(labels)
    _check(features, labels, folds)
    predicted = np.empty_like(labels)
    for number, (train, test) in enumerate(
        StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, labels)
    ):
        forest = RandomForestClassifier(
            n_estimators=trees,
            criterion="gini",
            max_features="sqrt",
            bootstrap=True,
            # Each fold grows its own trees, and no seed shares them with its neighbour.
            random_state=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
            n_jobs=threads,
        )
        predicted[test] = forest.fit(features[train], labels[train]).predict(features[test])
    return predicted


def forest_score(
    features: Vectors,
    labels: Labels,
    *,
    trees: int = NUM_TREES,
    folds: int = NUM_FOLDS,
    seed: int,
    threads: int = 1,
) -> float:
    """Weighted F1, 0..1, of all out-of-fold predictions pooled. Arguments and errors as `forest_predictions`."""
    return weighted_f1(
        labels, forest_predictions(features, labels, trees=trees, folds=folds, seed=seed, threads=threads)
    )


def majority_score(labels: Labels) -> float:
    """Weighted F1 of always predicting the most frequent label: what any score has to be compared with."""
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(names) == 0:
        raise UsageError("no labels to score; index with a labels file")
    return weighted_f1(labels, np.full(len(labels), names[np.argmax(counts)]))


def weighted_f1(labels: Labels, predicted: Labels) -> float:
    """F1 of each label, weighted by how often it occurs; a label that is never predicted has F1 = 0."""
    return float(f1_score(labels, predicted, average="weighted", zero_division=0))


def _check(features: Vectors, labels: Labels, folds: int) -> None:
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise DimensionMismatchError(
            f"features {features.shape} and labels {labels.shape} do not correspond; give (n, d) and (n,)"
        )
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2:
        raise UsageError(f"{len(names)} different labels; at least two are needed to tell them apart")
    if counts.min() < folds:
        raise UsageError(
            f"label {str(names[np.argmin(counts)])!r} has {counts.min()} images, fewer than {folds} folds; "
            "leave it out or take fewer folds"
        )
    if not np.isfinite(features).all():
        raise EncodingError("features hold values that are not finite; leave those images out")
