"""Reading what explain found out: the newest answer to each kind of question, or all."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.explanations import SCHEMAS
from texture_store.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

SUBJECTS: dict[str, tuple[str, ...]] = {
    "importances": (),
    "characteristics": (),
    "typical": (),
    "map": (),
    "exemplars": ("layer", "filter"),
    "heat_maps": ("image_id", "layer", "filter"),
    "neighbours": ("asked_id",),
}
"""What a file of a table is about, beside the dataset: a reader wants the newest file of each."""

_ORDER: dict[str, tuple[str, ...]] = {
    "importances": ("rank", "impurity_rank"),
    "characteristics": ("class", "layer", "filter"),
    "typical": ("path",),
    "map": ("path",),
    "exemplars": ("layer", "filter", "rank"),
    "heat_maps": ("path", "layer", "filter"),
    "neighbours": ("asked_path", "rank"),
}

_READERS = 16
"""Files are small: reading them is waiting for storage."""


def read_explanations(storage: Storage, dataset: str, table: str, keys: Collection[str] | None = None) -> pa.Table:
    """All rows of a table of a dataset (see `explanations.SCHEMAS`), or those of some keys."""
    paths = []
    for info in storage.list(layout.explanations_folder(dataset)):
        parsed = layout.parse_explanation_path(info.path)
        if parsed is not None and parsed[0] == table and (keys is None or parsed[1] in keys):
            paths.append(info.path)
    schema = SCHEMAS[table]
    with ThreadPoolExecutor(_READERS) as pool:
        tables = list(pool.map(lambda path: read_table(storage, path, schema), sorted(paths)))
    found = pa.concat_tables([schema.empty_table(), *tables])
    return found.sort_by([(name, "ascending") for name in ("created", "key", *_ORDER[table])])


def explanations_frame(rows: pa.Table, table: str, *, every: bool = False, **equal: object) -> "pd.DataFrame":
    """Rows of `read_explanations` as pandas: of each subject the newest file's, or with `every` all.

    `equal` are values that columns must have; None asks for nothing.
    """
    frame = rows.to_pandas(maps_as_pydicts="strict")
    for name, value in equal.items():
        if value is not None:
            frame = frame[frame[name] == value]
    if not every and len(frame):
        # Rows come oldest first.
        newest = frame.groupby(list(SUBJECTS[table]) or (lambda _: 0), sort=False)["key"].transform("last")
        frame = frame[frame["key"] == newest].sort_values(list(_ORDER[table]), kind="stable", na_position="last")
    return frame.reset_index(drop=True)
