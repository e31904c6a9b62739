"""Importances: the forests of evaluate on all five mean features, asked what they rely on; a Ray task a trial."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.explain_plan import ExplanationPlan
from jobs.explain_versions import statistics_versions
from jobs.fan_out import fan_out
from texture_store.evaluation.correlated import MIN_CORRELATION, correlated_columns
from texture_store.evaluation.importance import (
    NUM_REPEATS,
    Importances,
    mean_importances,
    trial_importances,
)
from texture_store.evaluation.importance_ranking import rank_importances
from texture_store.evaluation.ranking import top_columns
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.explanations import Row, explanation_key, write_explanation

if TYPE_CHECKING:
    import pandas as pd

TABLE = "importances"


def importances(plan: ExplanationPlan, join: Callable[[], None]) -> "pd.DataFrame | None":
    """One row a filter, the most important ones first; computed if the store lacks them. None without folds.

    `join` connects to Ray, and is called only where something is computed.
    """
    if plan.labelled is None or not plan.labelled.splits:
        return None
    question = _question(plan)
    key = explanation_key(plan.request.dataset, TABLE, question)
    if key not in plan.there[TABLE]:
        join()
        rows = _computed(plan)
        write_explanation(plan.storage, plan.request.dataset, TABLE, question, rows, statistics_versions())
    return explanations_frame(read_explanations(plan.storage, plan.request.dataset, TABLE, {key}), TABLE)


def _question(plan: ExplanationPlan) -> dict[str, Any]:
    assert plan.labelled is not None
    labelled, request = plan.labelled, plan.request
    by_group = labelled.grouping if labelled.protocol == "group" else None
    return plan.about_labelled() | {
        "group_column": None if by_group is None else by_group.column,
        "protocol": labelled.protocol,
        "folds": request.folds,
        "trials": request.trials,
        "trees": request.trees,
        "repeats": NUM_REPEATS,
        "seeds": [split.seed for split in labelled.splits],
        "min_correlation": MIN_CORRELATION,
        "num_folds": request.folds * request.trials,
    }


def _computed(plan: ExplanationPlan) -> list[Row]:
    import ray

    assert plan.labelled is not None
    features = plan.matrix[plan.labelled.rows]
    clusters = correlated_columns(features)
    matrix, shared = ray.put(features), ray.put((plan.labelled.labels, clusters.of_column, plan.request.trees))
    arguments = {split.trial: (matrix, shared, split.folds, split.seed) for split in plan.labelled.splits}
    found = fan_out(_trial, arguments, doing=f"importances by {plan.labelled.protocol}", unit="trials")
    trials = [found[split.trial] for split in plan.labelled.splits]
    means = mean_importances(trials)
    ranking = rank_importances(means, clusters.of_column, test_share=1 / (plan.request.folds - 1))
    ranks = {int(column): place for place, column in enumerate(ranking.columns, 1)}
    impurity_ranks = np.empty(len(means.impurity), np.int64)
    impurity_ranks[top_columns(means.impurity, len(means.impurity))] = np.arange(1, len(means.impurity) + 1)
    sizes = np.bincount(clusters.of_column)
    split_share = np.concatenate([trial.split_on for trial in trials]).mean(axis=0)
    score = float(np.concatenate([trial.scores for trial in trials]).mean())
    class_means = {
        str(name): features[plan.labelled.labels == name].mean(axis=0, dtype=np.float64)
        for name in np.unique(plan.labelled.labels)
    }
    return [
        {
            "score": score,
            "layer": layer,
            "filter": number,
            "rank": ranks.get(column),
            "impurity_rank": int(impurity_ranks[column]),
            "permutation": float(means.permutation[column]),
            "permutation_spread": float(means.permutation_spread[column]),
            "is_loss": bool(ranking.is_loss[column]),
            "votes": float(means.votes[column]),
            "impurity": float(means.impurity[column]),
            "impurity_spread": float(means.impurity_spread[column]),
            "cluster": int(clusters.of_column[column]),
            "cluster_size": int(sizes[clusters.of_column[column]]),
            "partners": int(clusters.partners[column]),
            "split_share": float(split_share[column]),
            "class_means": {name: float(values[column]) for name, values in class_means.items()},
        }
        for column, (layer, number) in enumerate(plan.filters)
    ]


def _trial(
    features: npt.NDArray[np.float32],
    shared: tuple[npt.NDArray[np.str_], npt.NDArray[np.intp], int],
    folds: npt.NDArray[np.int8],
    seed: int,
) -> Importances:
    labels, clusters, trees = shared
    return trial_importances(features, labels, folds, clusters, task="classification", trees=trees, seed=seed)
