"""What metadata alone say about the label, no pixel seen: with the classifier and the folds that features get.

A score of features means little beside one that um per px reaches alone: of the 710 micrographs of Ling et al. 2017 the
latter is 0.90. Whatever predicts the label without the texture is what a score of textures has to be compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from texture_store.errors import UsageError
from texture_store.evaluation.classifiers import NUM_TREES, Classifier
from texture_store.evaluation.columns import Column, linear_matrix, tree_matrix
from texture_store.evaluation.scores import Scores
from texture_store.evaluation.trial import run_trial

Labels = npt.NDArray[np.str_]
Folds = npt.NDArray[np.int8]


@dataclass(frozen=True)
class MetadataScores:
    """Of one trial."""

    fields: dict[str, Scores]
    """Of each column alone."""
    together: Scores
    """Of all of them."""


def columns_score(
    columns: Sequence[Column],
    labels: Labels,
    folds: Folds,
    *,
    classifier: Classifier = "forest",
    trees: int = NUM_TREES,
    seed: int,
    threads: int = 1,
) -> Scores:
    """Pooled out-of-fold scores of a classifier that is given some columns and nothing else.

    columns: each float64 (n,) with NaN, or text (n,) with None, where nothing is known. labels (n,), folds (n,) of
    `make_folds`. Forests learn to which side a missing number goes; for the others it is the median, and said.
    UsageError for no columns.
    """
    if not columns:
        raise UsageError("no metadata column to predict from; name some with --columns")
    matrix = tree_matrix(columns) if classifier == "forest" else linear_matrix(columns)
    return run_trial(
        matrix,
        labels,
        folds,
        classifier=classifier,
        task="classification",
        trees=trees,
        seed=seed,
        threads=threads,
        allow_missing=classifier == "forest",
    ).scores


def metadata_score(
    columns: Mapping[str, Column],
    labels: Labels,
    folds: Folds,
    *,
    classifier: Classifier = "forest",
    trees: int = NUM_TREES,
    seed: int,
) -> MetadataScores:
    """One trial of each column alone and of all together. Arguments and errors as `columns_score`."""
    settings: dict[str, Any] = {"classifier": classifier, "trees": trees, "seed": seed}
    fields = {name: columns_score([column], labels, folds, **settings) for name, column in columns.items()}
    # One column is also all of them: the same trees would be grown twice.
    together = (
        next(iter(fields.values()))
        if len(fields) == 1
        else columns_score(list(columns.values()), labels, folds, **settings)
    )
    return MetadataScores(fields, together)


def metadata_baseline(
    columns: Mapping[str, Column],
    labels: Labels,
    folds_by_trial: Sequence[Folds],
    *,
    trees: int = NUM_TREES,
    seed: int,
) -> float:
    """Weighted F1, mean over trials, that metadata reach without a picture: of the best column alone, or of all.

    The best, and not only all together: columns that say nothing cost a forest some of what one column says (um per px
    of the steel archive: 0.89 by specimen alone, 0.85 beside magnification and detector). Trial t has the seed
    `seed` + t.
    """
    trials = [
        metadata_score(columns, labels, folds, trees=trees, seed=seed + number)
        for number, folds in enumerate(folds_by_trial)
    ]
    if not trials:
        raise UsageError("no trial to average; evaluate at least one")
    alone = [np.mean([trial.fields[name].f1_weighted for trial in trials]) for name in columns]
    return float(max([np.mean([trial.together.f1_weighted for trial in trials]), *alone]))


def shuffled(labels: Labels, *, seed: int) -> Labels:
    """The labels (n,), dealt out anew: what a classifier then reaches, it reaches by chance."""
    return np.random.default_rng(seed).permutation(labels)
