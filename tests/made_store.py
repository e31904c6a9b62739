"""A real store with random vectors, written by the store's own write side, and what must be read from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas import MICROGRAPHS, REJECTED, features_schema, fold_vectors_schema, snapshot_schema
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec, PixelSpec, vector_width
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, Pair, step_name, write_commit
from texture_store.store.opening import open_for_writing
from texture_store.store.snapshots import Snapshot, list_snapshots, write_snapshot
from texture_store.store.specs import write_spec
from texture_store.store.tables import write_table

MEAN: Pair = ("mean", "conv1_2")
DEEP_MEAN: Pair = ("mean", "conv5_3")
GRAM: Pair = ("gram", "conv1_2")
SPEC = FeatureSpec(weights="1" * 64, lineage="caffe")
OTHER_SPEC = FeatureSpec(weights="1" * 64, lineage="caffe", pixels=PixelSpec(size="256x256"))
RANDOM_SPEC = FeatureSpec(weights="2" * 64, lineage="random:0")


def image_id(path: str) -> str:
    """Stands for the hash of path, size and time."""
    return path.encode().hex().ljust(32, "0")[:32]


@dataclass
class MadeStore:
    """Writes, and remembers what it wrote."""

    storage: Storage
    vectors: dict[tuple[str, str, Pair], dict[str, np.ndarray]] = field(default_factory=dict)
    """By dataset, fingerprint and pair: image_id -> vector."""
    seconds: int = 0
    """Each commit is made a second after the one before."""

    @classmethod
    def at(cls, url: str | Path) -> "MadeStore":
        """A new store."""
        return cls(open_for_writing(str(url)))

    @property
    def url(self) -> str:
        """Where it is."""
        return self.storage.url

    def index(
        self,
        dataset: str,
        paths: Iterable[str],
        *,
        labels: dict[str, str] | None = None,
        meta: dict[str, Sequence[str | None]] | None = None,
    ) -> Snapshot:
        """A new snapshot of these paths; `meta` in the order of the sorted paths."""
        paths = sorted(paths)
        rows = {
            "image_id": [image_id(path) for path in paths],
            "path": paths,
            "uri": [f"/archive/{path}" for path in paths],
            "offset": [None] * len(paths),
            "size": [10] * len(paths),
            "etag": [None] * len(paths),
            "mtime": ["1"] * len(paths),
            "object_version": ["10-1"] * len(paths),
            "sidecar": [None] * len(paths),
            "shard": ["unused"] * len(paths),
            "label": [(labels or {}).get(path) for path in paths],
            "specimen": [None if labels is None else path.split("/")[0] for path in paths],
            **{f"meta_{name}": list(values) for name, values in (meta or {}).items()},
        }
        table = pa.Table.from_pydict(rows, snapshot_schema(list(meta or {})))
        numbers = list_snapshots(self.storage, dataset)
        return write_snapshot(
            self.storage,
            dataset,
            table,
            previous=numbers[-1] if numbers else None,
            archive_url="/archive",
            labels_source=None,
        )

    def commit(
        self,
        dataset: str,
        shard: str,
        paths: Sequence[str],
        *,
        spec: FeatureSpec = SPEC,
        pairs: Sequence[Pair] = (MEAN,),
        rejected: Sequence[str] = (),
        num_positions: Sequence[int] | int = 100,
        facts: dict[str, Sequence[Any]] | None = None,
        only_files: bool = False,
        num_words: int = 2,
        fold_dictionaries: Sequence[str] = (),
    ) -> CommitRecord | None:
        """One shard's files and commit record; `only_files` leaves the record out, as a killed job does."""
        write_spec(self.storage, spec)
        ids = [image_id(path) for path in paths]
        spread = [num_positions] * len(ids) if isinstance(num_positions, int) else list(num_positions)
        files = []
        for pair in pairs:
            product, layer = pair
            width = vector_width("vlad" if product == "fold-vlad" else product, layer, num_words)
            rng = np.random.default_rng([len(self.vectors), self.seconds, *shard.encode()])
            vectors = (rng.standard_normal((len(ids), width)) ** 2).astype(np.float32)
            if not only_files:
                self.vectors.setdefault((dataset, spec.fingerprint, pair), {}).update(zip(ids, vectors, strict=True))
            columns: dict[str, Any] = {"image_id": ids, "path": list(paths), "num_positions": spread}
            columns |= dict.fromkeys(["vector", *fold_dictionaries], list_array(vectors))
            if product == "vlad":
                columns["counts"] = list_array(np.tile(np.arange(num_words, dtype=np.int32), (len(ids), 1)))
            schema = features_schema(width, num_words if product == "vlad" else None)
            if product == "fold-vlad":
                schema = fold_vectors_schema(width, fold_dictionaries)
            table = pa.Table.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
            path = layout.product_path(dataset, spec.fingerprint, *pair, shard)
            if ids:
                files.append(write_table(self.storage, path, table))
        if ids and facts is not None:
            path = layout.micrographs_path(dataset, spec.fingerprint, shard)
            files.append(write_table(self.storage, path, _facts(ids, paths, facts)))
        if rejected:
            rows = [
                {"image_id": image_id(p), "path": p, "stage": "decode", "error": "UnreadableImageError", "message": "x"}
                for p in rejected
            ]
            path = layout.rejected_path(dataset, spec.fingerprint, shard)
            files.append(write_table(self.storage, path, pa.Table.from_pylist(rows, REJECTED)))
        if only_files:
            return None
        self.seconds += 1
        record = CommitRecord(
            job="featurize",
            step=step_name("featurize", pairs),
            dataset=dataset,
            spec=spec.fingerprint,
            shard=shard,
            snapshot=1,
            pairs=tuple(pairs),
            members=tuple(ids),
            rejected=tuple(image_id(path) for path in rejected),
            files=tuple(files),
            created=f"2026-01-01T00:{self.seconds // 60:02}:{self.seconds % 60:02}.000+00:00",
        )
        return write_commit(self.storage, record)

    def matrix(self, dataset: str, paths: Sequence[str], pair: Pair, spec: FeatureSpec = SPEC) -> np.ndarray:
        """What was written for these paths, in this order."""
        vectors = self.vectors[dataset, spec.fingerprint, pair]
        return np.stack([vectors[image_id(path)] for path in paths])


def list_array(matrix: np.ndarray) -> pa.Array:
    """(n, d) as n lists without nulls."""
    element = pa.field("element", pa.from_numpy_dtype(matrix.dtype), nullable=False)
    return pa.FixedSizeListArray.from_arrays(matrix.ravel(), type=pa.list_(element, matrix.shape[1]))


def _facts(ids: Sequence[str], paths: Sequence[str], facts: dict[str, Sequence[Any]]) -> pa.Table:
    fill: dict[pa.DataType, Any] = {pa.string(): "x", pa.bool_(): False}
    columns: dict[str, Sequence[Any]] = {"image_id": ids, "path": paths, **facts}
    arrays = []
    for column in MICROGRAPHS:
        if column.name in columns:
            values = list(columns[column.name])
        elif column.nullable:
            values = [None] * len(ids)
        elif pa.types.is_list(column.type):
            values = [[]] * len(ids)
        else:
            values = [fill.get(column.type, 1)] * len(ids)
        arrays.append(pa.array(values, column.type))
    return pa.Table.from_arrays(arrays, schema=MICROGRAPHS)
