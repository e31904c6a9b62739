"""The path of one shard: load_shard -> extract -> write_shard, plain functions, each leg timed. Knows no Ray.

Shapes: `B` images of a batch, `H W` pixels, `N` images of a shard.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schemas import MICROGRAPHS, REJECTED
from texture_store.archive.fetch import fetch
from texture_store.errors import RejectedImageError
from texture_store.isolation import Isolated
from texture_store.log_context import about
from texture_store.objects import Storage
from texture_store.products import Products, product_tables
from texture_store.spec import FeatureSpec, Layer, PixelSpec
from texture_store.store.commits import CommitRecord
from texture_store.store.committing import commit_shard
from texture_store.store.work import Unit

if TYPE_CHECKING:
    from texture_store.backbone.weights import Weights

logger = logging.getLogger(__name__)


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
    num_bytes: int = 0
    """Read for it."""


@dataclass(frozen=True)
class EncodedShard:
    """What was made of a unit."""

    loaded: LoadedShard
    """Without its pictures."""
    products: Products
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
    """Read, decode, cut and resize the images of a unit. Errors of storage are raised: they fail the whole shard.

    An image that kills its process is rejected like others that cannot be read: see `isolated_reader`.
    """
    loaded = LoadedShard(unit)
    read = isolated_reader()
    read.start()
    started = time.monotonic()
    image_ids, paths = unit.rows["image_id"].to_pylist(), unit.rows["path"].to_pylist()
    decode_seconds, num_bytes = 0.0, 0
    for fetched in fetch(unit.rows, archive_url):
        if fetched.problem is not None or fetched.data is None:
            with about(image=paths[fetched.index]):
                logger.info("waits for the next index: %s", fetched.problem)
            loaded.changed.append(paths[fetched.index])
            continue
        num_bytes += len(fetched.data) + len(fetched.sidecar or b"")
        row = {"image_id": image_ids[fetched.index], "path": paths[fetched.index]}
        decode_started = time.monotonic()
        try:
            micrograph = read(fetched.data, pixels, sidecar=fetched.sidecar, name=row["path"])
        except RejectedImageError as error:
            with about(image=row["path"]):
                logger.info("rejected (%s): %s", type(error).__name__, error)
            loaded.rejected.append(row | {"stage": error.stage, "error": type(error).__name__, "message": str(error)})
        else:
            loaded.members.append(row | micrograph.facts)
            loaded.seen.append(micrograph.seen)
        decode_seconds += time.monotonic() - decode_started
    loaded.seconds.update(load=time.monotonic() - started, decode=decode_seconds)
    return replace(loaded, num_bytes=num_bytes)


@cache
def isolated_reader() -> Isolated:
    """`read_micrograph` in a process beside this one, which alone imports the decoders."""
    return Isolated("texture_store.micrograph.reading:read_micrograph")


class Extractor:
    """One prepared network; called once a shard. Owns the processor it runs on."""

    def __init__(
        self,
        weights: "Weights",
        spec: FeatureSpec,
        *,
        words: Mapping[Layer, np.ndarray] | None = None,
        fold_words: Mapping[Layer, Mapping[str, np.ndarray]] | None = None,
        device: str = "cpu",
        threads: int | None = None,
        report: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare the network on `device`, with so many `threads` on a CPU.

        `words`, float32 (K, D) for each layer, are the dictionary of a VLAD spec; `fold_words` those of each fold
        dictionary by its name.
        `report` is called after each batch with the number of its images.
        """
        from texture_store.featurizer import Featurizer

        self._featurize = Featurizer(
            weights, spec, words=words or {}, fold_words=fold_words or {}, device=device, threads=threads
        )
        self._report = report
        self.environment = _environment(
            self._featurize.device_name, self._featurize.kernel_path, self._featurize.num_threads
        )

    def __call__(self, loaded: LoadedShard) -> EncodedShard:
        """Feature maps and their encodings; images of one shape share a batch."""
        started = time.monotonic()
        paths = [member["path"] for member in loaded.members]
        products = self._featurize(loaded.seen, paths, loaded.unit.pairs, self._report)
        without_pictures = LoadedShard(loaded.unit, loaded.members, [], loaded.rejected, loaded.changed, loaded.seconds)
        seconds = loaded.seconds | {"extract": time.monotonic() - started}
        return EncodedShard(without_pictures, products, self.environment, seconds)


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
        features=product_tables(encoded.products, loaded.members),
        micrographs=pa.Table.from_pylist(loaded.members, schema=MICROGRAPHS),
        rejected=pa.Table.from_pylist(loaded.rejected, schema=REJECTED),
        environment=encoded.environment,
        seconds=encoded.seconds | {"tables": time.monotonic() - started},
        snapshot=snapshot,
    )
    return WrittenShard(record, len(loaded.unit.rows), loaded.changed)


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
