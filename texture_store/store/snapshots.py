"""Index snapshots: which images belong to a dataset at one time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyarrow as pa

from schemas import META_PREFIX, snapshot_schema
from texture_store.errors import (
    CommitConflictError,
    DatasetNotFoundError,
    ObjectExistsError,
    ObjectNotFoundError,
    SchemaMismatchError,
    SnapshotNotFoundError,
    UsageError,
)
from texture_store.objects import Storage
from texture_store.store.layout import check_dataset, parse_snapshot_path, snapshot_path, snapshots_folder
from texture_store.store.tables import check_rows, parquet_bytes, read_table


@dataclass(frozen=True)
class Snapshot:
    """The whole membership of a dataset, and where it comes from."""

    dataset: str
    number: int
    """1, 2, 3 ..."""
    table: pa.Table
    """schemas.snapshot_schema, sorted by path."""
    archive_url: str
    """Root of the archive; every `uri` lies under it."""
    created: str
    """ISO 8601, UTC."""
    labels_source: str | None
    """URL of the labels file that was joined last; None without labels."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def meta_columns(self) -> list[str]:
        """Names of the labels file's other columns, without their prefix."""
        return _meta_columns(self.table.schema)


def list_datasets(storage: Storage) -> list[str]:
    """The datasets that have a snapshot, sorted."""
    found = (parse_snapshot_path(info.path) for info in storage.list("index"))
    return sorted({name for name, _ in filter(None, found)})


def list_snapshots(storage: Storage, dataset: str) -> list[int]:
    """The numbers of a dataset's snapshots, rising; none for an unknown dataset."""
    found = (parse_snapshot_path(info.path) for info in storage.list(snapshots_folder(dataset)))
    return sorted(number for _, number in filter(None, found))


def latest_snapshot(storage: Storage, dataset: str) -> Snapshot:
    """The newest snapshot. Raises DatasetNotFoundError when the dataset has none."""
    numbers = list_snapshots(storage, dataset)
    if not numbers:
        raise _unknown_dataset(storage, dataset)
    return read_snapshot(storage, dataset, numbers[-1])


def read_snapshot(storage: Storage, dataset: str, number: int) -> Snapshot:
    """One snapshot. Raises DatasetNotFoundError, SnapshotNotFoundError, and SchemaMismatchError for a broken file."""
    path = snapshot_path(dataset, max(1, number))
    try:
        table = read_table(storage, path)
    except ObjectNotFoundError:
        table = None
    if table is None or number < 1:
        numbers = list_snapshots(storage, dataset)
        if not numbers:
            raise _unknown_dataset(storage, dataset)
        raise SnapshotNotFoundError(f"dataset {dataset} has no snapshot {number}; it has {numbers[0]} to {numbers[-1]}")
    _check_schema(table.schema, storage.url_of(path))
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    return Snapshot(
        dataset=dataset,
        number=number,
        table=table,
        archive_url=metadata.get("archive_url", ""),
        created=metadata.get("created", ""),
        labels_source=metadata.get("labels_source"),
    )


def write_snapshot(
    storage: Storage,
    dataset: str,
    table: pa.Table,
    *,
    previous: int | None,
    archive_url: str,
    labels_source: str | None,
) -> Snapshot:
    """Write the snapshot after `previous` (None: the first one).

    Raises CommitConflictError when somebody else has written that one: read the latest again, and compare with it.
    """
    check_dataset(dataset)
    _check_schema(table.schema, f"dataset {dataset}")
    for url in filter(None, (archive_url, labels_source)):
        if "@" in urlsplit(url).netloc:
            raise UsageError("credentials in a URL are not stored; give them in the environment")
    number = (previous or 0) + 1
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    metadata = {**table.schema.metadata, "archive_url": archive_url, "created": created}
    metadata |= {"dataset": dataset, "snapshot": str(number)}  # so that files that were swapped are found
    if labels_source is not None:
        metadata["labels_source"] = labels_source
    table = table.replace_schema_metadata(metadata)
    path = snapshot_path(dataset, number)
    check_rows(table, path)
    try:
        storage.create(path, parquet_bytes(table))
    except ObjectExistsError:
        raise CommitConflictError(
            f"dataset {dataset}: snapshot {number} was just written by somebody else; run index again"
        ) from None
    return Snapshot(dataset, number, table, archive_url, created, labels_source)


def _check_schema(schema: pa.Schema, name: str) -> None:
    wanted = snapshot_schema(_meta_columns(schema))
    version = (schema.metadata or {}).get(b"version")
    if version != wanted.metadata[b"version"] or not schema.equals(wanted):
        raise SchemaMismatchError(
            f"{name}: not a snapshot table of version {wanted.metadata[b'version'].decode()}; upgrade texture_store, or"
            " check the URL"
        )


def _meta_columns(schema: pa.Schema) -> list[str]:
    return [name.removeprefix(META_PREFIX) for name in schema.names if name.startswith(META_PREFIX)]


def _unknown_dataset(storage: Storage, dataset: str) -> DatasetNotFoundError:
    known = list_datasets(storage)
    has = f"it has {', '.join(known)}" if known else "it has none yet"
    return DatasetNotFoundError(f"{storage.url}: no dataset {dataset}; {has}; run index first")
