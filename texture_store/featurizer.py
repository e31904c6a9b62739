"""Pictures to products on one processor: the network, and the encoders on its maps.

Shapes: `B` images of a batch, `H W` pixels, `N` images of a shard.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from texture_store.backbone.freed_memory import keep_freed_memory
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.encoding.encode import encode_tensors
from texture_store.encoding.rounding import keep_mantissa_bits
from texture_store.encoding.sampling import DESCRIPTORS_PER_IMAGE, sample_positions
from texture_store.encoding.taking import take_descriptors
from texture_store.encoding.vlad import vlad_by_each
from texture_store.errors import DictionaryNotFoundError
from texture_store.products import Products
from texture_store.spec import NUM_WORDS, Encoder, FeatureSpec, Layer, vector_width
from texture_store.store.commits import Pair
from texture_store.transfer import Transfer


@dataclass(frozen=True)
class _Batch:
    indices: list[int]
    """Places of its pictures in the shard."""
    pixels_BHW: np.ndarray
    """uint8; the last pictures may be filling."""


class Featurizer:
    """One prepared network and what it needs to encode. Owns the processor it runs on.

    On a CPU each thread has an image of its own: threads that share one image wait for each other at every layer, and
    for every other process that wants a part of a core (two cores, 512x512: 0.41 to 0.46 s of CPU time an image
    instead of 0.39 alone, 0.31 s on the clock instead of 0.24 with decoding beside it). The number of threads changes
    no bit (measured with 1 to 4 threads, float32 and bfloat16, five sizes of picture). On a GPU a batch is copied
    there, and the vectors of the one before it back, while another is computed.
    """

    def __init__(
        self,
        weights: Weights,
        spec: FeatureSpec,
        *,
        words: Mapping[Layer, np.ndarray],
        fold_words: Mapping[Layer, Mapping[str, np.ndarray]],
        device: str,
        threads: int | None,
    ) -> None:
        self._spec = spec
        self._words = words
        self._fold_words = fold_words
        self._transfer = Transfer(device)
        self._pool: ThreadPoolExecutor | None = None
        if device == "cpu":
            keep_freed_memory()
            self.num_threads = threads or torch.get_num_threads()
            # Batches of several pictures are rare on a CPU, and large: one at a time, by all threads.
            if spec.batch_size == 1:
                self._pool = ThreadPoolExecutor(self.num_threads, initializer=lambda: torch.set_num_threads(1))
            else:
                torch.set_num_threads(self.num_threads)
        else:
            self.num_threads = torch.get_num_threads()
        self._network = VGG16(weights, precision=spec.precision, device=device)

    @property
    def device_name(self) -> str:
        """The processor, such as `AMD EPYC` or `NVIDIA H200`."""
        return self._network.device_name

    @property
    def kernel_path(self) -> str:
        """What computes: a feature's bits depend on it."""
        path = self._network.kernel_path
        return path + ", Gram by oneDNN" if path.startswith("cpu") and path.endswith(", bfloat16") else path

    def __call__(
        self,
        pictures: Sequence[np.ndarray],
        paths: Sequence[str],
        pairs: Sequence[Pair],
        report: Callable[[int], None] | None = None,
    ) -> Products:
        """The products of a shard.

        Args:
            pictures: uint8 (H, W) each; those of one shape share batches of the spec's size, the last one filled up.
            paths: Of the same images; they decide which descriptors are sampled.
            pairs: What is asked for.
            report: Called after each batch with the number of its images.
        """
        products = self._empty(pairs, len(pictures))

        def launch(batch: _Batch) -> Callable[[], int]:
            return self._launch(batch, paths, pairs, products)

        for num_images in self._each(_batches(pictures, self._spec.batch_size), launch):
            if report is not None:
                report(num_images)
        return products

    def _each(self, batches: Iterator[_Batch], launch: Callable[[_Batch], Callable[[], int]]) -> Iterator[int]:
        if self._pool is not None:
            yield from self._pool.map(lambda batch: launch(batch)(), batches)
            return
        finish: Callable[[], int] | None = None
        for batch in batches:
            finish_before, finish = finish, launch(batch)
            if finish_before is not None:
                yield finish_before()
        if finish is not None:
            yield finish()

    def _empty(self, pairs: Sequence[Pair], count: int) -> Products:
        products = Products()
        for product, layer in pairs:
            products.num_positions[layer] = np.zeros(count, np.int32)
            if product == "sample":
                products.samples[layer] = [np.empty((0, 0), np.float32)] * count
                continue
            if product == "positions":
                products.positions[layer] = [np.empty((0, 0), np.float32)] * count
                continue
            if product == "fold-vlad":
                products.fold_vectors[layer] = {
                    name: self._transfer.empty((count, words.size), np.float32)
                    for name, words in self._fold_words[layer].items()
                }
                continue
            if product == "vlad" and layer not in self._words:
                raise DictionaryNotFoundError(f"no words for {layer}; give the extractor a dictionary that has them")
            num_words = len(self._words[layer]) if product == "vlad" else NUM_WORDS
            width = vector_width(product, layer, num_words)
            products.vectors[product, layer] = self._transfer.empty((count, width), np.float32)
            if product == "vlad":
                products.counts[layer] = self._transfer.empty((count, num_words), np.int32)
        return products

    def _launch(
        self, batch: _Batch, paths: Sequence[str], pairs: Sequence[Pair], products: Products
    ) -> Callable[[], int]:
        """Starts a batch; the function that is returned puts what came of it into `products`, and counts images."""
        indices = batch.indices
        encoders: dict[Layer, list[Encoder]] = {layer: [] for _, layer in pairs}
        for product, layer in pairs:
            if product != "sample" and product != "positions" and product != "fold-vlad":
                encoders[layer].append(product)
        made: list[tuple[torch.Tensor, np.ndarray]] = []
        for layer, maps in self._network.feature_maps(self._transfer.to_device(batch.pixels_BHW), encoders):
            products.num_positions[layer][indices] = maps.shape[2] * maps.shape[3]
            if layer in products.samples:
                for row, index in enumerate(indices):
                    products.samples[layer][index] = _sample(maps[row], paths[index], layer)
            if layer in products.positions:
                every = np.arange(maps.shape[2] * maps.shape[3], dtype=np.int64)
                for row, index in enumerate(indices):
                    products.positions[layer][index] = take_descriptors(maps[row], every)
            if layer in products.fold_vectors:
                there = products.fold_vectors[layer]
                by_each = vlad_by_each(maps, [self._fold_words[layer][name] for name in there])
                made += zip(by_each, there.values(), strict=True)
            encoded, counts = encode_tensors(maps, encoders[layer], words=self._words.get(layer))
            for encoder, vectors in encoded.items():
                made.append((self._as_kept(encoder, vectors), products.vectors[encoder, layer]))
            if counts is not None:
                made.append((counts, products.counts[layer]))
        arrive = self._transfer.to_host(made, indices)

        def finish() -> int:
            arrive()
            return len(indices)

        return finish

    def _as_kept(self, encoder: Encoder, vectors: torch.Tensor) -> torch.Tensor:
        # Where they were computed: for a GPU of data centres the cores beside it are too slow (0.95 ms an image).
        return keep_mantissa_bits(vectors, self._spec.gram_mantissa_bits) if encoder == "gram" else vectors


def _sample(maps_DHW: torch.Tensor, path: str, layer: Layer) -> np.ndarray:
    num_positions = maps_DHW.shape[1] * maps_DHW.shape[2]
    # The path alone, so that a copy of an archive has the same sample.
    positions = sample_positions(num_positions, DESCRIPTORS_PER_IMAGE, key=f"{path}\n{layer}")
    return take_descriptors(maps_DHW, positions)


def _batches(pictures: Sequence[np.ndarray], batch_size: int) -> Iterator[_Batch]:
    """Batches of one shape and of one size: the last one is padded with black pictures."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        by_shape.setdefault(picture.shape, []).append(index)
    for shape, indices in by_shape.items():
        for first in range(0, len(indices), batch_size):
            chosen = indices[first : first + batch_size]
            pixels_BHW = np.zeros((batch_size, *shape), np.uint8)
            for row, index in enumerate(chosen):
                pixels_BHW[row] = pictures[index]
            yield _Batch(chosen, pixels_BHW)
