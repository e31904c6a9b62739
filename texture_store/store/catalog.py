"""What the commits of one dataset say at one snapshot: which files count, which of their rows, and for which images.

Everything that reads features, by Python or SQL, goes through this; nothing here opens a feature file.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from texture_store.errors import CommitConflictError, SchemaMismatchError
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, FeaturePair, Pair, list_specs, read_commits
from texture_store.store.coverage import Coverage, Standing, coverage
from texture_store.store.snapshots import Snapshot
from texture_store.store.specs import read_spec
from texture_store.store.tables import FileRecord


@dataclass(frozen=True, eq=False)
class CommittedFile:
    """A file that commits list, and which of its rows count."""

    path: str
    """Relative to the store."""
    num_bytes: int
    num_rows: int
    image_ids: pa.Array
    """string: the rows that count."""
    rows: np.ndarray
    """int64: row of each of `image_ids` in the snapshot; -1 where the image is no member of it."""

    @property
    def is_partial(self) -> bool:
        """Whether it has rows that do not count: an interrupted attempt left files with different images."""
        return self.num_rows > len(self.image_ids)


@dataclass(eq=False)
class Catalog:
    """One dataset at one snapshot."""

    storage: Storage
    snapshot: Snapshot
    _commits: dict[str, list[CommitRecord]] = field(default_factory=dict)
    _specs: dict[str, FeatureSpec] = field(default_factory=dict)
    _coverage: dict[tuple[str, frozenset[int]], Coverage] = field(default_factory=dict)
    _places: dict[tuple[int, ...], "_Places"] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """Its name."""
        return self.snapshot.dataset

    def fingerprints(self) -> list[str]:
        """Specs that have commits, sorted."""
        if not self._commits:
            self._commits = {
                spec: read_commits(self.storage, self.dataset, spec)
                for spec in sorted(list_specs(self.storage, self.dataset))
            }
        return [spec for spec, commits in self._commits.items() if commits]

    def commits(self, fingerprint: str) -> list[CommitRecord]:
        """All commit records of a spec."""
        self.fingerprints()
        return self._commits.get(fingerprint, [])

    def spec(self, fingerprint: str) -> FeatureSpec:
        """The spec of a fingerprint."""
        if fingerprint not in self._specs:
            self._specs[fingerprint] = read_spec(self.storage, fingerprint)
        return self._specs[fingerprint]

    def pairs(self, fingerprint: str) -> list[FeaturePair]:
        """The feature sets that a spec has commits for, sorted."""
        pairs = {pair for record in self.commits(fingerprint) for pair in record.pairs}
        return sorted(
            (product, layer)
            for product, layer in pairs
            if product != "sample" and product != "positions" and product != "fold-vlad"
        )

    def coverage(self, fingerprint: str, pair: Pair) -> Coverage:
        """Featurized, rejected and pending members of the snapshot."""
        commits = self.commits(fingerprint)
        # One job commits most pairs together, so that their coverage is the same.
        key = (fingerprint, frozenset(id(record) for record in commits if pair in record.pairs))
        if key not in self._coverage:
            self._coverage[key] = coverage(self.snapshot, commits, [pair])
        return self._coverage[key]

    def newest(self, fingerprint: str, pair: Pair) -> str:
        """When the newest commit of a pair was made (ISO 8601, UTC); empty when there is none."""
        return max((record.created for record in self.commits(fingerprint) if pair in record.pairs), default="")

    def product_files(self, fingerprint: str, pair: Pair) -> list[CommittedFile]:
        """The files of one pair, such as a feature set. Raises CommitConflictError if an image would appear twice."""
        folder = layout.product_folder(self.dataset, fingerprint, *pair) + "/"
        listed = _Listed()
        for record in self.commits(fingerprint):
            if pair not in record.pairs or not record.members:
                continue
            files = [file for file in record.files if file.path.startswith(folder)]
            if not files:
                raise SchemaMismatchError(
                    f"{self.storage.url_of(folder)}: the commit {record.step}/{record.shard} lists images but no file"
                    " here; the record was changed by hand"
                )
            listed.add(files, record.members)
        return self._placed(listed, once=f"{self.dataset} {fingerprint} {' '.join(pair)}")

    def micrograph_files(self, fingerprint: str) -> list[CommittedFile]:
        """The files with the facts of a spec's images."""
        listed = _Listed()
        for record in self.commits(fingerprint):
            image_ids = (*record.members, *record.facts_only) if record.facts_only else record.members
            listed.add(record.files_of("micrographs"), image_ids)
        return self._placed(listed)

    def rejected_files(self, fingerprint: str) -> list[CommittedFile]:
        """The files with a spec's rejected images; those that a later attempt featurized do not count."""
        commits = self.commits(fingerprint)
        standing = Standing(commits, self.pairs(fingerprint))
        listed = _Listed()
        for record in commits:
            still = [image_id for image_id in record.rejected if standing.rejected(image_id)]
            listed.add(record.files_of("rejected"), still)
        return self._placed(listed)

    def _placed(self, listed: "_Listed", *, once: str | None = None) -> list[CommittedFile]:
        """All files looked up in the snapshot at once: one hash table, however many files there are.

        `once` names the feature set in the error that is raised when an image appears twice.
        """
        files = [(file, image_ids) for _, (file, image_ids) in sorted(listed.files.items()) if image_ids]
        # Commits name the images of a shard once for all of its pairs: then this is done once for all of them.
        key = tuple(id(image_ids) for _, image_ids in files)
        if key not in self._places:
            self._places[key] = self._look_up([image_ids for _, image_ids in files])
        places = self._places[key]
        if once is not None:
            self._refuse_twice(places.rows, once)
        return [
            CommittedFile(file.path, file.bytes, file.rows, image_ids, places.rows[start : start + len(image_ids)])
            for (file, _), image_ids, start in zip(files, places.image_ids, places.starts, strict=True)
        ]

    def _look_up(self, listed: list[Collection[str]]) -> "_Places":
        image_ids = [pa.array(list(ids), pa.string()) for ids in listed]
        starts = np.cumsum([0, *map(len, image_ids)])[:-1]
        members = self.snapshot.table.column("image_id").combine_chunks()
        every = pa.concat_arrays([pa.array([], pa.string()), *image_ids])
        rows = pc.fill_null(pc.index_in(every, value_set=members), -1).to_numpy().astype(np.int64)
        return _Places(listed, image_ids, starts, rows)

    def _refuse_twice(self, rows: np.ndarray, what: str) -> None:
        found = np.sort(rows[rows >= 0])
        twice = np.unique(found[1:][found[1:] == found[:-1]])
        if len(twice):
            path = self.snapshot.table.column("path")[int(twice[0])].as_py()
            raise CommitConflictError(
                f"{what}: {len(twice)} images are committed twice, such as {path!r}; its commit records were changed by"
                " hand"
            )


class _Places(NamedTuple):
    """Where the images of some files are in the snapshot."""

    listed: list[Collection[str]]
    """Kept, because their identity is the key."""
    image_ids: list[pa.Array]
    starts: np.ndarray
    rows: np.ndarray


class _Listed:
    """Files by path. Commits of several steps may list one file: it counts once, with the rows that any lists."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[FileRecord, Collection[str]]] = {}

    def add(self, files: Iterable[FileRecord], image_ids: Collection[str]) -> None:
        for file in files:
            if file.path in self.files:
                both = tuple(dict.fromkeys([*self.files[file.path][1], *image_ids]))
                self.files[file.path] = (file, both)
            else:
                self.files[file.path] = (file, image_ids)
