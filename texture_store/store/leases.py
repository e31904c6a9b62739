"""A lease: one run of a scheduled job at a time. It only saves work: two runs would write the same.

Nothing in a store is overwritten, so that a lease is a few objects, each created only if absent:

    STORE/runs/dataset=D/job=J/lease-<n>/held.json        who has it; whoever creates this has the n-th lease
                                         beat-<k>.json    it is still being held
                                         released.json    the run is over

The next one may be taken when the last is released, when its newest sign is older than EXPIRY_SECONDS, or when it was
held by a process of this machine that is gone. The loser of a race leaves; nobody waits for an object.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from texture_store.errors import LeaseHeldError, ObjectExistsError, StoreError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.processes import is_gone, this_process
from texture_store.store.sealing import seal_json

BEAT_SECONDS = 120.0
EXPIRY_SECONDS = 600.0
"""Five beats: a run that was killed on another machine is in the way for ten minutes. The clocks of machines that share
a store may differ by a few of them."""


@dataclass(frozen=True)
class Lease:
    """The right to run."""

    number: int
    """Rises from lease to lease."""
    took_over: str
    """What became of the run before, where it did not end well; empty else."""


@contextmanager
def lease(
    storage: Storage, dataset: str, job: str, *, beat: float = BEAT_SECONDS, expiry: float = EXPIRY_SECONDS
) -> Iterator[Lease]:
    """Hold the lease of a dataset and job while the block runs.

    beat: seconds between two signs of life. expiry: seconds without one, after which another run takes over.

    Raises LeaseHeldError when another run holds it.
    """
    last, signs = _last(storage, dataset, job)
    took_over = _why_free(storage, dataset, job, last, signs, expiry) if last else ""
    mine = Lease(last + 1, took_over)
    try:
        storage.create(layout.lease_path(dataset, job, mine.number, "held"), _json(this_process()))
    except ObjectExistsError:
        raise LeaseHeldError(f"dataset {dataset}: another run of {job} began at the same moment; left to it") from None
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(storage, dataset, job, mine.number, over, beat), daemon=True)
    beating.start()
    try:
        yield mine
    finally:
        over.set()
        beating.join()
        with suppress(StoreError):  # it expires by itself
            storage.create(layout.lease_path(dataset, job, mine.number, "released"), _json({}))


def _last(storage: Storage, dataset: str, job: str) -> tuple[int, list[str]]:
    """Number of the last lease and its signs; 0 when there was none."""
    signs: dict[int, list[str]] = {}
    for info in storage.list(layout.runs_folder(dataset, job)):
        found = layout.parse_run_path(info.path)
        if found is not None and found[1] != "run":
            signs.setdefault(found[0], []).append(found[1])
    last = max(signs, default=0)
    return last, signs.get(last, [])


def _why_free(storage: Storage, dataset: str, job: str, number: int, signs: list[str], expiry: float) -> str:
    """Why the lease of this number does not count any more, empty if it was released; LeaseHeldError if it does."""
    if "released" in signs:
        return ""
    newest = max(signs, key=lambda sign: int(sign.partition("-")[2] or 0))
    holder = _read(storage, layout.lease_path(dataset, job, number, "held"))
    alive = _read(storage, layout.lease_path(dataset, job, number, newest))
    began = str(holder.get("at", "?"))[:19].replace("T", " ")
    where = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, begun {began} UTC"
    if is_gone(holder):
        return f"the run before ({where}) did not end well: its process is gone"
    try:
        silent = time.time() - datetime.fromisoformat(str(alive.get("at"))).timestamp()
    except ValueError:
        silent = expiry  # a sign that cannot be read is none
    if silent >= expiry:
        return f"the run before ({where}) did not end well: no sign of life for {silent / 60:.0f} minutes"
    left = max(1, round((expiry - silent) / 60))
    raise LeaseHeldError(
        f"dataset {dataset}: another run of {job} is going on ({where}, sign of life {max(0, silent):.0f} s ago); left"
        f" to it. If that run was killed, this one can begin in {left} min"
    )


def _beat(storage: Storage, dataset: str, job: str, number: int, over: threading.Event, beat: float) -> None:
    count = 0
    while not over.wait(beat):
        count += 1
        with suppress(StoreError):  # the next one may get through
            storage.create(layout.lease_path(dataset, job, number, f"beat-{count}"), _json({}))


def _json(values: dict[str, Any]) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return seal_json(json.dumps(values | {"at": at}, separators=(",", ":")).encode())


def _read(storage: Storage, path: str) -> dict[str, Any]:
    try:
        values = json.loads(storage.read(path))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
