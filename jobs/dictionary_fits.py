"""Learning dictionaries and checking them, layer by layer, as Ray tasks that read their own descriptors."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.fan_out import fan_out
from texture_store.encoding.dictionary import fit_words, image_errors
from texture_store.encoding.sampling import held_out
from texture_store.errors import DictionaryNotFoundError
from texture_store.objects import Storage
from texture_store.spec import NUM_CHANNELS, NUM_WORDS, FeatureSpec, Layer, Product
from texture_store.store.commits import read_commits
from texture_store.store.dictionaries import Dictionary, DictionarySet, LearntFrom
from texture_store.store.samples import read_sample, sampled_ids
from texture_store.store.snapshots import Snapshot


@dataclass(frozen=True)
class Learning:
    """How dictionaries are learnt."""

    layers: tuple[Layer, ...]
    num_words: int = NUM_WORDS
    share: float = 0.2
    """Of the images that are sampled."""
    seed: int = 0
    starts: int = 4
    """Of k-means; the best one counts."""
    all_positions: bool = False
    """Every descriptor of the images, as the paper likely did, and not a sample of them."""

    @property
    def product(self) -> Product:
        """What is kept of an image to learn from."""
        return "positions" if self.all_positions else "sample"

    @classmethod
    def of(cls, known: DictionarySet) -> "Learning":
        """How a set was learnt."""
        source = known.learnt_from
        is_all = source.positions == "all"
        return cls(tuple(known.layers), source.num_words, source.share, source.seed, source.starts, is_all)


@dataclass(frozen=True)
class Fit:
    """What is fitted, by one task for each layer."""

    storage: Storage
    dataset: str
    snapshot: int
    spec: FeatureSpec
    learning: Learning
    images: tuple[str, ...]
    held_out: tuple[str, ...]

    def source(self, layer: Layer) -> dict[str, Any]:
        """What is known of a layer's dictionary before it is learnt (fields of LearntFrom)."""
        return {
            "dataset": self.dataset,
            "snapshot": self.snapshot,
            "spec": self.spec.fingerprint,
            "layer": layer,
            "share": self.learning.share,
            "num_words": self.learning.num_words,
            "seed": self.learning.seed,
            "starts": self.learning.starts,
            "positions": "all" if self.learning.all_positions else None,
            "images": self.images,
            "held_out": self.held_out,
        }

    def made(self, known: DictionarySet) -> bool:
        """Whether a set was learnt from just this."""
        return set(known.layers) == set(self.learning.layers) and all(
            one.learnt_from.model_dump().items() >= self.source(layer).items() for layer, one in known.layers.items()
        )


def plan_fit(storage: Storage, members: Snapshot, spec: FeatureSpec, learning: Learning) -> Fit:
    """Which of the sampled images are fitted and which are held out; both in the order of their paths.

    Raises DictionaryNotFoundError when no image is left to learn from.
    """
    commits = read_commits(storage, members.dataset, spec.fingerprint)
    there = sampled_ids(commits, learning.layers, learning.product)
    rows = zip(members.table["image_id"].to_pylist(), members.table["path"].to_pylist(), strict=True)
    kept = [(image_id, held_out(path)) for image_id, path in rows if image_id in there]
    fitted = tuple(image_id for image_id, out in kept if not out) or tuple(image_id for image_id, _ in kept)
    if not fitted:
        raise DictionaryNotFoundError(
            f"dataset {members.dataset}: a sample of no image, so there is nothing to learn words from; see status for"
            " why images are rejected or pending"
        )
    out = tuple(image_id for image_id, _ in kept if image_id not in set(fitted))
    return Fit(storage, members.dataset, members.number, spec, learning, fitted, out)


def fit_set(fit: Fit) -> tuple[DictionarySet, dict[str, float]]:
    """The dictionaries of all layers and the seconds that each took, from tasks on the connected Ray."""
    arguments = {layer: (layer, fit) for layer in widest_first(fit.learning.layers)}
    found = fan_out(fit_layer, arguments, doing="learning words", unit="layers")
    layers = {layer: found[layer][0] for layer in fit.learning.layers}
    return DictionarySet(layers), {layer: found[layer][1] for layer in fit.learning.layers}


def new_errors(
    storage: Storage, dataset: str, spec: FeatureSpec, known: DictionarySet, image_ids: Sequence[str]
) -> dict[Layer, npt.NDArray[np.float64]]:
    """For each layer the quantisation error of each of these images: mean squared distance to the nearest words."""
    shared = (storage, dataset, spec.fingerprint, known.words, tuple(image_ids), known.learnt_from.product)
    arguments = {layer: (layer, *shared) for layer in widest_first(known.layers)}
    return fan_out(_errors_of_layer, arguments, doing="checking words", unit="layers")


def widest_first(layers: Iterable[Layer]) -> list[Layer]:
    """In the order to begin with them, so that no core ends up alone with the one that takes longest."""
    return sorted(layers, key=lambda layer: -NUM_CHANNELS[layer])


def fit_layer(layer: Layer, fit: Fit) -> tuple[Dictionary, float]:
    """The dictionary of one layer, and the seconds that it took. Raises DictionaryError."""
    started = time.monotonic()
    spec = fit.spec.fingerprint
    commits = read_commits(fit.storage, fit.dataset, spec)
    product = fit.learning.product
    sample = read_sample(fit.storage, fit.dataset, spec, commits, layer, fit.images, product)
    words = fit_words(sample.descriptors, fit.learning.num_words, seed=fit.learning.seed, starts=fit.learning.starts)
    held_out_errors: tuple[float, ...] = ()
    num_descriptors = len(sample.descriptors)
    del sample  # as large as the fit itself
    if fit.held_out:
        others = read_sample(fit.storage, fit.dataset, spec, commits, layer, fit.held_out, product)
        errors = image_errors(others.descriptors, others.image_of, len(others.image_ids), words.words_KD)
        held_out_errors = tuple(errors.tolist())
    source = LearntFrom(
        **fit.source(layer),
        num_descriptors=num_descriptors,
        error=float(np.average(words.word_errors_K, weights=words.counts_K)),
        held_out_errors=held_out_errors,
    )
    found = Dictionary(words.words_KD, words.counts_K, words.word_errors_K, source)
    return found, round(time.monotonic() - started, 1)


def _errors_of_layer(
    layer: Layer,
    storage: Storage,
    dataset: str,
    spec: str,
    words: dict[Layer, npt.NDArray[np.float32]],
    image_ids: Sequence[str],
    product: Product,
) -> npt.NDArray[np.float64]:
    sample = read_sample(storage, dataset, spec, read_commits(storage, dataset, spec), layer, image_ids, product)
    return np.asarray(image_errors(sample.descriptors, sample.image_of, len(sample.image_ids), words[layer]))
