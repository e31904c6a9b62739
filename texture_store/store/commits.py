"""Commit records: they make the files of a shard visible. Written last, only if absent; readers follow nothing else.

A record lies under commits/dataset=D/spec=S/<step>/<shard>.json; the first one of a name wins. One that does not parse
counts as absent: the next one is `<shard>.1.json`, and of several the first that parses counts. Records are folded into
checkpoint files, each of which holds all that its writer could see, so that a reader opens the newest checkpoint and
the few records after it.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas import CHECKPOINT
from texture_store.errors import (
    InvalidNameError,
    ObjectExistsError,
    SchemaMismatchError,
    StoreFormatError,
    UsageError,
)
from texture_store.objects import Storage
from texture_store.spec import Encoder, Layer, Product
from texture_store.store import layout
from texture_store.store.sealing import is_json_whole, seal_json
from texture_store.store.tables import FileRecord, parquet_bytes, read_table

Pair = tuple[Product, Layer]
FeaturePair = tuple[Encoder, Layer]

PRODUCT_TABLES = ("features", "samples", "positions", "folds")
"""Tables with one file for each pair of a shard; its rows are the images of the commit."""

RECORD_FORMAT = 1
"""Raised when an older release would misread a record."""

MIN_LOOSE_RECORDS = 8
"""Fewer records than this beside the newest checkpoint are not worth writing all of them again."""

_READERS = 16
"""Records are small: reading them is waiting for storage."""

_FOLDED_AT_ONCE = 1024
"""Records whose JSON is there as Python's strings at one time, beside all of it in a checkpoint's table."""


class CommitRecord(BaseModel):
    """What one unit of work made visible."""

    model_config = ConfigDict(frozen=True)

    format: Annotated[int, Field(ge=1)] = RECORD_FORMAT
    job: str
    step: str
    dataset: str
    spec: str
    shard: str
    snapshot: int
    """The index snapshot that the job worked from."""
    pairs: tuple[Pair, ...]
    members: tuple[str, ...]
    """image_ids that are done: exactly the rows of each of the record's files in the PRODUCT_TABLES."""
    rejected: tuple[str, ...] = ()
    """image_ids that have none, for a reason in their bytes; disjoint from `members`."""
    facts_only: tuple[str, ...] = ()
    """image_ids that the record's file under micrographs/ has beyond `members`. Normally none: these come from an
    interrupted attempt, and their features still have to be made."""
    files: tuple[FileRecord, ...]
    environment: dict[str, str] = {}
    """Processor, threads, library versions, kernel path."""
    seconds: dict[str, float] = {}
    """Duration of each leg."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """ISO 8601, UTC."""

    def files_of(self, table: str) -> list[FileRecord]:
        """The files of a table: micrographs, features, rejected. A shard's rejected rows may lie under another name."""
        return [file for file in self.files if file.path.startswith(f"{table}/")]

    @property
    def products(self) -> list[FileRecord]:
        """The files of its pairs."""
        return [file for table in PRODUCT_TABLES for file in self.files_of(table)]

    def to_json(self) -> bytes:
        """The record as it is stored, with a checksum of itself."""
        return seal_json(json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode())


class CommitLog(NamedTuple):
    """The records of a dataset and spec as they lay in the store at one time."""

    records: list[CommitRecord]
    """Sorted by step and shard."""
    num_loose: int
    """How many of them lie beside the newest checkpoint."""
    checkpoint: int
    """The highest number of a checkpoint; 0 when there is none."""


def step_name(job: str, pairs: Iterable[Pair]) -> str:
    """Folder of the records of a job for a set of (encoder, layer): `featurize-` and 10 hex digits."""
    if re.fullmatch(r"[a-z][a-z0-9-]{0,39}", job) is None:
        raise InvalidNameError(f"job {job!r}: not a name of a job")
    text = "\n".join(sorted(f"{encoder}/{layer}" for encoder, layer in set(pairs)))
    return f"{job}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def write_commit(storage: Storage, record: CommitRecord) -> CommitRecord:
    """Make a record's files visible. Returns the record that counts: an existing one wins."""
    attempt = 0
    while True:
        path = layout.commit_path(record.dataset, record.spec, record.step, record.shard, attempt)
        try:
            storage.create(path, record.to_json())
            return record
        except ObjectExistsError:
            existing = parse_record(storage.read(path), record.dataset, record.spec, path)
        if existing is not None:
            return existing
        attempt += 1


def read_commits(storage: Storage, dataset: str, spec: str) -> list[CommitRecord]:
    """All records of a dataset and spec, sorted by step and shard: of the newest checkpoint, and those not in it.

    Raises StoreFormatError when a newer release wrote one of them.
    """
    return read_log(storage, dataset, spec).records


def read_log(storage: Storage, dataset: str, spec: str) -> CommitLog:
    """All records as `read_commits` gives them, and what `fold_commits` has to know about how they lie."""
    checkpoints: list[int] = []
    loose: dict[tuple[str, str], list[int]] = {}
    for info in storage.list(layout.commits_folder(dataset, spec)):
        number, name = layout.parse_checkpoint_path(info.path), layout.parse_commit_path(info.path)
        if number is not None:
            checkpoints.append(number)
        elif name is not None:
            loose.setdefault(name[:2], []).append(name[2])
    records = _read_checkpoint(storage, dataset, spec, sorted(checkpoints, reverse=True))
    missing = [
        (step, shard, sorted(attempts)) for (step, shard), attempts in loose.items() if (step, shard) not in records
    ]
    read = functools.partial(_read_loose, storage, dataset, spec)
    num_loose = 0
    if missing:
        with ThreadPoolExecutor(_READERS) as pool:
            for record in filter(None, pool.map(read, missing)):
                records[record.step, record.shard] = record
                num_loose += 1
    return CommitLog([records[key] for key in sorted(records)], num_loose, max(checkpoints, default=0))


def fold_commits(
    storage: Storage, dataset: str, spec: str, *, min_loose: int = MIN_LOOSE_RECORDS, log: CommitLog | None = None
) -> str | None:
    """Fold all records into a new checkpoint, unless fewer than `min_loose` lie beside the newest one.

    With `log` those that it has, which need not be read again: records that came later stay beside the checkpoint.
    Returns the checkpoint's path; None when there was none to write, or somebody else has just written one.
    """
    log = log or read_log(storage, dataset, spec)
    if log.num_loose < max(1, min_loose):
        return None
    path = layout.checkpoint_path(dataset, spec, log.checkpoint + 1)
    try:
        storage.create(path, parquet_bytes(_checkpoint(log.records)))
    except ObjectExistsError:
        return None
    return path


def list_specs(storage: Storage, dataset: str) -> list[str]:
    """The specs that have commits of a dataset, sorted."""
    found = (re.fullmatch(r"specs/(s[0-9a-f]{20,64})\.json", info.path) for info in storage.list("specs"))
    known = sorted(match[1] for match in found if match)
    return [spec for spec in known if any(True for _ in storage.list(layout.commits_folder(dataset, spec)))]


def parse_record(data: bytes | str, dataset: str, spec: str, path: str) -> CommitRecord | None:
    """A record from what lies at `path`; None when it does not parse or names what it must not name.

    A record says which files are read: all of them must be tables of this dataset and spec. One whose checksum does not
    hold is damaged, and counts as one that does not parse.

    Raises StoreFormatError for a record of a newer release.
    """
    if is_json_whole(data.encode() if isinstance(data, str) else data) is False:
        return None
    try:
        record = CommitRecord.model_validate_json(data)
    except ValidationError:
        _refuse_newer(data, path)
        return None
    _refuse_newer(data, path, record.format)
    name = layout.parse_commit_path(path)
    if name is None or (record.dataset, record.spec, record.step, record.shard) != (dataset, spec, *name[:2]):
        return None
    if not all(layout.is_table_path(file.path, dataset, spec) for file in record.files):
        return None
    return record


def _refuse_newer(data: bytes | str, path: str, version: object = None) -> None:
    if version is None:
        try:
            version = json.loads(data).get("format")
        except (ValueError, AttributeError):
            return
    if isinstance(version, int) and version > RECORD_FORMAT:
        raise StoreFormatError(f"{path}: written by a newer texture_store; upgrade: pip install -U texture-store")


def _checkpoint(records: Sequence[CommitRecord]) -> pa.Table:
    """The table of a checkpoint."""
    batches = [
        pa.RecordBatch.from_pydict(
            {
                "step": [record.step for record in some],
                "shard": [record.shard for record in some],
                "record": [record.to_json().decode() for record in some],
            },
            schema=CHECKPOINT,
        )
        for some in (records[first : first + _FOLDED_AT_ONCE] for first in range(0, len(records), _FOLDED_AT_ONCE))
    ]
    return pa.Table.from_batches(batches, CHECKPOINT)


def _read_loose(storage: Storage, dataset: str, spec: str, name: tuple[str, str, Sequence[int]]) -> CommitRecord | None:
    step, shard, attempts = name
    for attempt in attempts:
        path = layout.commit_path(dataset, spec, step, shard, attempt)
        record = parse_record(storage.read(path), dataset, spec, path)
        if record is not None:
            return record
    return None


def _read_checkpoint(
    storage: Storage, dataset: str, spec: str, newest_first: Sequence[int]
) -> dict[tuple[str, str], CommitRecord]:
    """The records of the newest checkpoint that can be read. What an unreadable one held still lies beside it."""
    for number in newest_first:
        try:
            table = read_table(storage, layout.checkpoint_path(dataset, spec, number), CHECKPOINT)
        except SchemaMismatchError:
            continue
        records = {}
        for batch in table.to_batches(max_chunksize=_FOLDED_AT_ONCE):
            for step, shard, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                try:
                    path = layout.commit_path(dataset, spec, step, shard)
                except UsageError:
                    continue
                record = parse_record(text, dataset, spec, path)
                if record is not None:
                    records[step, shard] = record
        return records
    return {}
