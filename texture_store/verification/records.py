"""The commit records and checkpoints of one dataset and spec: each by itself, and against each other."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from texture_store.errors import ObjectNotFoundError, StoreFormatError, UsageError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, parse_record, step_name
from texture_store.store.sealing import is_json_whole
from texture_store.verification.content import check_content
from texture_store.verification.findings import DamagedError, Finding
from texture_store.verification.inventory import PRODUCTS, Place

AGAIN = "run the job again"
_READERS = 16

Name = tuple[str, str]
"""Step and shard."""


@dataclass
class Records:
    """What counts in one dataset and spec, and what is wrong with it."""

    dataset: str
    spec: str
    counting: dict[Name, CommitRecord] = field(default_factory=dict)
    paths: dict[Name, str] = field(default_factory=dict)
    """Of the loose record that counts."""
    checkpoints: list[str] = field(default_factory=list)
    without_checksum: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def without(self, names: Iterable[Name], first: Sequence[str] = ()) -> tuple[str, ...]:
        """What to set aside so that these records do not count any more, `first` before the records themselves.

        A checkpoint holds them as well, and all that others of it hold lies beside it. The records go last: a reader
        then meets an error until the end, and never a damaged file that a next attempt would take for its own.
        """
        return (*self.checkpoints, *first, *(self.paths[name] for name in sorted(set(names)) if name in self.paths))


def check_records(storage: Storage, places: Sequence[Place]) -> Records:
    """Read and check all commits of one dataset and spec; `places` are those under its folder."""
    found = Records(places[0].dataset, places[0].spec)
    loose = sorted((place for place in places if place.kind == "commit"), key=lambda one: (one.path, one.number))
    checkpoints = sorted((place for place in places if place.kind == "checkpoint"), key=lambda one: one.number)
    found.checkpoints = [place.path for place in checkpoints]
    with ThreadPoolExecutor(_READERS) as pool:
        texts = list(pool.map(lambda place: _read(storage, place.path), loose))
    damaged: dict[str, Finding] = {}
    for place, data in sorted(zip(loose, texts, strict=True), key=lambda one: one[0].number):
        name = (place.table, place.name)
        try:
            record = _parse(found, place.path, data)
        except StoreFormatError as error:
            found.findings.append(Finding(place.path, str(error).partition(": ")[2], "upgrade texture_store"))
            continue
        except DamagedError as error:
            damaged[place.path] = Finding(place.path, str(error), AGAIN, (place.path,))
            continue
        if name not in found.counting:
            found.counting[name] = record
            found.paths[name] = place.path
    folded = _check_checkpoints(storage, found, checkpoints)
    for name, text in folded.items():
        if name not in found.counting:
            # Its content is known: nothing has to be computed again.
            path = layout.commit_path(found.dataset, found.spec, *name)
            before = damaged.pop(path, None)
            problem = "missing, and a checkpoint has it" if before is None else before.problem
            aside = () if before is None else before.set_aside
            found.findings.append(Finding(path, problem, "nothing more", aside, text.encode()))
            found.counting[name] = CommitRecord.model_validate_json(text)
            found.paths[name] = path
    found.findings += damaged.values()
    return found


def _read(storage: Storage, path: str) -> bytes:
    try:
        return storage.read(path)
    except ObjectNotFoundError:  # taken away since it was listed
        return b""


def _parse(found: Records, path: str, data: bytes) -> CommitRecord:
    record = parse_record(data, found.dataset, found.spec, path)
    if record is None:
        raise DamagedError("not a commit record of this name, or its checksum does not hold")
    if is_json_whole(data) is None:
        found.without_checksum.append(path)
        keys = json.loads(data)
        plain = json.dumps(keys, sort_keys=True, separators=(",", ":")).encode()
        if plain != data or not set(keys) <= set(CommitRecord.model_fields):
            raise DamagedError("its checksum is damaged")
    _check(record)
    return record


def _check(record: CommitRecord) -> None:
    """Whether a record agrees with itself."""
    members = set(record.members)
    if len(members) != len(record.members) or members.intersection(record.rejected):
        raise DamagedError("an image is among its members twice, or is also rejected")
    if record.step != step_name(record.job, record.pairs):
        raise DamagedError("its step is not that of its pairs")
    paths = {file.path for file in record.files}
    wanted = {layout.product_path(record.dataset, record.spec, *pair, record.shard) for pair in record.pairs}
    if (members and not wanted <= paths) or not {path for path in paths if path.split("/")[0] in PRODUCTS} <= wanted:
        raise DamagedError("its files are not those of its pairs")
    for file in record.files:
        if file.path.startswith("micrographs/"):
            count = len(members) + len(record.facts_only)
        elif file.path.split("/")[0] in PRODUCTS:
            count = len(members)
        else:
            continue
        if file.rows != count:
            raise DamagedError(f"{count} images and {file.rows} rows of {file.path}")


def _check_checkpoints(storage: Storage, found: Records, checkpoints: Sequence[Place]) -> dict[Name, str]:
    """The records of the newest good checkpoint, as their text."""
    newest: dict[Name, str] = {}
    for place in checkpoints:
        try:
            texts = _fold(found, place, _read(storage, place.path))
            if not set(newest) <= set(texts):
                raise DamagedError("it lacks records that an earlier checkpoint has")
        except DamagedError as error:
            found.findings.append(Finding(place.path, str(error), "nothing more", (place.path,)))
        except StoreFormatError as error:
            found.findings.append(Finding(place.path, str(error).partition(": ")[2], "upgrade texture_store"))
        else:
            newest = texts
    return newest


def _fold(found: Records, place: Place, data: bytes) -> dict[Name, str]:
    table = check_content(place, data)
    assert table is not None
    texts: dict[Name, str] = {}
    for row in table.to_pylist():
        name = (row["step"], row["shard"])
        try:
            path = layout.commit_path(found.dataset, found.spec, *name)
        except UsageError:
            raise DamagedError("it has a record of no commit") from None
        record = parse_record(row["record"], found.dataset, found.spec, path)
        if record is None:
            raise DamagedError(f"its record of {name[1]} is damaged")
        if name in found.counting and found.counting[name] != record:
            raise DamagedError(f"its record of {name[1]} is not the one that lies beside it")
        texts[name] = row["record"]
    return texts
