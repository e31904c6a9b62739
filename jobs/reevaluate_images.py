"""Whether a score fell because of the new images, or on those that were there before as well."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.report_images import evaluated_images, labels_of
from texture_store.evaluation.scores import weighted_f1
from texture_store.objects import Storage
from texture_store.report.score_changes import ScoreChange
from texture_store.store.evaluations import evaluations_frame, read_evaluations

if TYPE_CHECKING:
    import pandas as pd


def on_common_images(storage: Storage, dataset: str, change: ScoreChange) -> str:
    """The two scores on the images that both evaluations had, and on the others; empty where that cannot be told."""
    rows = [
        evaluations_frame({dataset: read_evaluations(storage, dataset, keys)})
        for keys in (change.keys_before, change.keys_now)
    ]
    found = [evaluated_images(storage, dataset, one) for one in rows]
    images = [one for one in found if one is not None]
    if len(images) < 2 or any(one["predicted_class"].isna().any() for one in rows):
        return ""
    ids = [set(one.column("image_id").to_pylist()) for one in images]
    common = ids[0] & ids[1]
    if not common or ids[0] == ids[1]:
        return ""
    before, now = (_score(one, own, common) for one, own in zip(rows, images, strict=True))
    text = f"On the {len(common):,} images of both, weighted F1 went from {before:.3f} to {now:.3f}"
    if new := ids[1] - ids[0]:
        text += f"; the {len(new):,} others have {_score(rows[1], images[1], new):.3f} now"
    return text + "."


def _score(rows: "pd.DataFrame", images: pa.Table, wanted: set[str]) -> float:
    """Weighted F1 of the predictions of some images, mean over trials."""
    keep = np.array([image_id in wanted for image_id in images.column("image_id").to_pylist()], bool)
    labels = np.array(labels_of(images, rows["label_column"].iloc[0])[keep], np.str_)
    trials = [
        weighted_f1(labels, np.array(list(classes))[np.asarray(predicted)[keep]])
        for classes, predicted in zip(rows["classes"], rows["predicted_class"], strict=True)
    ]
    return float(np.mean(trials))
