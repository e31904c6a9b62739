"""Some images made anew from the archive, and held against what is stored of them: bit by bit where that can be.

On the same kind of processor, kernel path, threads and libraries the same spec gives the same bits. Elsewhere a value
may differ by TOLERANCES times the largest one of its vector; that is said.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas import DESCRIPTORS, VECTOR
from texture_store.errors import CorpusError, DictionaryNotFoundError, StoreError, TableError, WeightsError
from texture_store.objects import Storage
from texture_store.pipeline import EncodedShard, Extractor, LoadedShard, load_shard
from texture_store.products import product_tables
from texture_store.spec import FeatureSpec, Layer
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, Pair
from texture_store.store.dictionaries import choose_dictionary, read_dictionaries
from texture_store.store.specs import read_weights
from texture_store.store.tables import read_table
from texture_store.store.work import Unit
from texture_store.verification.committed import Committed
from texture_store.verification.findings import Finding, Note
from texture_store.verification.records import Name

TOLERANCES = {"float32": 1e-4, "tf32": 2e-2, "bfloat16": 2e-2}
"""Largest difference between two kinds of processor, as a share of the vector's largest value. float32 against other
implementations was measured at 1.3e-6, bfloat16 against float32 at 0.75e-2."""

_DECIDING = (
    "processor",
    "kernel_path",
    "torch",
    "numpy",
    "scipy",
    "pillow",
    "tifffile",
    "imagecodecs",
    "opencv-python-headless",
)
"""Of a commit's environment: where one differs, bits may."""


@dataclass
class Recomputed:
    """What came of the sample."""

    images: int = 0
    vectors: int = 0
    exact: int = 0
    """Vectors that are the same bit by bit."""
    close: int = 0
    """Vectors that another processor or library made, and that are within the tolerance."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def recompute(
    storage: Storage,
    snapshot: pa.Table,
    archive_url: str,
    spec: FeatureSpec,
    committed: Committed,
    *,
    sample: int,
    seed: int,
    device: str = "cpu",
    on_image: Callable[[int], None] | None = None,
) -> Recomputed:
    """Make `sample` images of a spec anew, of those of the newest snapshot that it has settled.

    Which ones is decided by `seed` and their image_ids. An image that is not in the archive any more, or has changed,
    is told and no finding.
    """
    found = Recomputed()
    records = committed.records.counting
    settled = {image for record in records.values() for image in (*record.members, *record.rejected)}
    known = sorted(settled.intersection(snapshot["image_id"].to_pylist()))
    chosen = set(random.Random(seed).sample(known, min(sample, len(known))))  # noqa: S311 no secret
    try:
        words = _words(storage, committed.records.dataset, spec)
        network = _network(storage, spec)
    except (DictionaryNotFoundError, WeightsError, TableError, StoreError) as error:
        found.notes.append(Note(f"spec {spec.fingerprint}", f"no image was recomputed: {error}"))
        return found
    rows = snapshot.filter(pa.array([image in chosen for image in snapshot["image_id"].to_pylist()]))
    for row in range(rows.num_rows):
        one = rows.slice(row, 1)
        image_id, path = one["image_id"][0].as_py(), one["path"][0].as_py()
        pairs = _pairs_of(records, image_id)
        unit = Unit(shard="verify", rows=one, pairs=tuple(pairs))
        try:
            loaded = load_shard(unit, archive_url, spec.pixels)
        except (StoreError, CorpusError) as error:
            found.notes.append(Note(path, f"could not be read again: {error}"))
            continue
        finally:
            if on_image is not None:
                on_image(1)
        if loaded.changed:
            found.notes.append(Note(path, "is gone from the archive, or has changed, since it was indexed"))
            continue
        found.images += 1
        if not loaded.members:
            _judge_rejection(found, committed, path, pairs)
        elif pairs:
            _judge_vectors(found, storage, spec, committed, loaded, pairs, network, words, device)
    return found


def _network(storage: Storage, spec: FeatureSpec) -> Any:
    from texture_store.backbone.weights import from_safetensors

    return from_safetensors(read_weights(storage, spec.weights), digest=spec.weights, allow_foreign=True)


def _words(storage: Storage, dataset: str, spec: FeatureSpec) -> Mapping[Layer, np.ndarray]:
    if spec.dictionary is None:
        return {}
    return read_dictionaries(storage, dataset, choose_dictionary(storage, dataset, spec.dictionary)).words


def _pairs_of(records: Mapping[Name, CommitRecord], image_id: str) -> dict[Pair, Name]:
    return {
        pair: name
        for name, record in records.items()
        if image_id in record.members
        for pair in record.pairs
        if pair[0] != "fold-vlad"
    }


def _judge_rejection(found: Recomputed, committed: Committed, path: str, pairs: Mapping[Pair, Name]) -> None:
    names = sorted(set(pairs.values()))
    if names:
        where = committed.records.paths[names[0]]
        problem = f"{path} has features, and is rejected when it is read again"
        found.findings.append(Finding(where, problem, "compare the versions of libraries in the commit with these"))
    # An image that was rejected is rejected again: as it should be.


def _judge_vectors(
    found: Recomputed,
    storage: Storage,
    spec: FeatureSpec,
    committed: Committed,
    loaded: LoadedShard,
    pairs: Mapping[Pair, Name],
    network: Any,
    words: Mapping[Layer, np.ndarray],
    device: str,
) -> None:
    image_id, path = loaded.members[0]["image_id"], loaded.members[0]["path"]
    by_threads: dict[int | None, list[Pair]] = defaultdict(list)
    for pair, name in pairs.items():
        stated = committed.records.counting[name].environment.get("threads", "")
        by_threads[int(stated) if stated.isdigit() else None].append(pair)
    for threads, own in by_threads.items():
        extract = Extractor(network, spec, words=words, device=device, threads=threads)
        unit = Unit(shard="verify", rows=loaded.unit.rows, pairs=tuple(own))
        encoded: EncodedShard = extract(LoadedShard(unit, loaded.members, loaded.seen))
        tables = product_tables(encoded.products, loaded.members)
        for pair in own:
            record = committed.records.counting[pairs[pair]]
            stored = layout.product_path(record.dataset, record.spec, *pair, record.shard)
            was = _vector(read_table(storage, stored), image_id)
            now = _vector(tables[pair], image_id)
            found.vectors += 1
            problem = _compare(was, now, record.environment, extract.environment, TOLERANCES[spec.precision])
            if problem == EXACT:
                found.exact += 1
            elif problem == CLOSE:
                found.close += 1
            else:
                found.findings.append(committed.finding(stored, f"{path}: {problem}"))


EXACT, CLOSE = "exact", "close"


def _compare(
    was: np.ndarray, now: np.ndarray, made_on: Mapping[str, str], here: Mapping[str, str], tolerance: float
) -> str:
    if was.shape == now.shape and np.array_equal(was.view(np.uint32), now.view(np.uint32)):
        return EXACT
    if all(made_on.get(name) == here.get(name) for name in _DECIDING):
        return "recomputed here it has other bits, on the same processor, kernel path and libraries"
    if was.shape == now.shape and np.abs(was - now).max() <= tolerance * max(np.abs(was).max(), 1e-30):
        return CLOSE
    return f"recomputed here it differs by more than {tolerance:g} of its largest value"


def _vector(table: pa.Table, image_id: str) -> np.ndarray:
    row: Sequence[int] = [index for index, one in enumerate(table["image_id"].to_pylist()) if one == image_id]
    column = table[VECTOR if VECTOR in table.column_names else DESCRIPTORS]
    return np.asarray(column[row[0]].values.to_numpy(zero_copy_only=False), np.float32)
