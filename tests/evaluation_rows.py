"""Rows of `evaluations` as a run leaves them, with scores that a test chooses."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas import EVALUATIONS
from texture_store.store.evaluations import evaluation_key

CLASSES = ["a", "b"]


def evaluation_row(
    encoder: str = "mean",
    layer: str = "conv4_3",
    *,
    trial: int = 0,
    protocol: str = "image",
    folds: Sequence[float] = (0.8, 0.9, 1.0),
    error: str | None = None,
    dataset: str = "steel",
    **changes: Any,
) -> dict[str, Any]:
    """A row of classification whose pooled F1 is the mean of its folds'."""
    mean = sum(folds) / len(folds)
    row: dict[str, Any] = {
        "snapshot": 1,
        "encoder": encoder,
        "layer": layer,
        "spec": "s" + "0" * 20,
        "form": "as stored",
        "num_features": 512,
        "with_columns": [],
        "label_column": "label",
        "group_column": "specimen" if protocol == "group" else None,
        "conditions": [],
        "task": "classification",
        "classifier": "forest",
        "trees": 400,
        "strict": False,
        "protocol": protocol,
        "folds": len(folds),
        "trial": trial,
        "seed": trial,
        "members": "0" * 32,
        "num_images": 30,
        "num_groups": 12 if protocol == "group" else None,
        "num_missing_groups": 0 if protocol == "group" else None,
        "majority": 0.25,
        "metadata": {"um_per_px": 0.5, "together": 0.4},
        "error": error,
        "seconds": 1.5,
        "created": f"2026-01-01T00:00:{trial:02}.000+00:00",
        "versions": {"numpy": "2"},
    }
    if error is None:
        row |= {
            "f1_weighted": mean,
            "f1_macro": mean,
            "accuracy": mean,
            "classes": CLASSES,
            "f1_by_class": [mean, mean],
            "confusion": [[10, 5], [0, 15]],
            "fold_sizes": [10] * len(folds),
            "fold_f1_weighted": list(folds),
            "fold_f1_macro": list(folds),
            "fold_accuracy": list(folds),
            "fold_f1_by_class": [[one, one] for one in folds],
            "fold_confusion": [[[3, 2], [0, 5]] for _ in folds],
        }
    row |= changes
    return row | {"key": evaluation_key(dataset, row)}


def evaluation_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """As `read_evaluations` gives them."""
    return pa.Table.from_pylist(list(rows), EVALUATIONS)
