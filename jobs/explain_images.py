"""How usual each image is, and the map of the dataset."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.evaluation_request import ALL_LAYERS
from jobs.evaluation_sets import FeatureSet
from jobs.explain_plan import ExplanationPlan
from jobs.explain_versions import statistics_versions
from texture_store.errors import UsageError
from texture_store.evaluation.embedding import embed
from texture_store.evaluation.typical import NUM_NEIGHBOURS, atypical, class_distances
from texture_store.store.comparable import comparable_matrix
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.explanations import Row, explanation_key, write_explanation

if TYPE_CHECKING:
    import pandas as pd

SEED = 0

MAX_COMPARED = 50_000
"""Images among which the atypical ones are looked for: every pair is compared, which takes 4 minutes then (10 s for
10,000) and grows with the square."""


def typical_images(plan: ExplanationPlan) -> "pd.DataFrame":
    """One row an image; computed if the store lacks them. Raises UsageError for too few images and too many."""
    table = "typical"
    if not 2 <= (number := plan.images.num_rows) <= MAX_COMPARED:
        raise UsageError(f"{number:,} images; it takes 2 to {MAX_COMPARED:,}, choose some with --where")
    question = plan.about_images() | {
        "label_column": plan.request.label_column,
        "num_neighbours": min(NUM_NEIGHBOURS, plan.images.num_rows - 1),
    }
    key = explanation_key(plan.request.dataset, table, question)
    if key not in plan.there[table]:
        write_explanation(plan.storage, plan.request.dataset, table, question, _typical(plan), statistics_versions())
    return explanations_frame(read_explanations(plan.storage, plan.request.dataset, table, {key}), table)


def map_points(plan: ExplanationPlan, mapped: FeatureSet) -> "pd.DataFrame":
    """One row an image; computed if the store lacks them. `mapped` are features of the plan's images.

    Raises UsageError for too few images, and for images that all have the same features.
    """
    table, request = "map", plan.request
    question = plan.about_images(mapped.spec) | {
        "label_column": request.label_column,
        "encoder": mapped.encoder,
        "layer": mapped.layer,
        "method": request.map_method,
        "seed": SEED,
    }
    key = explanation_key(request.dataset, table, question)
    if key not in plan.there[table]:
        is_plan = mapped.encoder == "mean" and mapped.layer == ALL_LAYERS
        # Gram weights its off-diagonals: distances are then those of the full matrices.
        matrix = plan.matrix if is_plan else comparable_matrix(mapped.layers, mapped.form, inner_product=True)
        found = embed(matrix, method=request.map_method, seed=SEED)
        x_share, y_share = found.explained or (None, None)
        shared = {"explained_x": x_share, "explained_y": y_share, "perplexity": found.perplexity}
        rows = [
            shared | row | {"x": float(x), "y": float(y)}
            for row, (x, y) in zip(_named(plan), found.points, strict=True)
        ]
        write_explanation(plan.storage, request.dataset, table, question, rows, statistics_versions())
    return explanations_frame(read_explanations(plan.storage, request.dataset, table, {key}), table)


def _typical(plan: ExplanationPlan) -> list[Row]:
    found = atypical(plan.matrix, plan.images.num_rows)
    ranks = np.empty(len(found.rows), np.int64)
    ranks[found.rows] = np.arange(1, len(ranks) + 1)
    rows = [
        row | {"atypicality": float(distance), "atypical_rank": int(rank)}
        for row, distance, rank in zip(_named(plan), found.distances, ranks, strict=True)
    ]
    labelled = np.flatnonzero([label is not None for label in plan.labels])
    if len(labelled):
        distances = class_distances(plan.matrix[labelled], plan.labels[labelled].astype(np.str_))
        for place, class_row in zip(labelled, _class_rows(plan.labels[labelled], distances), strict=True):
            rows[place] |= class_row
    return rows


def _class_rows(labels: npt.NDArray[np.object_], distances: npt.NDArray[np.float64]) -> list[Row]:
    rows: list[Row] = [{} for _ in labels]
    for name in set(labels):
        members = np.flatnonzero(labels == name)
        for rank, member in enumerate(members[np.argsort(distances[members], kind="stable")], 1):
            rows[member] = {
                "class_distance": float(distances[member]),
                "class_rank": rank,
                "class_size": len(members),
            }
    return rows


def _named(plan: ExplanationPlan) -> list[dict[str, Any]]:
    names: list[dict[str, Any]] = plan.images.select(["image_id", "path"]).to_pylist()
    return [name | {"label": label} for name, label in zip(names, plan.labels, strict=True)]
