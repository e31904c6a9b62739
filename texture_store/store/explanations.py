"""Writing what explain found out: a small file for each question, named by a hash of all that decides its answer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas import CHARACTERISTICS, EXEMPLARS, HEAT_MAPS, IMPORTANCES, MAP_POINTS, NEIGHBOURS, TYPICAL
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.tables import write_table

NUMERICS_VERSION = 1
"""Raised by hand when the same question would get other rows; it is part of the key."""

SCHEMAS: dict[str, pa.Schema] = {
    "importances": IMPORTANCES,
    "characteristics": CHARACTERISTICS,
    "typical": TYPICAL,
    "map": MAP_POINTS,
    "exemplars": EXEMPLARS,
    "heat_maps": HEAT_MAPS,
    "neighbours": NEIGHBOURS,
}

_IMAGES = ("snapshot", "spec", "conditions", "members")

DECIDING: dict[str, tuple[str, ...]] = {
    "importances": (
        *_IMAGES,
        *("label_column", "group_column", "protocol", "folds", "trials", "trees", "repeats", "seeds"),
        "min_correlation",
    ),
    "characteristics": (*_IMAGES, "label_column", "group_column"),
    "typical": (*_IMAGES, "label_column", "num_neighbours"),
    "map": (*_IMAGES, "label_column", "encoder", "layer", "method", "seed"),
    "exemplars": (*_IMAGES, "layer", "filter", "count"),
    # The scale may be that of the labels, which change.
    "heat_maps": ("spec", "image_id", "layer", "filter", "um_per_px_x", "um_per_px_y"),
    "neighbours": (*_IMAGES, "encoder", "layer", "same_scale", "count", "asked_id"),
}
"""Columns that are the same in all rows of a file and decide them, and hence its key."""

Question = Mapping[str, Any]
"""The columns DECIDING of a table."""
Row = dict[str, Any]


def explanation_key(dataset: str, table: str, question: Question) -> str:
    """`x` and 24 hex digits of the SHA-256 of all that decides the rows."""
    deciding = {name: question[name] for name in DECIDING[table]}
    deciding |= {"dataset": dataset, "table": table, "numerics": NUMERICS_VERSION}
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "x" + hashlib.sha256(text.encode()).hexdigest()[:24]


def explained_keys(storage: Storage, dataset: str) -> dict[str, set[str]]:
    """By table, the keys of what is there."""
    found: dict[str, set[str]] = {table: set() for table in SCHEMAS}
    for info in storage.list(layout.explanations_folder(dataset)):
        parsed = layout.parse_explanation_path(info.path)
        if parsed is not None:
            found[parsed[0]].add(parsed[1])
    return found


def write_explanation(
    storage: Storage,
    dataset: str,
    table: str,
    question: Question,
    rows: Sequence[Row],
    versions: Mapping[str, str],
) -> str:
    """Write the rows of a question, and give its key. Rows that are there already stay: the same key has the same ones.

    `question` has the columns that all rows share, those of DECIDING among them. Raises EncodingError for a null where
    none is allowed, and for an image that is there twice.
    """
    key = explanation_key(dataset, table, question)
    shared = dict(question) | {
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "versions": dict(versions),
    }
    written = pa.Table.from_pylist([shared | row for row in rows], SCHEMAS[table])
    write_table(storage, layout.explanation_path(dataset, table, key), written)
    return key
