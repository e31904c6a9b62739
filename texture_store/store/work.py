"""What is left to do: the images of a snapshot that no commit of a spec covers, as units of work.

How it holds together. A pair is an (encoder, layer) or (sample, layer); a name is that of a shard or a follower of one.

1. A name's file under micrographs/ is created before any other file of that name, and the features of an image are
   written only when its facts are in that file, or committed elsewhere. So whoever creates that file decides which
   images the name holds. Later attempts, and slow ones that still run, adopt it and drop what is not in it.
2. The commit of a pair lists exactly the rows of that pair's file.
3. An image without facts is worked on under its shard's name; once that name is committed without it, under the name's
   followers `<shard>-back1`, `-back2`, ... An image that is rejected already has its own: `<shard>-retry1`, ...
   A commit that leaves an image undecided makes sure that the name's file under rejected/ exists, if need be empty, so
   that no slow attempt can reject that image later under a name that it has left.
4. An image with facts belongs to the name under which they are committed, its home, whatever the snapshot says: it may
   have gone and come back in another shard. A pair that it lacks is written under its home, or, once that pair is
   committed there without it, under `<home>-late1`, ... Its rejections go to rejected/`<home>-late<n>`, after the
   features, so that an image whose features were there already is not rejected as well.

Hence no file is ever created twice with other content, and files of a table never have an image in common, not even
with files that an interrupted attempt left behind. Followers have names made from their shard's and not from their
images', because which images are left over differs between attempts. Two things are out of reach: an attempt whose
commit is lost leaves files that no plan knows of, which `recovery` makes known; and a job that runs on while its images
are taken out of the archive, indexed, put back and indexed again may write them under two names (readers refuse that).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from schemas import SNAPSHOT
from texture_store.store.commits import CommitRecord, Pair
from texture_store.store.coverage import Standing
from texture_store.store.snapshots import Snapshot


@dataclass(frozen=True, eq=False)
class Unit:
    """Images that miss the same pairs, and the name of the files that they go to. Small when pickled."""

    shard: str
    """Name of the files. Not unique in a plan: units of one name have no pair in common."""
    rows: pa.Table
    """schemas.SNAPSHOT, without labels' meta columns; their `shard` is the one of the snapshot."""
    pairs: tuple[Pair, ...]
    writes_facts: bool = True
    """Whether the images' facts are still to be written."""
    rejections: str = ""
    """Name of the file for rejected rows; that of the shard where it is empty."""
    rejected_before: frozenset[str] = frozenset()
    """image_ids that have a row under rejected/ already and get no second one."""
    retried: frozenset[str] = frozenset()
    """image_ids whose rejection counts for all these pairs already: nothing is new when they fail again."""

    @property
    def writes_rejections(self) -> bool:
        """Whether any of the images may get a row under rejected/."""
        return len(self.rejected_before) < int(self.rows.num_rows)

    @property
    def image_ids(self) -> list[str]:
        """Of its images, in their order."""
        ids: list[str] = self.rows["image_id"].to_pylist()
        return ids

    def head(self, count: int) -> "Unit":
        """The first images, for measuring; not for writing."""
        return replace(self, rows=self.rows.slice(0, count))

    def __reduce__(self) -> tuple[Callable[..., "Unit"], tuple[Any, ...]]:
        # Arrow pickles a slice with the whole buffers behind it (36 MB for 64 rows of a million); IPC cuts them.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rows.schema) as writer:
            writer.write_table(self.rows)
        rest = (self.pairs, self.writes_facts, self.rejections, self.rejected_before, self.retried)
        return _unpickle, (self.shard, sink.getvalue().to_pybytes(), rest)


def plan_work(
    snapshot: Snapshot, commits: Sequence[CommitRecord], pairs: Sequence[Pair], *, retry_rejected: bool = False
) -> list[Unit]:
    """Units that cover all that these commits of one spec do not, in the order of the snapshot; none when all is done.

    Every (pair, image) that is pending is in exactly one unit, and nothing else is; with `retry_rejected` also what is
    settled by a rejection.
    """
    standing = Standing(commits, pairs)
    names = _Names(commits, standing)
    images = snapshot.table.select(["image_id", "shard"])
    new: dict[str, list[int]] = defaultdict(list)
    retried: dict[str, list[int]] = defaultdict(list)
    later: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    ids = images["image_id"].to_pylist()
    for index, (image_id, shard) in enumerate(zip(ids, _shared(images["shard"]), strict=True)):
        missing = standing.pending(image_id)
        if retry_rejected:
            missing |= standing.rejected(image_id)
        if not missing:
            continue
        home = names.homes.get(image_id)
        if home is not None:
            later[home][missing].append(index)
        elif standing.has_rejection(image_id):
            retried[shard].append(index)
        else:
            new[shard].append(index)
    drafts = [_Draft(names.first_open(shard, "back"), indices, standing.all_pairs) for shard, indices in new.items()]
    for shard, indices in retried.items():
        drafts.append(_Draft(names.first_open(f"{shard}-retry1", "retry"), indices, standing.all_pairs))
    for home, missing_of in later.items():
        drafts.extend(_later_drafts(home, missing_of, names))
    return _make_units(snapshot.table, ids, drafts, standing)


@dataclass
class _Draft:
    """A unit before its rows are cut out of the snapshot."""

    name: str
    indices: list[int]
    missing: int
    late_rejections: str = ""
    """Set for images that have facts."""


class _Names:
    """Which names are taken, and where images are at home."""

    def __init__(self, commits: Sequence[CommitRecord], standing: Standing) -> None:
        self.homes: dict[str, str] = {}
        self._committed: dict[str, int] = {}
        self._rejection_files: set[str] = set()
        for record in sorted(commits, key=lambda record: (not _has_facts(record), record.shard)):
            # Records with facts come first: they decide about the home. The others are a fallback for commits that
            # were made without facts, by other means than ours.
            for image_ids in (record.members, record.facts_only):
                for image_id in image_ids:
                    self.homes.setdefault(image_id, record.shard)
            if record.files_of("micrographs") or record.products:
                bits = self._committed.get(record.shard, 0)
                self._committed[record.shard] = bits | standing.bits_of(record.pairs)
            self._rejection_files.update(_stem(file.path) for file in record.files_of("rejected"))

    def first_open(self, name: str, follower: str) -> str:
        """The first of a name and its followers under which nothing is committed."""
        return next(candidate for candidate in _followers(name, follower) if candidate not in self._committed)

    def first_without(self, home: str, pairs: int) -> str:
        """The first of a home and its late followers under which none of these pairs is committed."""
        return next(name for name in _followers(home, "late") if not self._committed.get(name, 0) & pairs)

    def late_rejections(self, home: str) -> str:
        """A name under rejected/ that no commit lists."""
        names = (f"{home}-late{number}" for number in _counting())
        return next(name for name in names if name not in self._rejection_files)


def _later_drafts(home: str, missing_of: dict[int, list[int]], names: _Names) -> list[_Draft]:
    """Pair by pair, where its images go; pairs with the same name and the same images are one unit again."""
    rejections = names.late_rejections(home)
    if len(missing_of) == 1:
        ((missing, indices),) = missing_of.items()
        if names.first_without(home, missing) == home:
            return [_Draft(home, indices, missing, rejections)]
    images_of: dict[int, list[int]] = defaultdict(list)
    for missing, indices in missing_of.items():
        for pair in _single_bits(missing):
            images_of[pair].extend(indices)
    merged: dict[tuple[str, tuple[int, ...]], int] = defaultdict(int)
    for pair, indices in images_of.items():
        merged[names.first_without(home, pair), tuple(sorted(indices))] |= pair
    return [_Draft(name, list(indices), pairs, rejections) for (name, indices), pairs in merged.items()]


def _make_units(table: pa.Table, ids: Sequence[str], drafts: list[_Draft], standing: Standing) -> list[Unit]:
    if not drafts:
        return []
    drafts.sort(key=lambda draft: (draft.indices[0], draft.name, draft.missing))
    order = np.fromiter((index for draft in drafts for index in draft.indices), np.int64)
    rows = table.select(SNAPSHOT.names).replace_schema_metadata(SNAPSHOT.metadata)
    # All of a new dataset is in order already: then a million images need no second copy of 300 MB.
    if not np.array_equal(order, np.arange(rows.num_rows)):
        rows = rows.take(order).combine_chunks()
    units = []
    start = 0
    for draft in drafts:
        images = [ids[index] for index in draft.indices]
        before = frozenset(filter(standing.has_rejection, images))
        unit = Unit(
            shard=draft.name,
            rows=rows.slice(start, len(images)),
            pairs=tuple(pair for pair, bit in standing.bits.items() if bit & draft.missing),
            writes_facts=not draft.late_rejections,
            rejections=draft.late_rejections or draft.name,
            rejected_before=before,
            retried=frozenset(image for image in before if not draft.missing & ~standing.rejected(image)),
        )
        units.append(unit)
        start += len(images)
    return units


def _shared(column: pa.ChunkedArray) -> Iterator[str]:
    """The values of a column with many equal ones, of which each is made once."""
    for chunk in column.dictionary_encode().chunks:
        values = chunk.dictionary.to_pylist()
        yield from map(values.__getitem__, chunk.indices.to_pylist())


def _unpickle(shard: str, rows: bytes, rest: tuple[Any, ...]) -> Unit:
    return Unit(shard, pa.ipc.open_stream(rows).read_all(), *rest)


def _has_facts(record: CommitRecord) -> bool:
    return any(_stem(file.path) == record.shard for file in record.files_of("micrographs"))


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".parquet")


def _followers(name: str, follower: str) -> Iterator[str]:
    yield name
    base = name.removesuffix(f"-{follower}1")
    for number in _counting(2 if base != name else 1):
        yield f"{base}-{follower}{number}"


def _counting(start: int = 1) -> Iterator[int]:
    number = start
    while True:
        yield number
        number += 1


def _single_bits(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest
        bits ^= lowest
