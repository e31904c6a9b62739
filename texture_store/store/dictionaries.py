"""Dictionaries in a store: the words of each layer, and what they were learnt from. Named by their content.

A set has one id for all of its layers: a hash of every word, count and provenance. Its files are written first and its
commit record last, so that a set is there as a whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas import VECTOR, dictionary_schema
from texture_store.errors import DictionaryNotFoundError, SchemaMismatchError, UsageError
from texture_store.objects import Storage
from texture_store.spec import LAYERS, NUM_CHANNELS, FeatureSpec, Layer, Product
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, list_specs, read_commits, step_name, write_commit
from texture_store.store.specs import read_spec
from texture_store.store.tables import read_table, write_table

JOB = "fit-dictionary"
MIN_PREFIX = 4
"""Shortest abbreviation of an id, `d` included."""


class LearntFrom(BaseModel):
    """What the words of one layer were learnt from, and how well they fit it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    snapshot: int
    spec: str
    """Fingerprint of the base spec."""
    layer: Layer
    share: float
    """Of the images, as asked for."""
    num_words: int
    seed: int
    starts: int
    """Of k-means; the best one counts."""
    positions: Literal["all"] | None = None
    """None: a sample of each image's descriptors; not written then, so that ids are those that they always were."""
    images: tuple[str, ...]
    """image_ids that the words were fitted to."""
    num_descriptors: int
    """Of those images."""
    error: float
    """Mean squared distance of those descriptors to their words."""
    held_out: tuple[str, ...]
    """image_ids that were sampled but kept out of the fit."""
    held_out_errors: tuple[float, ...]
    """Mean squared distance to the words for each of them."""

    @property
    def product(self) -> Product:
        """What the words were learnt from."""
        return "sample" if self.positions is None else "positions"

    def to_json(self) -> str:
        """As it is written; part of a dictionary's id."""
        return self.model_dump_json(exclude_none=True)

    @property
    def held_out_error(self) -> float | None:
        """Mean over the held-out images."""
        return float(np.mean(self.held_out_errors)) if self.held_out_errors else None


@dataclass(frozen=True, eq=False)
class Dictionary:
    """The words of one layer."""

    words: npt.NDArray[np.float32]
    """(K, D)"""
    counts: npt.NDArray[np.int64]
    """(K,) descriptors of the fitted images that each word got."""
    errors: npt.NDArray[np.float64]
    """(K,) their mean squared distance to it."""
    learnt_from: LearntFrom


@dataclass(frozen=True, eq=False)
class DictionarySet:
    """One dictionary for each of some layers."""

    layers: dict[Layer, Dictionary]

    @property
    def id(self) -> str:
        """`d` and 20 hex digits: a hash of all that is in it."""
        digests = {layer: _digest(one) for layer, one in self.layers.items()}
        return "d" + hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def words(self) -> dict[Layer, npt.NDArray[np.float32]]:
        """(K, D) for each layer."""
        return {layer: one.words for layer, one in self.layers.items()}

    @property
    def learnt_from(self) -> LearntFrom:
        """Of its first layer: images, snapshot, seed are those of all."""
        return next(iter(self.layers.values())).learnt_from


@dataclass(frozen=True)
class DictionaryName:
    """A dictionary set that a store has."""

    id: str
    spec: FeatureSpec
    """The base spec."""
    snapshot: int
    created: str
    """ISO 8601, UTC."""
    layers: tuple[Layer, ...]


def write_dictionaries(
    storage: Storage, found: DictionarySet, *, environment: Mapping[str, str], seconds: Mapping[str, float]
) -> str:
    """Keep a set; returns its id. The same set is written once."""
    source = found.learnt_from
    name = found.id
    files = []
    for layer in sorted(found.layers, key=LAYERS.index):
        path = layout.dictionary_path(source.dataset, source.spec, layer, name)
        files.append(write_table(storage, path, dictionary_table(found.layers[layer])))
    record = CommitRecord(
        job=JOB,
        step=step_name(JOB, ()),
        dataset=source.dataset,
        spec=source.spec,
        shard=name,
        snapshot=source.snapshot,
        pairs=(),
        members=(),
        files=tuple(files),
        environment=dict(environment),
        seconds=dict(seconds),
    )
    write_commit(storage, record)
    return name


def list_dictionaries(storage: Storage, dataset: str) -> list[DictionaryName]:
    """The dictionary sets of a dataset, newest first."""
    found = []
    for fingerprint in list_specs(storage, dataset):
        own = [record for record in read_commits(storage, dataset, fingerprint) if record.files_of("dictionaries")]
        if own:
            found += dictionaries_of(own, read_spec(storage, fingerprint))
    return sorted(found, key=_age, reverse=True)


def dictionaries_of(commits: Sequence[CommitRecord], spec: FeatureSpec) -> list[DictionaryName]:
    """The dictionary sets that the commits of a base spec make visible, newest first."""
    found = [_name(record, spec) for record in commits if record.files_of("dictionaries")]
    return sorted(found, key=_age, reverse=True)


def choose_dictionary(storage: Storage, dataset: str, named: str | None = None) -> DictionaryName:
    """The set that `named` says (an id, or an unambiguous start of one); else the newest, never of random weights.

    Raises DictionaryNotFoundError, and UsageError when an abbreviation fits several.
    """
    known = list_dictionaries(storage, dataset)
    if named is None:
        usable = [one for one in known if not one.spec.is_random]
        if usable:
            return usable[0]
        hint = "; those of random weights count only when named by --dictionary" if known else ""
        raise DictionaryNotFoundError(
            f"dataset {dataset}: no dictionary yet{hint}; run: texture-store fit-dictionary --store {storage.url}"
            f" --dataset {dataset}"
        )
    fitting = [one for one in known if one.id.startswith(named)]
    exact = [one for one in fitting if one.id == named]
    if exact or (len(fitting) == 1 and len(named) >= MIN_PREFIX):
        return (exact or fitting)[0]
    if len(fitting) > 1:
        raise UsageError(f"--dictionary {named}: fits {', '.join(one.id for one in fitting)}; give more of it")
    listed = ", ".join(one.id for one in known) or "none"
    raise DictionaryNotFoundError(f"dataset {dataset}: no dictionary {named}; there are: {listed}")


def read_dictionaries(storage: Storage, dataset: str, name: DictionaryName) -> DictionarySet:
    """A set with all of its layers.

    Raises SchemaMismatchError for a file of another version or layer, or one whose content is not that of its name.
    """
    layers = {layer: _read(storage, dataset, name, layer) for layer in name.layers}
    found = DictionarySet(layers)
    if found.id != name.id:
        raise SchemaMismatchError(
            f"{storage.url}: the content of dictionary {name.id} is that of {found.id}; restore its files from a copy,"
            " or run fit-dictionary again"
        )
    return found


def _read(storage: Storage, dataset: str, name: DictionaryName, layer: Layer) -> Dictionary:
    spec = name.spec.fingerprint
    path = layout.dictionary_path(dataset, spec, layer, name.id)
    table = read_table(storage, path, dictionary_schema(NUM_CHANNELS[layer]))
    texts = set(table["learnt_from"].to_pylist())
    try:
        (text,) = texts
        source = LearntFrom.model_validate_json(text)
    except (ValueError, ValidationError):
        raise SchemaMismatchError(
            f"{storage.url_of(path)}: does not say what it was learnt from; restore it from a copy, or run"
            " fit-dictionary again"
        ) from None
    if (source.dataset, source.spec, source.layer) != (dataset, spec, layer):
        raise SchemaMismatchError(
            f"{storage.url_of(path)}: words of {source.dataset}, spec {source.spec}, layer {source.layer}, not of"
            f" {dataset}, spec {spec}, layer {layer}; restore it from a copy, or run fit-dictionary again"
        )
    return Dictionary(words_of(table), table["count"].to_numpy(), table["error"].to_numpy(), source)


def dictionary_table(one: Dictionary) -> pa.Table:
    """The words of one layer as they are written."""
    num_words, width = one.words.shape
    schema = dictionary_schema(width)
    columns = [
        pa.array(range(num_words), pa.int32()),
        pa.FixedSizeListArray.from_arrays(pa.array(one.words.reshape(-1)), type=schema.field(VECTOR).type),
        pa.array(one.counts, pa.int64()),
        pa.array(one.errors, pa.float64()),
        pa.array([one.learnt_from.to_json()] * num_words, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _digest(one: Dictionary) -> str:
    digest = hashlib.sha256(one.learnt_from.to_json().encode())
    for array, kind in ((one.words, "<f4"), (one.counts, "<i8"), (one.errors, "<f8")):
        digest.update(np.ascontiguousarray(array, kind).tobytes())
    return digest.hexdigest()


def _age(one: DictionaryName) -> tuple[str, str]:
    return one.created, one.id


def _name(record: CommitRecord, spec: FeatureSpec) -> DictionaryName:
    files = {file.path for file in record.files}
    layers = [
        layer for layer in LAYERS if layout.dictionary_path(record.dataset, record.spec, layer, record.shard) in files
    ]
    return DictionaryName(record.shard, spec, record.snapshot, record.created, tuple(layers))


def words_of(table: pa.Table) -> npt.NDArray[np.float32]:
    """(K, D) of a dictionary file."""
    vectors = table[VECTOR].combine_chunks().flatten().to_numpy()
    return np.asarray(vectors.reshape(table.num_rows, -1), np.float32)


def layers_of(found: DictionarySet, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """`layers`, all of which the set must have. Raises DictionaryNotFoundError."""
    missing = [layer for layer in layers if layer not in found.layers]
    if missing:
        raise DictionaryNotFoundError(
            f"dictionary {found.id} has no words for {', '.join(missing)}; it has {', '.join(found.layers)}: leave"
            " out --layers, or run fit-dictionary with them"
        )
    return tuple(layers)
