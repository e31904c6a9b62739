"""The micrographs nearest to one."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.evaluation_sets import FeatureSet
from jobs.explain_plan import ExplanationPlan
from jobs.explain_versions import statistics_versions
from texture_store.errors import UsageError
from texture_store.evaluation.neighbours import nearest
from texture_store.store.comparable import comparable_matrix
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.explanations import explanation_key, write_explanation

if TYPE_CHECKING:
    import pandas as pd

COUNT = 10
SCALE_TOLERANCE = 0.1
"""Relative; the same as that of `store.features(um_per_px=)`."""


def neighbours(plan: ExplanationPlan, row: int, compared: FeatureSet) -> "pd.DataFrame":
    """Rows of schemas.NEIGHBOURS of an image (row of the plan's); computed if the store lacks them.

    `compared` are features of the plan's images. Raises UsageError when there is nothing to compare it with.
    """
    table, request = "neighbours", plan.request
    asked: dict[str, Any] = {
        f"asked_{name}": plan.images.column(column)[row].as_py()
        for name, column in (("id", "image_id"), ("path", "path"))
    }
    question = (
        plan.about_images(compared.spec)
        | asked
        | {
            "encoder": compared.encoder,
            "layer": compared.layer,
            "same_scale": request.same_scale,
            "count": COUNT,
        }
    )
    key = explanation_key(request.dataset, table, question)
    if key not in plan.there[table]:
        among = _among(plan, row, compared)
        number = min(COUNT, int(among.sum()) - int(among[row]))
        if not number:
            where = " at its um per px" if request.same_scale else ""
            raise UsageError(f"--neighbours {asked['asked_path']}: there is no other image{where}")
        matrix = comparable_matrix(compared.layers, compared.form, inner_product=True)
        found = nearest(matrix, row, number, among=among)
        rows = [
            {
                "rank": rank,
                "image_id": plan.images.column("image_id")[int(other)].as_py(),
                "path": plan.images.column("path")[int(other)].as_py(),
                "cosine": float(cosine),
            }
            for rank, (other, cosine) in enumerate(zip(found.rows, found.cosines, strict=True), 1)
        ]
        write_explanation(plan.storage, request.dataset, table, question, rows, statistics_versions())
    return explanations_frame(read_explanations(plan.storage, request.dataset, table, {key}), table)


def _among(plan: ExplanationPlan, row: int, compared: FeatureSet) -> npt.NDArray[np.bool_]:
    if not plan.request.same_scale:
        return np.ones(plan.images.num_rows, np.bool_)
    scales = compared.layers[0].scales
    if not scales.known[row]:
        raise UsageError(
            f"--same-scale: the um per px of {plan.request.neighbours} is not known; leave it out, or give a column"
            " um_per_px with the labels"
        )
    near_x = np.abs(scales.x / scales.x[row] - 1) <= SCALE_TOLERANCE
    near_y = np.abs(scales.y / scales.y[row] - 1) <= SCALE_TOLERANCE
    return np.asarray(near_x & near_y)
