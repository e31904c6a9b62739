"""Dictionaries that are learnt inside the folds of an evaluation, and the spec of vectors that are made with them.

A fold dictionary is its dataset's dictionary learnt again from fewer images: of those that the latter was learnt from,
the ones to learn from in a fold. Its name is a hash of just that. Its file counts as soon as it exists, without a
commit, and the first one stays, so that everybody encodes with the same bits; `choose_dictionary` never meets it.
"""

import hashlib
import json
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from schemas import dictionary_schema
from texture_store.objects import Storage
from texture_store.spec import NUM_CHANNELS, FeatureSpec, Layer
from texture_store.store import layout
from texture_store.store.dictionaries import Dictionary, dictionary_table, words_of
from texture_store.store.tables import read_table, write_table


def fold_dictionary_id(dictionary: str, images: Sequence[str]) -> str:
    """`d` and 20 hex digits: a hash of the dictionary that is learnt again, and of the image_ids to learn from."""
    return _hashed([dictionary, *images])


def fold_spec(base: FeatureSpec, names: Collection[str]) -> FeatureSpec:
    """The spec of vectors by all of these fold dictionaries."""
    return base.model_copy(update={"dictionary": _hashed(["folds", *sorted(names)])})


def known_fold_dictionaries(storage: Storage, dataset: str, spec: FeatureSpec, layer: Layer) -> set[str]:
    """Names of the fold dictionaries of a layer that have been learnt."""
    folder = layout.dictionaries_folder(dataset, spec.fingerprint, layer)
    return {info.path.rpartition("/")[2].removesuffix(".parquet") for info in storage.list(folder)}


def write_fold_dictionary(storage: Storage, spec: FeatureSpec, name: str, found: Dictionary) -> None:
    """Keep the words of one layer; those that are there stay."""
    source = found.learnt_from
    path = layout.dictionary_path(source.dataset, spec.fingerprint, source.layer, name)
    write_table(storage, path, dictionary_table(found))


def read_fold_words(
    storage: Storage, dataset: str, spec: FeatureSpec, layer: Layer, name: str
) -> npt.NDArray[np.float32]:
    """(K, D) words. Raises ObjectNotFoundError, and SchemaMismatchError for a file of another table."""
    path = layout.dictionary_path(dataset, spec.fingerprint, layer, name)
    return words_of(read_table(storage, path, dictionary_schema(NUM_CHANNELS[layer])))


def _hashed(parts: Sequence[str]) -> str:
    return "d" + hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:20]
