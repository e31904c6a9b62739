"""The path of one shard: load_shard -> extract -> write_shard, plain functions, each leg timed. Knows no Ray.

Shapes: `B` images of a batch, `H W` pixels, `N` images of a shard.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schemas import MICROGRAPHS, REJECTED
from texture_store.archive.fetch import fetch
from texture_store.errors import DictionaryNotFoundError, RejectedImageError
from texture_store.objects import Storage
from texture_store.products import Products, product_tables
from texture_store.spec import NUM_WORDS, Encoder, FeatureSpec, Layer, PixelSpec, vector_width
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
        words: Mapping[Layer, np.ndarray] | None = None,
        fold_words: Mapping[Layer, Mapping[str, np.ndarray]] | None = None,
        device: str = "cpu",
        threads: int | None = None,
        report: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare the network on `device`. `threads` (CPU) is fixed, since it may decide the last bits.

        `words`, float32 (K, D) for each layer, are the dictionary of a VLAD spec; `fold_words` those of each fold
        dictionary by its name.
        `report` is called after each batch with the number of its images.
        """
        import torch

        from texture_store.backbone.vgg16 import VGG16

        if threads is not None:
            torch.set_num_threads(threads)
        self._spec = spec
        self._words = words or {}
        self._fold_words = fold_words or {}
        self._report = report
        self._network = VGG16(weights, precision=spec.precision, device=device)
        self.environment = _environment(self._network.device_name, self._network.kernel_path, torch.get_num_threads())

    def __call__(self, loaded: LoadedShard) -> EncodedShard:
        """Feature maps and their encodings, in batches of the spec's size; images of one shape share a batch."""
        started = time.monotonic()
        pairs = loaded.unit.pairs
        count = len(loaded.seen)
        products = self._empty(pairs, count)
        paths = [member["path"] for member in loaded.members]
        for indices, pixels_BHW in _batches(loaded.seen, self._spec.batch_size):
            self._extract_batch(indices, pixels_BHW, pairs, paths, products)
            if self._report is not None:
                self._report(len(indices))
        without_pictures = LoadedShard(loaded.unit, loaded.members, [], loaded.rejected, loaded.changed, loaded.seconds)
        seconds = loaded.seconds | {"extract": time.monotonic() - started}
        return EncodedShard(without_pictures, products, self.environment, seconds)

    def _empty(self, pairs: Sequence[Pair], count: int) -> Products:
        products = Products()
        for product, layer in pairs:
            products.num_positions[layer] = np.zeros(count, np.int32)
            if product == "sample":
                products.samples[layer] = [np.empty((0, 0), np.float32)] * count
                continue
            if product == "fold-vlad":
                products.fold_vectors[layer] = {
                    name: np.empty((count, words.size), np.float32) for name, words in self._fold_words[layer].items()
                }
                continue
            if product == "vlad" and layer not in self._words:
                raise DictionaryNotFoundError(f"no words for {layer}; give the extractor a dictionary that has them")
            num_words = len(self._words[layer]) if product == "vlad" else NUM_WORDS
            products.vectors[product, layer] = np.empty((count, vector_width(product, layer, num_words)), np.float32)
            if product == "vlad":
                products.counts[layer] = np.empty((count, num_words), np.int32)
        return products

    def _extract_batch(
        self,
        indices: Sequence[int],
        pixels_BHW: np.ndarray,
        pairs: Sequence[Pair],
        paths: Sequence[str],
        products: Products,
    ) -> None:
        import torch

        from texture_store.encoding.encode import encode
        from texture_store.encoding.rounding import keep_mantissa_bits
        from texture_store.encoding.vlad import vlad_by_each

        encoders: dict[Layer, list[Encoder]] = {layer: [] for _, layer in pairs}
        for product, layer in pairs:
            if product != "sample" and product != "fold-vlad":
                encoders[layer].append(product)
        num_real = len(indices)
        for layer, maps in self._network.feature_maps(torch.from_numpy(pixels_BHW), encoders):
            products.num_positions[layer][indices] = maps.shape[2] * maps.shape[3]
            if layer in products.samples:
                for row, index in enumerate(indices):
                    products.samples[layer][index] = _sample(maps[row], paths[index], layer)
            if layer in products.fold_vectors:
                found = products.fold_vectors[layer]
                by_each = vlad_by_each(maps, [self._fold_words[layer][name] for name in found])
                for matrix, vectors in zip(found.values(), by_each, strict=True):
                    matrix[indices] = vectors[:num_real].cpu().numpy()
            encodings = encode(maps, encoders[layer], words=self._words.get(layer))
            for encoder, encoded in encodings.vectors.items():
                real = encoded[:num_real]
                if encoder == "gram":
                    real = keep_mantissa_bits(real, self._spec.gram_mantissa_bits)
                products.vectors[encoder, layer][indices] = real
            if encodings.counts is not None:
                products.counts[layer][indices] = encodings.counts[:num_real]


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


def _sample(maps_DHW: Any, path: str, layer: Layer) -> np.ndarray:
    from texture_store.encoding.sampling import DESCRIPTORS_PER_IMAGE, sample_positions
    from texture_store.encoding.taking import take_descriptors

    num_positions = maps_DHW.shape[1] * maps_DHW.shape[2]
    # The path alone, so that a copy of an archive has the same sample.
    positions = sample_positions(num_positions, DESCRIPTORS_PER_IMAGE, key=f"{path}\n{layer}")
    return take_descriptors(maps_DHW, positions)


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
