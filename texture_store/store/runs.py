"""What runs tell of themselves while they go, and how each of them stands: read from the store, on any machine.

Nothing in a store is overwritten, so that the record of a run is a few small objects, each created only if absent:

    STORE/runs/dataset=D/begun/<run>.json        what it is; its name begins with its time, so that names sort by it
                         signs/<run>/<k>.json    how far it was at one time
                         ended/<run>.json        how it ended, and the last sign

A run that has not ended, and of which the newest sign is too old, is lost. Of runs that are over two listings and two
objects each are read, however long they were.
"""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from texture_store.errors import ObjectNotFoundError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.processes import is_gone, this_process
from texture_store.store.sealing import is_json_whole, seal_json

FIRST_PAUSE, SIGN_SECONDS, LONGEST_PAUSE = 2.0, 15.0, 120.0
"""Between two signs: at first, after one minute, and after 100. A run of a day leaves 820 of them, of 1 kB or so."""
FIRST_SHARE, SHARE = 0.2, 0.02
"""Of the time that a run has taken so far: its pause, up to SIGN_SECONDS and up to LONGEST_PAUSE."""
LOST_SECONDS = 300.0
"""Beyond the pause that a sign announces: one request to storage may be tried for 120 s, and clocks differ."""
MAX_OPEN = 20
"""Runs without an end that are looked at, the newest first."""
PAST_RUNS = 5

_READERS = 16

RunState = Literal["running", "done", "failed", "stopped", "lost"]
"""`stopped`: by Ctrl-C or SIGTERM. `lost`: it told nothing for too long, or its process is gone."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class RunBegun(_Frozen):
    """What a run is."""

    run: str
    job: str
    """The command."""
    dataset: str
    arguments: tuple[str, ...]
    """As given, without credentials."""
    version: str
    """Of texture_store."""
    address: str = ""
    """Of Ray: `local`, `auto` or `cluster`; empty for a command without it."""
    submission: str = ""
    """Id of the Ray job that it runs in, if any."""
    process: dict[str, Any] = Field(default_factory=this_process)
    started: str = Field(default_factory=_now)
    """ISO 8601, UTC."""


class StepSign(_Frozen):
    """How far a step of a run is."""

    step: str
    unit: str
    """What is counted, such as images or trials."""
    planned: int | None = None
    """None while it is not known."""
    done: int = 0
    """Rejected ones included."""
    rejected: int = 0
    failed: int = 0
    """They stay pending."""
    shards_planned: int | None = None
    """None for a step that has no shards."""
    shards_done: int = 0
    shards_failed: int = 0
    rate: float | None = None
    """Units a second, of the last five minutes without the first batch."""
    seconds: float = 0.0
    seconds_left: float | None = None
    stage_seconds: dict[str, float] = {}
    """Sums over shards: load (decode is part of it), wait_extract, extract, wait_write, tables, write."""
    slowest_stage: str | None = None
    """The one that the others wait for."""
    is_over: bool = False


class RunSign(_Frozen):
    """How far a run was at one time; the last one also says how it ended."""

    run: str = ""
    dataset: str = ""
    number: int = 0
    """Of the sign; 0 for the end. With the two above, what its path says."""
    steps: tuple[StepSign, ...] = ()
    workers: str = ""
    """Such as `2 GPUs`."""
    nodes: tuple[str, ...] = ()
    """Names of the cluster's nodes, at most 50 of them."""
    num_nodes: int = 0
    at: str = Field(default_factory=_now)
    next_seconds: float = SIGN_SECONDS
    """When the next sign is due."""
    state: RunState = "running"
    exit_status: int | None = None
    error: str | None = None
    """One line."""


class RunStatus(_Frozen):
    """A run as it stands."""

    run: str
    job: str
    arguments: tuple[str, ...]
    version: str
    host: str
    address: str
    submission: str
    started: str
    last_sign: str
    """ISO 8601, UTC."""
    silent_seconds: float
    """Since then; 0 for a run that has ended."""
    state: RunState
    exit_status: int | None
    error: str | None
    workers: str
    nodes: tuple[str, ...]
    num_nodes: int
    steps: tuple[StepSign, ...]


def write_begun(storage: Storage, begun: RunBegun) -> None:
    """Say that a run has begun."""
    storage.create(layout.begun_path(begun.dataset, begun.run), _json(begun))


def write_sign(storage: Storage, dataset: str, run: str, number: int, sign: RunSign) -> None:
    """Say how far a run is, for the `number`-th time."""
    named = sign.model_copy(update={"run": run, "dataset": dataset, "number": number})
    storage.create(layout.sign_path(dataset, run, number), _json(named))


def write_ended(storage: Storage, dataset: str, run: str, sign: RunSign) -> None:
    """Say how a run ended."""
    named = sign.model_copy(update={"run": run, "dataset": dataset, "number": 0})
    storage.create(layout.ended_path(dataset, run), _json(named))


def pause_after(seconds: float) -> float:
    """Seconds from one sign to the next, of a run that has taken so many so far."""
    at_first = min(SIGN_SECONDS, max(FIRST_PAUSE, FIRST_SHARE * seconds))
    return min(LONGEST_PAUSE, max(at_first, SHARE * seconds))


def read_runs(storage: Storage, dataset: str, *, past: int = PAST_RUNS, now: float | None = None) -> list[RunStatus]:
    """The runs of a dataset that are going on, and so many of those that are over; each group newest first.

    `now`: seconds since 1970. Records that cannot be read are left out: they are notes, and nothing hangs on them.
    """
    now = time.time() if now is None else now
    begun, ended = _names(storage, dataset, "begun"), _names(storage, dataset, "ended")
    still_open = sorted(begun - ended, reverse=True)[:MAX_OPEN]
    closed = sorted(begun & ended, reverse=True)[:past]

    def status(run: str) -> RunStatus | None:
        return _status(storage, dataset, run, run in ended, now)

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(filter(None, pool.map(status, still_open + closed)))
    running = [one for one in found if one.state == "running"]
    over = sorted((one for one in found if one.state != "running"), key=lambda one: one.run, reverse=True)
    return running + over[:past]


def _names(storage: Storage, dataset: str, part: str) -> set[str]:
    paths = (layout.parse_watched_path(info.path) for info in storage.list(layout.watched_folder(dataset, part)))
    return {found[0] for found in paths if found is not None}


def _status(storage: Storage, dataset: str, run: str, has_ended: bool, now: float) -> RunStatus | None:
    begun = _read(storage, layout.begun_path(dataset, run), RunBegun)
    if begun is None:
        return None
    sign = _read(storage, layout.ended_path(dataset, run), RunSign) if has_ended else None
    sign = sign or _newest_sign(storage, dataset, run) or RunSign(at=begun.started)
    silent = max(0.0, now - _seconds(sign.at)) if sign.state == "running" else 0.0
    is_lost = silent > LOST_SECONDS + sign.next_seconds or is_gone(begun.process)
    return RunStatus(
        **begun.model_dump(include={"run", "job", "arguments", "version", "address", "submission", "started"}),
        host=str(begun.process.get("host", "?")),
        last_sign=sign.at,
        silent_seconds=round(silent, 1),
        state="lost" if sign.state == "running" and is_lost else sign.state,
        **sign.model_dump(include={"exit_status", "error", "workers", "nodes", "num_nodes"}),
        steps=sign.steps,
    )


def _newest_sign(storage: Storage, dataset: str, run: str) -> RunSign | None:
    listed = storage.list(layout.watched_folder(dataset, "signs", run))
    paths = (layout.parse_watched_path(info.path) for info in listed)
    numbers = sorted((found[1] for found in paths if found is not None), reverse=True)
    signs = (_read(storage, layout.sign_path(dataset, run, number), RunSign) for number in numbers[:3])
    return next(filter(None, signs), None)


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


_Record = TypeVar("_Record", RunBegun, RunSign)


def _read(storage: Storage, path: str, kind: type[_Record]) -> _Record | None:
    with suppress(ObjectNotFoundError, ValidationError):  # removed meanwhile, damaged, or of a newer release
        data = storage.read(path)
        return kind.model_validate_json(data) if is_json_whole(data) else None
    return None


def _json(record: BaseModel) -> bytes:
    values: Mapping[str, Any] = record.model_dump(mode="json")
    return seal_json(json.dumps(values, separators=(",", ":"), allow_nan=False).encode())
