"""A whole store: every file under it is read once, judged by itself, and held against what names it."""

import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from texture_store.errors import ObjectNotFoundError, StoreFormatError
from texture_store.objects import ObjectInfo, Storage
from texture_store.spec import FeatureSpec, parse_spec
from texture_store.store import layout
from texture_store.verification.committed import Committed, missing_files
from texture_store.verification.content import (
    NEWER,
    STORE_JSON,
    check_content,
    check_positions,
    has_checksum,
    shapes_seen,
)
from texture_store.verification.datasets import INDEX_AGAIN, Balance, check_coverage, check_snapshots
from texture_store.verification.dictionaries import check_dictionaries
from texture_store.verification.findings import DamagedError, Finding, Note
from texture_store.verification.inventory import COMMITTED, SET_ASIDE, Place, place_of
from texture_store.verification.published import check_publications
from texture_store.verification.records import check_records
from texture_store.verification.weights import check_weights

_WORKERS = 4
"""Decoding is work for the processor; more would only hold more files in memory (a published part may have 512 MB)."""

REMEDIES = {
    "store": "nothing more",
    "weights": "run featurize again, with the same --weights",
    "spec": "run featurize, encode or evaluate --strict again, with the same settings",
    "snapshot": INDEX_AGAIN,
    "dictionary": "run fit-dictionary again (evaluate --strict for those of folds)",
    "evaluation": "run evaluate again",
    "explanation": "run explain again",
    "texture": "run explain again",
    "report": "run preview, audit, evaluate, explain or report again, whichever wrote it",
    "publication": "run publish again",
    "part": "run publish again",
}


@dataclass
class Verified:
    """What a store turned out to be."""

    files: int = 0
    bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    specs: dict[str, FeatureSpec] = field(default_factory=dict)
    committed: dict[tuple[str, str], Committed] = field(default_factory=dict)
    infos: dict[str, ObjectInfo] = field(default_factory=dict)
    """Of all files, by path, as they were when they were checked."""
    snapshots: dict[str, dict[int, pa.Table]] = field(default_factory=lambda: defaultdict(dict))
    without_checksum: list[str] = field(default_factory=list)


def verify_store(
    storage: Storage,
    dataset: str | None = None,
    *,
    on_total: Callable[[int], None] | None = None,
    on_file: Callable[[int], None] | None = None,
) -> Verified:
    """Check everything under a store; with `dataset`, what belongs to others is left out.

    Raises StoreFormatError when there is no store at all, and the errors of storage.
    """
    found = Verified()
    found.infos = {info.path: info for info in storage.list()}
    places = [place_of(path) for path in found.infos]
    if not any(place.kind != "other" for place in places):
        raise StoreFormatError(f"{storage.url}: no store here; check the URL, or run index first")
    places = [place for place in places if dataset is None or place.dataset in ("", dataset)]
    if on_total is not None:
        on_total(len(places))
    found.files, found.kinds = len(places), Counter(place.kind for place in places)
    found.bytes = sum(found.infos[place.path].size for place in places)
    by_spec: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for place in places:
        if place.kind in ("commit", "checkpoint"):
            by_spec[place.dataset, place.spec].append(place)
    for key, own in sorted(by_spec.items()):
        records = check_records(storage, own)
        found.committed[key] = Committed.of(records)
        found.findings += records.findings
        found.without_checksum += records.without_checksum
        if on_file is not None:
            on_file(len(own))
    reading = _Reading(storage, found, on_file or (lambda _: None))
    # Specs say which lineage weights have, and facts how many positions there are.
    for first in (("spec",), ("micrographs",)):
        reading.check([place for place in places if place.kind in first])
    reading.check([place for place in places if place.kind not in ("spec", "micrographs", "commit", "checkpoint")])
    _across(found, places, reading.parts, storage)
    found.findings.sort(key=lambda one: one.path)
    return found


class _Reading:
    """Files, several at once."""

    def __init__(self, storage: Storage, found: Verified, on_file: Callable[[int], None]) -> None:
        self._storage, self._found, self._on_file = storage, found, on_file
        self._lock = threading.Lock()
        self.parts: dict[str, tuple[str, int, list[str]]] = {}
        """Of each published file: SHA-256, rows, image_ids."""

    def check(self, places: Iterable[Place]) -> None:
        """Judge each of them."""
        with ThreadPoolExecutor(_WORKERS) as pool:
            for place, problem in pool.map(self._check_one, places):
                self._on_file(1)
                if problem is not None:
                    self._found.findings.append(self._finding(place, problem))

    def _check_one(self, place: Place) -> tuple[Place, str | None]:
        try:
            if place.kind in (SET_ASIDE, "other"):
                return place, None
            info = self._found.infos[place.path]
            data = self._storage.read(place.path)
            if len(data) != info.size:
                return place, "it changed while it was checked"
            self._judge(place, data)
        except ObjectNotFoundError:
            return place, "gone while it was checked"
        except DamagedError as error:
            return place, str(error)
        return place, None

    def _judge(self, place: Place, data: bytes) -> None:
        found = self._found
        committed = found.committed.get((place.dataset, place.spec))
        named = committed is not None and place.path in committed.by_path
        if not named and not has_checksum(place, data):
            with self._lock:
                found.without_checksum.append(place.path)
        if place.kind == "weights":
            lineages = {spec.lineage for spec in found.specs.values() if spec.weights == place.name}
            check_weights(data, place.name, lineages)
        table = check_content(place, data)
        if place.kind == "spec":
            found.specs[place.spec] = parse_spec(data)
        if table is None:
            return
        if named and committed is not None:
            committed.check(place, data, table)
        if committed is not None:
            # Facts and reasons whose own commit was set aside count as well: the next run commits them again.
            if place.kind == "micrographs":
                committed.facts.update(table["image_id"].to_pylist())
                committed.shapes.update(shapes_seen(table))
            elif place.kind == "rejected":
                committed.rejected.update(table["image_id"].to_pylist())
            elif named and "num_positions" in table.column_names:
                check_positions(place, table, committed.shapes)
        if place.kind == "snapshot":
            found.snapshots[place.dataset][place.number] = table
        elif place.kind == "part":
            self.parts[place.path] = (hashlib.sha256(data).hexdigest(), table.num_rows, table["image_id"].to_pylist())

    def _finding(self, place: Place, problem: str) -> Finding:
        committed = self._found.committed.get((place.dataset, place.spec))
        if committed is not None and place.path in committed.by_path:
            return committed.finding(place.path, problem)
        if place.kind == "store":
            if problem == NEWER:
                remedy = (
                    "upgrade texture_store; or, if none newer ever wrote here, delete this file and verify --repair"
                )
                return Finding(place.path, problem, remedy)
            return Finding(place.path, problem, REMEDIES["store"], (place.path,), STORE_JSON)
        return Finding(place.path, problem, REMEDIES.get(place.kind, "run the job again"), (place.path,))


def _across(
    found: Verified, places: list[Place], parts: dict[str, tuple[str, int, list[str]]], storage: Storage
) -> None:
    """What shows only when everything was read."""
    if layout.STORE_FILE not in found.infos:
        found.findings.append(Finding(layout.STORE_FILE, "missing", REMEDIES["store"], restore=STORE_JSON))
    for committed in found.committed.values():
        found.findings += missing_files(committed, found.infos)
        aside = {
            path
            for finding in found.findings
            for path in finding.set_aside
            if finding.restore is None or path != finding.path  # that one comes back, and may have to go as well
        }
        # What follows from a file that is damaged or missing is told once.
        found.findings += [one for one in committed.together() if one.path not in aside]
    damaged = {finding.path for finding in found.findings}
    found.findings += check_dictionaries(storage, found.committed, found.specs, places, damaged)
    found.findings += check_publications(storage, places, found.infos, parts)
    _check_names(found, places)
    for dataset in sorted({place.dataset for place in places if place.kind == "snapshot"}):
        numbers = [place.number for place in places if place.kind == "snapshot" and place.dataset == dataset]
        tables = found.snapshots[dataset]
        for told in check_snapshots(dataset, tables, numbers):
            (found.findings if isinstance(told, Finding) else found.notes).append(told)  # type: ignore[arg-type]
        if max(numbers) in tables:
            records = {
                spec: list(one.records.counting.values())
                for (name, spec), one in found.committed.items()
                if name == dataset
            }
            balances, findings = check_coverage(dataset, max(numbers), tables[max(numbers)], records)
            found.balances += balances
            found.findings += findings
    _tell(found, places, storage)


def _check_names(found: Verified, places: list[Place]) -> None:
    """What commits and specs name, and is not there."""
    snapshots: dict[str, int] = defaultdict(int)
    for place in places:
        if place.kind == "snapshot":
            snapshots[place.dataset] = max(snapshots[place.dataset], place.number)
    for (dataset, spec), committed in found.committed.items():
        path = layout.spec_path(spec)
        pairs = {product for record in committed.records.counting.values() for product, _ in record.pairs}
        if path not in found.infos and pairs <= {"fold-vlad"}:
            text = "missing: the next trial of evaluate --strict that needs these vectors of folds writes it again"
            found.notes.append(Note(path, text))
        elif path not in found.infos:
            problem = f"missing, and dataset {dataset} has commits of it"
            found.findings.append(Finding(path, problem, REMEDIES["spec"]))
        newest = max((record.snapshot for record in committed.records.counting.values()), default=0)
        if newest > snapshots[dataset]:
            path = layout.snapshot_path(dataset, newest)
            if path not in {finding.path for finding in found.findings}:
                found.findings.append(Finding(path, "missing, and a commit names it", INDEX_AGAIN))
    for weights in sorted({spec.weights for spec in found.specs.values()}):
        path = layout.weights_path(weights)
        if path not in found.infos:
            found.findings.append(Finding(path, "missing, and a spec names it", REMEDIES["weights"]))


def _tell(found: Verified, places: list[Place], storage: Storage) -> None:
    """What is there and counts for nothing."""
    named = {path for committed in found.committed.values() for path in committed.by_path}
    orphans = [place.path for place in places if place.kind in COMMITTED and place.path not in named]
    strangers = [place.path for place in places if place.kind == "other"]
    aside = [place.path for place in places if place.kind == SET_ASIDE]
    partials = [info.path for info in storage.partials()]
    for paths, text in (
        (orphans, "files that no commit names, left by attempts that died or that are running: no reader sees them"),
        (partials, "half-written files of writers that were killed: no reader sees them"),
        (aside, "files that were set aside"),
        (strangers, "files that are none of the store's: not checked"),
    ):
        if paths:
            found.notes.append(Note(f"{len(paths)} files", text, tuple(paths)))
    if found.without_checksum:
        text = "have no checksum, being of an older release: not all damage to them can be told"
        found.notes.append(Note(f"{len(found.without_checksum)} files", text, tuple(sorted(found.without_checksum))))
