"""A snapshot without an archive, and attempts at its units with any outcome."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import MICROGRAPHS, REJECTED, features_schema, snapshot_schema
from texture_store.objects import Storage
from texture_store.store.commits import CommitRecord, Pair
from texture_store.store.committing import commit_shard
from texture_store.store.snapshots import Snapshot
from texture_store.store.work import Unit

DATASET = "steel"
SPEC = "s" + "0" * 20
PAIRS: tuple[Pair, ...] = (("mean", "input"), ("mean", "conv1_2"), ("max", "input"))


class KilledError(Exception):
    """The attempt dies."""


class EventfulStorage(Storage):
    """Something happens once, just before the first create of a path that contains `point`."""

    def __init__(self, url: str, point: str, event: Callable[[], None]) -> None:
        super().__init__(url)
        self._point = point
        self._event: Callable[[], None] | None = event

    def create(self, path: str, data: bytes) -> None:
        if self._event is not None and self._point in path:
            event, self._event = self._event, None
            event()
        super().create(path, data)


def die() -> None:
    raise KilledError


def make_snapshot(number: int, members: dict[str, str]) -> Snapshot:
    """`members`: shard of each image_id."""
    rows = [
        {
            "image_id": image_id,
            "path": image_id.partition("v")[0],
            "uri": "/archive",
            "size": 1,
            "object_version": "1",
            "shard": shard,
        }
        for image_id, shard in sorted(members.items())
    ]
    table = pa.Table.from_pylist(rows, schema=snapshot_schema())
    return Snapshot(DATASET, number, table, "/archive", "2026-01-01T00:00:00.000+00:00", None)


def true_vector(image_id: str, pair: Pair) -> list[float]:
    digest = hashlib.sha256(f"{image_id}/{pair}".encode()).digest()
    return [float(byte) for byte in digest[:3]]


def fact_row(image_id: str) -> dict[str, object]:
    empty: dict[pa.DataType, object] = {pa.string(): "", pa.bool_(): False, pa.list_(pa.string()): []}
    row = {field.name: None if field.nullable else empty.get(field.type, 0) for field in MICROGRAPHS}
    return row | {"image_id": image_id, "path": image_id.partition("v")[0]}


def features_of(image_ids: list[str], pair: Pair) -> pa.Table:
    rows = [
        {"image_id": image_id, "path": "p", "num_positions": 1, "vector": true_vector(image_id, pair)}
        for image_id in image_ids
    ]
    return pa.Table.from_pylist(rows, schema=features_schema(3))


def rejected_of(image_ids: list[str]) -> pa.Table:
    rows = [{"image_id": i, "path": "p", "stage": "decode", "error": "E", "message": "m"} for i in image_ids]
    return pa.Table.from_pylist(rows, schema=REJECTED)


def execute(storage: Storage, unit: Unit, outcome: Callable[[str], str], snapshot: int = 1) -> CommitRecord | None:
    """What a job does with a unit when each image ends as `outcome` says: ok, rejected or gone."""
    done = [image_id for image_id in unit.image_ids if outcome(image_id) == "ok"]
    return commit_shard(
        storage,
        unit=unit,
        job="featurize",
        dataset=DATASET,
        spec=SPEC,
        features={pair: features_of(done, pair) for pair in unit.pairs},
        micrographs=pa.Table.from_pylist([fact_row(image_id) for image_id in done], schema=MICROGRAPHS),
        rejected=rejected_of([image_id for image_id in unit.image_ids if outcome(image_id) == "rejected"]),
        environment={},
        seconds={},
        snapshot=snapshot,
    )


def rows_under(folder: str | Path) -> dict[str, list[str]]:
    """image_ids of each Parquet file below, by path; also of those that no commit lists."""
    found = {}
    for file in sorted(Path(folder).rglob("*.parquet")):
        table = pq.ParquetFile(file).read()
        if "image_id" in table.column_names:
            found[file.relative_to(folder).as_posix()] = table["image_id"].to_pylist()
    return found


def ok(image_id: str) -> str:
    """The outcome of an attempt in which every image can be read."""
    return "ok"


def outcomes(**of: str):
    """The outcome of an attempt in which these images fare otherwise."""
    return lambda image_id: of.get(image_id, "ok")
