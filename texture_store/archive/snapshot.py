"""The next index snapshot: what is new, changed and gone, joined with labels, in shards that never change."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import META_PREFIX, snapshot_schema
from texture_store.archive.labels import Condition, Labels, matches
from texture_store.archive.listing import Listing
from texture_store.errors import EmptyArchiveError

SHARD_SIZE = 64
"""Images of a shard, unless said."""

LABEL_COLUMNS = ("label", "specimen")
LOCATION_COLUMNS = ("uri", "offset", "object_version", "sidecar")
FEW = 5


@dataclass(frozen=True)
class SnapshotChange:
    """A snapshot's table, and what differs from the one before."""

    table: pa.Table
    """schemas.snapshot_schema, sorted by path."""
    added: int
    """Images whose path was not there before."""
    changed: int
    """Images whose path was there with other bytes."""
    gone: int
    """Paths that were there before."""
    relabelled: int
    """Images that stayed, with another label, specimen or other column."""
    moved: int
    """Images that stayed, and whose bytes now lie elsewhere (another bucket, a re-packed tar)."""
    excluded: int
    """Images that the conditions leave out."""
    is_new: bool
    """Whether anything differs at all, so that there is something to write."""
    images_without_label: int = 0
    few_without_label: list[str] = field(default_factory=list)
    """The first few of their paths."""
    labels_without_image: int = 0
    few_without_image: list[str] = field(default_factory=list)


def next_snapshot(
    previous: pa.Table | None,
    listing: Listing,
    labels: Labels | None,
    *,
    shard_size: int = SHARD_SIZE,
    where: Sequence[Condition] = (),
) -> SnapshotChange:
    """The table of the next snapshot, and how it differs from `previous`.

    Images that stay keep their shard; new ones are grouped in the order of their paths (in tars: of their bytes).
    Without `labels` the ones of `previous` stay. Raises EmptyArchiveError when the conditions leave nothing.
    """
    files = listing.table
    known = labels.table if labels is not None else _labels_of(previous)
    meta = known.column_names[3:]
    place = pc.index_in(files["path"], value_set=known["path"])
    columns = {name: files[name] for name in files.column_names}
    columns |= {name: known[at].take(place) for at, name in enumerate([*LABEL_COLUMNS, *_prefixed(meta)], start=1)}
    joined = pa.table(columns)
    names = labels.names if labels is not None else _names(meta)
    kept = joined.filter(matches(joined, where, names)) if where else joined
    if kept.num_rows == 0:
        raise EmptyArchiveError(f"{listing.archive_url}: --where leaves none of its {joined.num_rows:,} images")
    shards, stayed = _shards(kept, previous, shard_size)
    table = kept.append_column("shard", shards)
    schema = snapshot_schema(meta)
    table = table.select(schema.names).cast(schema)
    return _compare(previous, table, stayed, joined, labels)


def _prefixed(meta: Sequence[str]) -> list[str]:
    return [META_PREFIX + name for name in meta]


def _names(meta: Sequence[str]) -> dict[str, str]:
    """Name on the command line -> column, when the labels are those of an earlier snapshot."""
    return {name: META_PREFIX + name for name in meta} | {name: name for name in ("path", *LABEL_COLUMNS)}


def _labels_of(previous: pa.Table | None) -> pa.Table:
    """The labels that a snapshot holds, as a labels file would."""
    if previous is None:
        return pa.table({name: pa.array([], pa.string()) for name in ("path", *LABEL_COLUMNS)})
    meta = [name for name in previous.column_names if name.startswith(META_PREFIX)]
    found = previous.select(["path", *LABEL_COLUMNS, *meta])
    return found.rename_columns(["path", *LABEL_COLUMNS, *(name.removeprefix(META_PREFIX) for name in meta)])


def _shards(table: pa.Table, previous: pa.Table | None, shard_size: int) -> tuple[pa.Array, pa.Array]:
    """The shard of each row, and the row of `previous` with the same image (null: none)."""
    ids = table["image_id"]
    shards: list[str | None]
    if previous is None:
        stayed, shards = pa.nulls(len(ids), pa.int32()), [None] * len(ids)
    else:
        stayed = pc.index_in(ids, value_set=previous["image_id"]).combine_chunks()
        shards = previous["shard"].take(stayed).to_pylist()
    new = pc.indices_nonzero(pc.is_null(stayed))
    keys = pa.table({"row": new, "tar": _tar(table).take(new), "offset": table["offset"].take(new)})
    # Rows are sorted by path already, and the sort is stable.
    order = keys.sort_by([("tar", "ascending"), ("offset", "ascending")])["row"].to_pylist()
    image_ids = ids.to_pylist()
    for first in range(0, len(order), shard_size):
        rows = order[first : first + shard_size]
        name = hashlib.sha256("\n".join(image_ids[row] for row in rows).encode()).hexdigest()[:24]
        for row in rows:
            shards[row] = name
    return pa.array(shards, pa.string()), stayed


def _tar(table: pa.Table) -> pa.ChunkedArray:
    return pc.if_else(pc.is_null(table["offset"]), "", table["uri"])


def _compare(
    previous: pa.Table | None, table: pa.Table, stayed: pa.Array, joined: pa.Table, labels: Labels | None
) -> SnapshotChange:
    without_label, without_image = _unmatched(joined, table, labels)
    told = {
        "images_without_label": len(without_label),
        "few_without_label": without_label[:FEW].to_pylist(),
        "labels_without_image": len(without_image),
        "few_without_image": without_image[:FEW].to_pylist(),
    }
    excluded = joined.num_rows - table.num_rows
    if previous is None:
        return SnapshotChange(table, table.num_rows, 0, 0, 0, 0, excluded, is_new=True, **told)
    was_there = pc.is_in(table["path"], value_set=previous["path"])
    is_new_row = pc.is_null(stayed)
    added = _count(pc.invert(was_there))
    changed = _count(pc.and_(was_there, is_new_row))
    gone = _count(pc.invert(pc.is_in(previous["path"], value_set=table["path"])))
    old = previous.take(stayed.drop_null())
    new = table.filter(pc.is_valid(stayed))
    described = [
        name
        for name in dict.fromkeys([*table.column_names, *old.column_names])
        if name in LABEL_COLUMNS or name.startswith(META_PREFIX)
    ]
    relabelled = _num_different(old, new, described)
    moved = _num_different(old, new, LOCATION_COLUMNS)
    is_new = bool(added or changed or gone or relabelled or moved) or table.column_names != previous.column_names
    return SnapshotChange(table, added, changed, gone, relabelled, moved, excluded, is_new=is_new, **told)


def _unmatched(joined: pa.Table, table: pa.Table, labels: Labels | None) -> tuple[pa.Array, pa.Array]:
    """Paths of images without label, and of labels without image."""
    nothing = pa.array([], pa.string())
    if labels is None:
        return nothing, nothing
    has_row = pc.is_in(table["path"], value_set=labels.table["path"])
    if "label" in labels.names.values():
        has_row = pc.and_(has_row, pc.is_valid(table["label"]))
    has_image = pc.is_in(labels.table["path"], value_set=joined["path"])
    return table["path"].filter(pc.invert(has_row)), labels.table["path"].filter(pc.invert(has_image))


def _num_different(old: pa.Table, new: pa.Table, columns: Sequence[str]) -> int:
    """Rows that differ in any of the columns; a column that one side lacks is null there."""
    different = pa.array(np.zeros(old.num_rows, bool))
    for name in columns:
        one, other = _column(old, name), _column(new, name)
        unequal = pc.fill_null(pc.not_equal(one, other), False)
        different = pc.or_(different, pc.or_(unequal, pc.xor(pc.is_null(one), pc.is_null(other))))
    return _count(different)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table[name] if name in table.column_names else pa.nulls(table.num_rows, pa.string())


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)
