"""What must hold of a store at any time, and of two that must be equal."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from texture_store import open_store
from texture_store.objects import open_storage
from texture_store.store.commits import list_specs, read_commits
from texture_store.store.coverage import check_balance, coverage
from texture_store.store.snapshots import latest_snapshot

DATASET = "steel"
Sets = dict[tuple[str, str, str], tuple[list[str], np.ndarray]]


class Committed:
    """Remembers every byte that was ever committed, and that none of them changes."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._digests: dict[str, str] = {}

    def look(self) -> None:
        """See what is committed now; what was committed before must be as it was."""
        for path, digest in self._digests.items():
            assert _digest(self._store / path) == digest, f"{path} has changed after it was committed"
        if not (self._store / "store.json").exists():
            return
        storage = open_storage(str(self._store))
        for spec in list_specs(storage, DATASET):
            for record in read_commits(storage, DATASET, spec):
                for file in record.files:
                    self._digests.setdefault(file.path, _digest(self._store / file.path))
        for folder in ("commits", "index", "dictionaries", "evaluations"):
            for found in (self._store / folder).rglob("*.*"):
                if found.suffix in (".json", ".parquet"):
                    path = found.relative_to(self._store).as_posix()
                    self._digests.setdefault(path, _digest(found))

    def __len__(self) -> int:
        return len(self._digests)


def feature_sets(store: Path) -> Sets:
    """Paths and vectors that a reader sees, for each (spec, encoder, layer)."""
    opened = open_store(str(store))
    found: Sets = {}
    storage = open_storage(str(store))
    for spec in opened.specs(DATASET):
        commits = read_commits(storage, DATASET, spec)
        for encoder, layer in sorted({pair for record in commits for pair in record.pairs if pair[0] != "sample"}):
            features = opened.features(DATASET, encoder=encoder, layer=layer, spec=spec)
            found[spec, encoder, layer] = (features.rows["path"].tolist(), features.to_numpy())
    return found


def assert_part_of(found: Sets, whole: Sets) -> int:
    """What a reader sees of an unfinished store: rows of the finished one, bit for bit, none twice. Their number."""
    rows = 0
    for name, (paths, matrix) in found.items():
        assert len(paths) == len(set(paths)), f"{name}: rows twice"
        expected = dict(zip(whole[name][0], whole[name][1], strict=True))
        assert set(paths) <= set(expected), f"{name}: rows of no image"
        for path, vector in zip(paths, matrix, strict=True):
            assert np.array_equal(vector.view(np.uint32), expected[path].view(np.uint32)), f"{name} of {path}"
        rows += len(paths)
    return rows


def assert_equal(store: Path, undisturbed: Path) -> int:
    """Same rows, bit for bit, none missing; the balance holds; a glob of the files sees no image twice."""
    found, expected = feature_sets(store), feature_sets(undisturbed)
    assert found.keys() == expected.keys()
    for name, (paths, matrix) in expected.items():
        assert found[name][0] == paths
        assert np.array_equal(found[name][1].view(np.uint32), matrix.view(np.uint32)), name
    rows = assert_part_of(found, expected)
    for one in (store, undisturbed):
        storage = open_storage(str(one))
        snapshot = latest_snapshot(storage, DATASET)
        for spec in list_specs(storage, DATASET):
            commits = read_commits(storage, DATASET, spec)
            pairs = sorted({pair for record in commits for pair in record.pairs})
            covered = coverage(snapshot, commits, pairs)
            check_balance(covered)
            assert covered.num_indexed == len(snapshot)
            if not any(encoder == "sample" for encoder, _ in pairs):
                assert covered.num_pending == 0
    here, there = _tables(store), _tables(undisturbed)
    differ = sorted(path for path in here.keys() | there.keys() if here.get(path) != there.get(path))
    assert not differ, [(path, path in here, path in there) for path in differ[:10]]
    return rows


def _tables(store: Path) -> dict[str, str]:
    """Digest of every file of vectors, descriptors, facts and words that lies there, committed or not.

    Without the empty tables of rejected images that a job leaves where it found what an earlier one had not finished.
    """
    folders = ("features", "samples", "dictionaries", "micrographs", "rejected", "index", "published")
    found = (file for folder in folders for file in (store / folder).rglob("*.parquet"))
    skipped = ("index/", "published/")  # they hold the time and the place
    digests = {}
    for file in found:
        path = file.relative_to(store).as_posix()
        if path.startswith("rejected/") and not pq.read_metadata(file).num_rows:
            continue
        digests[path] = "" if path.startswith(skipped) else _digest(file)
    return digests


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
