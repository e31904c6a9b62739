"""Rows of `evaluations`: one small file a trial, named by a hash of all that decides it, written only if absent.

A trial that failed leaves a file beside that name, so that the next run tries again; once it goes well, only its scores
count.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import EVALUATIONS
from texture_store.errors import FeaturesNotFoundError, ObjectExistsError
from texture_store.objects import ObjectInfo, Storage
from texture_store.store import layout
from texture_store.store.specs import read_spec
from texture_store.store.tables import check_rows, parquet_bytes, read_table

if TYPE_CHECKING:
    import pandas as pd

NUMERICS_VERSION = 1
"""Raised by hand when the same key would give other scores; it is part of the key."""

DECIDING = (
    "snapshot",
    "encoder",
    "layer",
    "spec",
    "form",
    "with_columns",
    "label_column",
    "group_column",
    "conditions",
    "task",
    "classifier",
    "trees",
    "strict",
    "protocol",
    "folds",
    "trial",
    "seed",
    "members",
)
"""Columns of a row that decide its scores, and hence its key."""

_READERS = 16
"""Files are small: reading them is waiting for storage."""

Row = dict[str, Any]


def evaluation_key(dataset: str, row: Mapping[str, Any]) -> str:
    """`e` and 24 hex digits of the SHA-256 of all that decides the scores of a row, which has the columns DECIDING."""
    deciding = {name: row[name] for name in DECIDING} | {"dataset": dataset, "numerics": NUMERICS_VERSION}
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "e" + hashlib.sha256(text.encode()).hexdigest()[:24]


def members_digest(image_ids: Sequence[str]) -> str:
    """32 hex digits of the SHA-256 of the image_ids in order: which images were evaluated."""
    return hashlib.sha256("\n".join(image_ids).encode()).hexdigest()[:32]


def write_evaluation(storage: Storage, dataset: str, row: Row) -> None:
    """Write a trial's row. Scores that are there already stay: the same key has the same ones.

    Raises EncodingError for a null where none is allowed.
    """
    table = pa.Table.from_pylist([row], EVALUATIONS)
    check_rows(table, f"evaluation {row['key']}")
    data = parquet_bytes(table)
    failure = 0
    if row.get("error") is not None:
        failure = 1 + max((number for key, number, _ in _listed(storage, dataset) if key == row["key"]), default=0)
    while True:
        try:
            storage.create(layout.evaluation_path(dataset, row["key"], failure), data)
        except ObjectExistsError:
            if failure:
                failure += 1
                continue
        return


def scored_keys(storage: Storage, dataset: str) -> set[str]:
    """Keys of the trials that have scores."""
    return {key for key, failure, _ in _listed(storage, dataset) if not failure}


def evaluation_files(storage: Storage, dataset: str) -> dict[str, ObjectInfo]:
    """The file that counts of each trial, by key: its scores, or the last failure of one that never went well."""
    counting: dict[str, tuple[int, ObjectInfo]] = {}
    for key, failure, info in _listed(storage, dataset):
        before = counting.get(key)
        if before is None or not failure or 0 < before[0] < failure:
            counting[key] = (failure, info)
    return {key: info for key, (_, info) in sorted(counting.items())}


def read_evaluations(storage: Storage, dataset: str, keys: Collection[str] | None = None) -> pa.Table:
    """All trials of a dataset (schemas.EVALUATIONS), or those of some keys, sorted by feature set, protocol and trial.

    Of a trial that failed and never went well, the last failure.
    """
    files = evaluation_files(storage, dataset)
    paths = [info.path for key, info in files.items() if keys is None or key in keys]
    with ThreadPoolExecutor(_READERS) as pool:
        tables = list(pool.map(lambda path: read_table(storage, path, EVALUATIONS), paths))
    table = pa.concat_tables([EVALUATIONS.empty_table(), *tables])
    order = ["snapshot", "classifier", "encoder", "layer", "spec", "protocol", "trial", "key"]
    return table.sort_by([(name, "ascending") for name in order])


def evaluations_frame(tables: Mapping[str, pa.Table]) -> "pd.DataFrame":
    """Rows of `read_evaluations` by dataset as pandas, with a first column `dataset`."""
    named = [
        table.add_column(0, "dataset", pa.repeat(pa.scalar(dataset), table.num_rows))
        for dataset, table in tables.items()
    ]
    nothing = pa.schema([("dataset", pa.string()), *EVALUATIONS]).empty_table()
    return pa.concat_tables([nothing, *(table.cast(nothing.schema) for table in named)]).to_pandas(
        maps_as_pydicts="strict"
    )


def random_weights(storage: Storage, frame: "pd.DataFrame") -> npt.NDArray[np.bool_]:
    """(n,) which rows of `evaluations_frame` are of features with random weights, which are for tests only."""
    specs = {name for joined in frame["spec"].unique() for name in joined.split("+")}
    is_random = {name: _is_random(storage, name) for name in specs}
    return np.array([any(is_random[name] for name in joined.split("+")) for joined in frame["spec"]], bool)


def _is_random(storage: Storage, spec: str) -> bool:
    try:
        return read_spec(storage, spec).is_random
    except FeaturesNotFoundError:
        return False  # scores outlive a spec that was taken away


def _listed(storage: Storage, dataset: str) -> Iterator[tuple[str, int, ObjectInfo]]:
    for info in storage.list(layout.evaluations_folder(dataset)):
        found = layout.parse_evaluation_path(info.path)
        if found is not None:
            yield *found, info
