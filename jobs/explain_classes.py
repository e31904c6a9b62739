"""Which filters are characteristic of each class."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.explain_plan import ExplanationPlan
from jobs.explain_versions import statistics_versions
from texture_store.evaluation.characteristic import METHODS, characteristics, top_filters
from texture_store.evaluation.correlated import correlated_columns
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.explanations import Row, explanation_key, write_explanation

if TYPE_CHECKING:
    import pandas as pd

TABLE = "characteristics"


def class_filters(plan: ExplanationPlan) -> "pd.DataFrame | None":
    """One row a class and filter; computed if the store lacks them. None without labels."""
    if plan.labelled is None:
        return None
    grouping = plan.labelled.grouping
    question = plan.about_labelled() | {"group_column": None if grouping is None else grouping.column}
    key = explanation_key(plan.request.dataset, TABLE, question)
    if key not in plan.there[TABLE]:
        write_explanation(plan.storage, plan.request.dataset, TABLE, question, _computed(plan), statistics_versions())
    return explanations_frame(read_explanations(plan.storage, plan.request.dataset, TABLE, {key}), TABLE)


def _usual(plan: ExplanationPlan, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(d,) mean activation of all filters of each filter's layer."""
    layers = np.array([layer for layer, _ in plan.filters])
    means = features.mean(axis=0, dtype=np.float64)
    found = np.ones(len(layers))
    for layer in np.unique(layers):
        found[layers == layer] = means[layers == layer].mean() or 1.0
    return found


def _computed(plan: ExplanationPlan) -> list[Row]:
    assert plan.labelled is not None
    labelled = plan.labelled
    features = plan.matrix[labelled.rows]
    clusters = correlated_columns(features).of_column
    groups = None if labelled.grouping is None else labelled.grouping.groups
    found = characteristics(features, labelled.labels, groups=groups)
    ranks = {}
    for method in METHODS:
        top = top_filters(found, features.shape[1], method=method, scale=_usual(plan, features), clusters=clusters)
        ranks[method] = {
            name: {int(column): place for place, column in enumerate(columns, 1)} for name, columns in top.items()
        }
    rows: list[Row] = []
    for place, name in enumerate(found.classes):
        shared: dict[str, Any] = {
            "class": name,
            "num_class_images": int(found.num_images[place]),
            "num_class_units": int(found.num_units[place]),
        }
        for column, (layer, number) in enumerate(plan.filters):
            auc = float(found.auc[place, column])
            rows.append(
                shared
                | {
                    "layer": layer,
                    "filter": number,
                    "mean": float(found.means[place, column]),
                    "difference": float(found.differences[place, column]),
                    "auc": None if np.isnan(auc) else auc,
                    "difference_rank": ranks["difference"][name].get(column),
                    "auc_rank": ranks["auc"][name].get(column),
                }
            )
    return rows
