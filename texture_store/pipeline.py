"""The path of one shard: load_shard -> extract -> write_shard, plain functions, each leg timed. Knows no Ray.

Shapes: `B` images of a batch, `H W` pixels, `N` images of a shard.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schemas import MICROGRAPHS, REJECTED, features_schema
from texture_store.archive.fetch import fetch
from texture_store.errors import RejectedImageError
from texture_store.objects import Storage
from texture_store.spec import Encoder, FeatureSpec, Layer, PixelSpec, vector_width
from texture_store.store.commits import CommitRecord, Pair
from texture_store.store.committing import commit_shard
from texture_store.store.work import Unit

if TYPE_CHECKING:
    from texture_store.backbone.weights import Weights


@dataclass(frozen=True)
class LoadedShard:
    """The images of a unit as the network will see them, and those that have none."""

    unit: Unit
    members: list[dict[str, Any]] = field(default_factory=list)
    """A row of the MICROGRAPHS table for each image in `seen`."""
    seen: list[np.ndarray] = field(default_factory=list)
    """uint8 (H, W) each."""
    rejected: list[dict[str, str]] = field(default_factory=list)
    """Rows of the REJECTED table."""
    changed: list[str] = field(default_factory=list)
    """Paths of files that are not the ones that were indexed: they wait for the next index."""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedShard:
    """The vectors of a unit."""

    loaded: LoadedShard
    """Without its pictures."""
    vectors: dict[Pair, np.ndarray]
    """float32 (N, width) for each (encoder, layer), rows as in `loaded.members`."""
    num_positions: dict[Layer, np.ndarray]
    """int32 (N,)"""
    environment: dict[str, str]
    """Processor, threads, library versions and kernel path."""
    seconds: dict[str, float]


@dataclass(frozen=True)
class WrittenShard:
    """What became of a unit."""

    record: CommitRecord | None
    """None when there was nothing to commit."""
    num_images: int
    changed: list[str]


def load_shard(unit: Unit, archive_url: str, pixels: PixelSpec) -> LoadedShard:
    """Read, decode, cut and resize the images of a unit. Errors of storage are raised: they fail the whole shard."""
    loaded = LoadedShard(unit)
    started = time.monotonic()
    image_ids, paths = unit.rows["image_id"].to_pylist(), unit.rows["path"].to_pylist()
    decode_seconds = 0.0
    for fetched in fetch(unit.rows, archive_url):
        if fetched.problem is not None or fetched.data is None:
            loaded.changed.append(paths[fetched.index])
            continue
        row = {"image_id": image_ids[fetched.index], "path": paths[fetched.index]}
        decode_started = time.monotonic()
        try:
            micrograph = _read_micrograph(fetched.data, pixels, fetched.sidecar, row["path"])
        except RejectedImageError as error:
            loaded.rejected.append(row | {"stage": error.stage, "error": type(error).__name__, "message": str(error)})
        else:
            loaded.members.append(row | micrograph.facts)
            loaded.seen.append(micrograph.seen)
        decode_seconds += time.monotonic() - decode_started
    loaded.seconds.update(load=time.monotonic() - started, decode=decode_seconds)
    return loaded


class Extractor:
    """One prepared network; called once a shard. Owns the processor it runs on."""

    def __init__(
        self,
        weights: "Weights",
        spec: FeatureSpec,
        *,
        device: str = "cpu",
        threads: int | None = None,
        report: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare the network on `device`. `threads` (CPU) is fixed, since it may decide the last bits.

        `report` is called after each batch with the number of its images.
        """
        import torch

        from texture_store.backbone.vgg16 import VGG16

        if threads is not None:
            torch.set_num_threads(threads)
        self._spec = spec
        self._report = report
        self._network = VGG16(weights, precision=spec.precision, device=device)
        self.environment = _environment(self._network.device_name, self._network.kernel_path, torch.get_num_threads())

    def __call__(self, loaded: LoadedShard) -> EncodedShard:
        """Feature maps and their encodings, in batches of the spec's size; images of one shape share a batch."""
        started = time.monotonic()
        pairs = loaded.unit.pairs
        count = len(loaded.seen)
        vectors = {(e, layer): np.empty((count, vector_width(e, layer)), np.float32) for e, layer in pairs}
        num_positions = {layer: np.zeros(count, np.int32) for layer in {layer for _, layer in pairs}}
        for indices, pixels_BHW in _batches(loaded.seen, self._spec.batch_size):
            self._extract_batch(indices, pixels_BHW, pairs, vectors, num_positions)
            if self._report is not None:
                self._report(len(indices))
        without_pictures = LoadedShard(loaded.unit, loaded.members, [], loaded.rejected, loaded.changed, loaded.seconds)
        seconds = loaded.seconds | {"extract": time.monotonic() - started}
        return EncodedShard(without_pictures, vectors, num_positions, self.environment, seconds)

    def _extract_batch(
        self,
        indices: Sequence[int],
        pixels_BHW: np.ndarray,
        pairs: Sequence[Pair],
        vectors: dict[Pair, np.ndarray],
        num_positions: dict[Layer, np.ndarray],
    ) -> None:
        import torch

        from texture_store.encoding.encode import encode
        from texture_store.encoding.rounding import keep_mantissa_bits

        encoders: dict[Layer, list[Encoder]] = {}
        for encoder, layer in pairs:
            encoders.setdefault(layer, []).append(encoder)
        for layer, maps in self._network.feature_maps(torch.from_numpy(pixels_BHW), encoders):
            num_positions[layer][indices] = maps.shape[2] * maps.shape[3]
            for encoder, values in encode(maps, encoders[layer]).items():
                real = values[: len(indices)]
                if encoder == "gram":
                    real = keep_mantissa_bits(real, self._spec.gram_mantissa_bits)
                vectors[encoder, layer][indices] = real


def write_shard(
    encoded: EncodedShard, storage: Storage, *, job: str, dataset: str, spec: FeatureSpec, snapshot: int
) -> WrittenShard:
    """Write the tables of a unit and, last, its commit record."""
    loaded = encoded.loaded
    started = time.monotonic()
    record = commit_shard(
        storage,
        unit=loaded.unit,
        job=job,
        dataset=dataset,
        spec=spec.fingerprint,
        features=feature_tables(encoded),
        micrographs=pa.Table.from_pylist(loaded.members, schema=MICROGRAPHS),
        rejected=pa.Table.from_pylist(loaded.rejected, schema=REJECTED),
        environment=encoded.environment,
        seconds=encoded.seconds | {"tables": time.monotonic() - started},
        snapshot=snapshot,
    )
    return WrittenShard(record, len(loaded.unit.rows), loaded.changed)


def feature_tables(encoded: EncodedShard) -> dict[Pair, pa.Table]:
    """The features of a unit as the tables that are written, one for each (encoder, layer)."""
    members = encoded.loaded.members
    return {
        pair: _features_table(members, vectors, encoded.num_positions[pair[1]])
        for pair, vectors in encoded.vectors.items()
    }


def _read_micrograph(data: bytes, pixels: PixelSpec, sidecar: bytes | None, path: str) -> Any:
    # The decoders are imported by the processes that decode, not by those that extract or write.
    from texture_store.micrograph.reading import read_micrograph

    return read_micrograph(data, pixels, sidecar=sidecar, name=path)


def _batches(seen: Sequence[np.ndarray], batch_size: int) -> list[tuple[list[int], np.ndarray]]:
    """Batches of one shape and of one size: the last one is padded with black pictures."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(seen):
        by_shape.setdefault(picture.shape, []).append(index)
    batches = []
    for shape, indices in by_shape.items():
        for first in range(0, len(indices), batch_size):
            chosen = indices[first : first + batch_size]
            pixels_BHW = np.zeros((batch_size, *shape), np.uint8)
            for row, index in enumerate(chosen):
                pixels_BHW[row] = seen[index]
            batches.append((chosen, pixels_BHW))
    return batches


def _features_table(members: Sequence[Mapping[str, Any]], vectors: np.ndarray, num_positions: np.ndarray) -> pa.Table:
    schema = features_schema(vectors.shape[1])
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.Table.from_arrays(
        [
            pa.array([member["image_id"] for member in members], pa.string()),
            pa.array([member["path"] for member in members], pa.string()),
            pa.array(num_positions),
            pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type),
        ],
        schema=schema,
    )


_RECORDED_PACKAGES = (
    "texture-store",
    "torch",
    "numpy",
    "scipy",
    "pillow",
    "tifffile",
    "imagecodecs",
    "opencv-python-headless",
)


def _environment(device_name: str, kernel_path: str, threads: int) -> dict[str, str]:
    import platform
    from importlib.metadata import version

    return {
        "processor": device_name,
        "threads": str(threads),
        "kernel_path": kernel_path,
        "python": platform.python_version(),
    } | {package: version(package) for package in _RECORDED_PACKAGES}
