"""What a store does not need any more, in the order in which it can go.

Killed after any of them, the rest is still a whole store, and the next `clean` goes on. Hence records go before what
they name, and facts after the files that hang on them. Nothing that was written within the grace age goes, nor anything
of a spec that was written to within QUIET_SECONDS: a job may be about to adopt what an earlier attempt left.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from texture_store.errors import FeaturesNotFoundError, StoreFormatError, UsageError
from texture_store.objects import ObjectInfo, Storage
from texture_store.store.choice import chosen_pairs, named_spec
from texture_store.store.commits import CommitRecord, read_commits
from texture_store.store.reader import read_catalog
from texture_store.store.snapshots import list_datasets
from texture_store.store.specs import read_spec
from texture_store.verification.inventory import COMMITTED, PRODUCTS, RUNS, SET_ASIDE, Place, place_of

QUIET_SECONDS = 3600
"""A spec that was written to more recently is left alone."""

ORDER = ("checkpoint", "commit", *PRODUCTS, "rejected", "micrographs", "dictionary")
"""Of kinds, within a spec: all that a checkpoint holds lies beside it, so it can go first. The spec itself (0.4 kB)
stays, as weights do: other datasets may use it."""

KEPT_RUNS = 100
"""Of a dataset: the newest, whose begin and end stay."""
KEPT_SIGNS = 3
"""Of a run that has not ended: the newest; should one be damaged, the one before counts."""


@dataclass(frozen=True)
class Unneeded:
    """A file that can go, and why."""

    info: ObjectInfo
    place: Place
    why: str


@dataclass(frozen=True)
class Asked:
    """What shall go beside what nobody can miss."""

    folds: bool = False
    set_aside: bool = False
    specs: tuple[str, ...] = ()
    """Of `dataset`."""
    keep_snapshots: int | None = None
    dataset: str | None = None
    age_seconds: float = 7 * 86400


def find_unneeded(storage: Storage, asked: Asked, now: float) -> list[Unneeded]:
    """What can go, in the order in which it has to. `now` is in seconds since 1970.

    Raises UsageError for a spec that readers take when none is named, or whose dictionary others need.
    """
    infos = list(storage.list())
    pairs = [(info, place_of(info.path)) for info in infos]
    if asked.dataset is not None:
        pairs = [(info, place) for info, place in pairs if place.dataset == asked.dataset]
    recent = {
        (place.dataset, place.spec)
        for info, place in pairs
        if place.spec and place.kind != "spec" and _age(info, now) < QUIET_SECONDS
    }
    whole = [(dataset, spec, why) for dataset, spec, why in _whole_specs(storage, asked, pairs)]
    commits = {(place.dataset, place.spec) for _, place in pairs if place.kind in ("commit", "checkpoint")}
    records = {key: read_commits(storage, *key) for key in sorted(commits)}
    found = [Unneeded(info, Place("partial", info.path), "half-written") for info in storage.partials()]
    found += _loose_ends(pairs, records, lambda info: _age(info, now) < asked.age_seconds)
    found += _of_runs(pairs)
    found += _by_option(pairs, asked)
    found = [one for one in found if (one.place.dataset, one.place.spec) not in recent]
    for dataset, spec, why in whole:
        if (dataset, spec) not in recent:
            found += _of_spec(pairs, dataset, spec, why)
    taken: dict[str, Unneeded] = {}
    for one in found:
        if _age(one.info, now) >= asked.age_seconds:
            taken.setdefault(one.info.path, one)
    return _in_order(taken.values(), {(dataset, spec) for dataset, spec, _ in whole}, pairs)


def used_by_now(storage: Storage, some: Sequence[Unneeded]) -> set[str]:
    """Names (of shards) of those files, all of one dataset and spec, that a commit names by now."""
    files = [one for one in some if one.place.kind in COMMITTED]
    if not files:
        return set()
    records = read_commits(storage, files[0].place.dataset, files[0].place.spec)
    named = {file.path for record in records for file in record.files}
    return {one.place.name for one in files if one.info.path in named}


def _age(info: ObjectInfo, now: float) -> float:
    return now - int(info.mtime_ns or now * 1e9) / 1e9


def _loose_ends(
    pairs: Sequence[tuple[ObjectInfo, Place]],
    records: dict[tuple[str, str], list[CommitRecord]],
    is_young: Callable[[ObjectInfo], bool],
) -> list[Unneeded]:
    """What no reader sees: files without a commit, checkpoints before the newest two, failures that went well later."""
    named = {file.path for own in records.values() for record in own for file in record.files}
    newest: dict[tuple[str, str], list[int]] = defaultdict(list)
    scored = set()
    for _, place in pairs:
        if place.kind == "checkpoint":
            newest[place.dataset, place.spec].append(place.number)
        elif place.kind == "evaluation" and not place.number:
            scored.add((place.dataset, place.name))
    orphans = [(info, place) for info, place in pairs if place.kind in COMMITTED and info.path not in named]
    # An attempt that is still writing may hang on facts that an earlier one wrote long ago.
    alive = {(place.dataset, place.spec, place.name) for info, place in orphans if is_young(info)}
    found = [
        Unneeded(info, place, "no commit names it")
        for info, place in orphans
        if (place.dataset, place.spec, place.name) not in alive
    ]
    for info, place in pairs:
        if place.kind in COMMITTED:
            continue
        if place.kind == "checkpoint" and place.number not in sorted(newest[place.dataset, place.spec])[-2:]:
            found.append(Unneeded(info, place, "a newer checkpoint has all of it"))
        elif place.kind == "evaluation" and place.number and (place.dataset, place.name) in scored:
            found.append(Unneeded(info, place, "the trial went well later"))
    return found


def _of_runs(pairs: Sequence[tuple[ObjectInfo, Place]]) -> list[Unneeded]:
    """Signs that a later one or the end has made needless, and all of old runs."""
    begun: dict[str, set[str]] = defaultdict(set)
    signs: dict[tuple[str, str], list[int]] = defaultdict(list)
    ended = {(place.dataset, place.name) for _, place in pairs if place.kind == "ended"}
    for _, place in pairs:
        if place.kind == "begun":
            begun[place.dataset].add(place.name)
        elif place.kind == "sign":
            signs[place.dataset, place.name].append(place.number)
    kept = {(dataset, name) for dataset, names in begun.items() for name in sorted(names)[-KEPT_RUNS:]}
    found = []
    for info, place in pairs:
        key = (place.dataset, place.name)
        if place.kind not in RUNS:
            continue
        if key not in kept:
            found.append(Unneeded(info, place, "of an old run"))
        elif place.kind == "sign" and (key in ended or place.number not in sorted(signs[key])[-KEPT_SIGNS:]):
            found.append(Unneeded(info, place, "how far a run was, which it has told again since"))
    return found


def _by_option(pairs: Sequence[tuple[ObjectInfo, Place]], asked: Asked) -> list[Unneeded]:
    found = [Unneeded(info, place, "set aside") for info, place in pairs if asked.set_aside and place.kind == SET_ASIDE]
    if asked.keep_snapshots is not None:
        numbers: dict[str, list[int]] = defaultdict(list)
        for _, place in pairs:
            if place.kind == "snapshot":
                numbers[place.dataset].append(place.number)
        found += [
            Unneeded(info, place, "an earlier snapshot")
            for info, place in pairs
            if place.kind == "snapshot" and place.number not in sorted(numbers[place.dataset])[-asked.keep_snapshots :]
        ]
    return found


def _whole_specs(
    storage: Storage, asked: Asked, pairs: Sequence[tuple[ObjectInfo, Place]]
) -> list[tuple[str, str, str]]:
    """(dataset, spec, why) of what goes altogether."""
    found = []
    if asked.folds:
        # A base spec has no vectors of folds, and a spec of VLAD no words: those of a set lie with its base spec.
        folds = {(place.dataset, place.spec) for _, place in pairs if place.kind in ("folds", "dictionary")}
        folds = {(dataset, spec) for dataset, spec in folds if _has_dictionary(storage, spec)}
        found += [(dataset, spec, "vectors and words of folds (evaluate --strict)") for dataset, spec in sorted(folds)]
    if asked.specs:
        if asked.dataset is None:
            raise UsageError("--spec: give the --dataset that it is of")
        if asked.dataset not in list_datasets(storage):
            raise UsageError(f"--dataset {asked.dataset}: the store has no such dataset")
        catalog = read_catalog(storage, asked.dataset)
        chosen = {choice.spec.fingerprint for choice in chosen_pairs(catalog).values()}
        for name in asked.specs:
            try:
                spec = named_spec(catalog, name)
            except FeaturesNotFoundError:
                # Its commits went in a run that was interrupted.
                spec = read_spec(storage, name).fingerprint
            if spec in chosen:
                raise UsageError(f"--spec {spec}: readers take it when none is named (status marks it with a star)")
            needing = [
                one
                for one in catalog.fingerprints()
                if one not in asked.specs and catalog.spec(one).dictionary in _dictionaries(pairs, asked.dataset, spec)
            ]
            if needing:
                raise UsageError(f"--spec {spec}: the dictionary of spec {needing[0]} is in it; name that one as well")
            found.append((asked.dataset, spec, "asked for"))
    return found


def _has_dictionary(storage: Storage, spec: str) -> bool:
    try:
        return read_spec(storage, spec).dictionary is not None
    except (FeaturesNotFoundError, StoreFormatError):
        return False  # what cannot be told stays


def _dictionaries(pairs: Iterable[tuple[ObjectInfo, Place]], dataset: str, spec: str) -> set[str]:
    return {
        place.name
        for _, place in pairs
        if place.kind == "dictionary" and (place.dataset, place.spec) == (dataset, spec)
    }


def _of_spec(pairs: Sequence[tuple[ObjectInfo, Place]], dataset: str, spec: str, why: str) -> list[Unneeded]:
    return [
        Unneeded(info, place, why)
        for info, place in pairs
        if (place.dataset, place.spec) == (dataset, spec) and place.kind in ORDER
    ]


def _in_order(
    taken: Iterable[Unneeded], whole: set[tuple[str, str]], pairs: Sequence[tuple[ObjectInfo, Place]]
) -> list[Unneeded]:
    """Records before what they name; where anything of a whole spec has to stay, all of it stays."""
    taken = list(taken)
    paths = {one.info.path for one in taken}
    for key in whole:
        if any(
            (place.dataset, place.spec) == key and place.kind in ORDER and info.path not in paths
            for info, place in pairs
        ):
            taken = [one for one in taken if (one.place.dataset, one.place.spec) != key]

    ranks = {kind: number for number, kind in enumerate((*ORDER, *RUNS))}

    def rank(one: Unneeded) -> tuple[int, tuple[str, str], int, int, str]:
        place = one.place
        kind = ranks.get(place.kind, -1)
        return (place.kind != "partial", (place.dataset, place.spec), kind, place.number, one.info.path)

    return sorted(taken, key=rank)
