"""A run tells how far it is: a thread of the driver writes its record into the store now and then, and at the end.

A record is a note about a run, never a part of it: what goes wrong with it is nobody's error.
"""

import json
import os
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from texture_store.errors import ObjectExistsError
from texture_store.objects import Storage, open_storage
from texture_store.storage_errors import without_secrets
from texture_store.store.layout import STORE_FILE, check_dataset
from texture_store.store.runs import (
    RunBegun,
    RunSign,
    RunState,
    StepSign,
    pause_after,
    write_begun,
    write_ended,
    write_sign,
)

FIRST_SECONDS = 1.0
"""A run that ends sooner with wrong usage leaves no record."""
END_SECONDS = 20.0
"""What the last word of a run may take, when storage does not answer."""
WINDOW_SAMPLES, SAMPLE_SECONDS = 60, 5.0
"""A rate is that of the last five minutes, without the first batch, which waits for all that starts."""
FEW_SHARDS = 3
"""Before so many, what shards wait for is that processes start."""
MAX_STEPS, MAX_NODES = 50, 50
STOPPED = (130, 128 + signal.SIGTERM, signal.SIGTERM)
"""Exit statuses of Ctrl-C and SIGTERM, the last as Ray's driver has it."""


class Step:
    """How far a step is; told by the one who shows its progress."""

    def __init__(self, name: str, unit: str, planned: int | None = None) -> None:
        self.planned = planned
        self._name, self._unit = name, unit
        self._done = self._rejected = self._failed = 0
        self._shards: list[int] | None = None
        self._stages: dict[str, float] = {}
        self._started, self._over = time.monotonic(), 0.0
        self._samples: deque[tuple[float, int]] = deque(maxlen=WINDOW_SAMPLES)
        self._lock = threading.Lock()

    def advance(self, done: int, *, rejected: int = 0) -> None:
        """So many more are through."""
        with self._lock:
            self._done += done
            self._rejected += rejected
            now = time.monotonic()
            if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
                self._samples.append((now, self._done))

    def plan_shards(self, count: int) -> None:
        """It is made of so many shards."""
        with self._lock:
            self._shards = [count, 0, 0]

    def shard_done(self, seconds: Mapping[str, float]) -> None:
        """A shard is through; `seconds` by stage."""
        with self._lock:
            if self._shards is not None:
                self._shards[1] += 1
            for stage, spent in seconds.items():
                self._stages[stage] = self._stages.get(stage, 0.0) + spent

    def shard_failed(self, images: int) -> None:
        """A shard of so many images stays pending."""
        with self._lock:
            self._failed += images
            if self._shards is not None:
                self._shards[2] += 1

    def end(self) -> None:
        """It is over."""
        self._over = time.monotonic()

    def sign(self) -> StepSign:
        """How far it is now."""
        with self._lock:
            now = self._over or time.monotonic()
            rate = self._rate(now)
            left = 0 if self.planned is None or self._over else self.planned - self._done - self._failed
            planned, done, failed = self._shards or (None, 0, 0)
            return StepSign(
                step=self._name,
                unit=self._unit,
                planned=self.planned,
                done=self._done,
                rejected=self._rejected,
                failed=self._failed,
                shards_planned=planned,
                shards_done=done,
                shards_failed=failed,
                rate=None if rate is None else float(f"{rate:.4g}"),
                seconds=round(now - self._started, 1),
                seconds_left=round(left / rate, 1) if rate and left > 0 else None,
                stage_seconds={stage: round(spent, 2) for stage, spent in self._stages.items()},
                slowest_stage=slowest_stage(self._stages) if done >= FEW_SHARDS else None,
                is_over=bool(self._over),
            )

    def _rate(self, now: float) -> float | None:
        if not self._done:
            return None
        first, already = self._samples[0]
        if not self._over and self._done > already and now > first:
            return (self._done - already) / (now - first)
        return self._done / max(now - self._started, 1e-9)


def slowest_stage(seconds: Mapping[str, float]) -> str | None:
    """The stage that the others wait for, by how long shards lay in the queues before them; None before any shard.

    Stages run side by side, any number of each, so that their own times say little. A shard that waits before a stage
    for half as long as that takes, or longer, finds it busy; where none waits, loading is what everything waits for.
    """
    if not seconds:
        return None
    waits = {stage: seconds.get(f"wait_{stage}", 0.0) for stage in ("extract", "write")}
    busy = {stage: wait for stage, wait in waits.items() if wait > 0 and wait >= seconds.get(stage, 0.0) / 2}
    return max(busy, key=lambda stage: busy[stage]) if busy else "load"


class Run:
    """The run of this process: its steps, and the thread that writes them down once it is known where."""

    def __init__(self, job: str, arguments: Sequence[str]) -> None:
        self.job = job
        self.id = f"{datetime.now(UTC):%Y%m%dt%H%M%S}-{job}-{uuid.uuid4().hex[:8]}"
        self.error: str | None = None
        self._arguments = tuple(without_secrets(one) for one in arguments)
        self._steps: list[Step] = []
        self._workers, self._num_nodes = "", 0
        self._nodes: tuple[str, ...] = ()
        self._began = time.monotonic()
        self._begun: RunBegun | None = None
        self._storage: Storage | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._status: int | None = None

    def record(self, store_url: str, dataset: str, address: str = "") -> None:
        """Write the run down in this store from now on, if it is one. `address` is that of Ray."""
        if self._thread is not None:
            return
        with suppress(Exception):  # what is wrong with these is told by the job
            self._storage = open_storage(store_url)
            self._begun = RunBegun(
                run=self.id,
                job=self.job,
                dataset=check_dataset(dataset),
                arguments=self._arguments,
                version=version("texture-store"),
                address=address if address in ("", "local", "auto") else "cluster",
                submission=_submission(),
            )
            self._thread = threading.Thread(target=self._write, name="run-record", daemon=True)
            self._thread.start()

    def step(self, name: str, unit: str, planned: int | None) -> Step:
        """A new step."""
        step = Step(name, unit, planned)
        self._steps = [*self._steps, step][-MAX_STEPS:]
        return step

    def work_on(self, workers: str) -> None:
        """These do the work, such as `2 GPUs`."""
        self._workers = workers

    def see_nodes(self, names: Sequence[str]) -> None:
        """The cluster has these nodes now."""
        self._nodes, self._num_nodes = tuple(sorted(names)[:MAX_NODES]), len(names)

    def hear_sigterm(self) -> Any:
        """Say the last word on SIGTERM, by which schedulers end a job, and then do what was to be done; returns that.

        Ray sets a handler of its own when it is joined, so that this is called again then. None: not in this thread.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        before = signal.getsignal(signal.SIGTERM)

        def end(number: int, frame: Any) -> None:
            self.error = "ended by SIGTERM; run the same command again to go on"
            self.end(128 + number)
            if callable(before):
                before(number, frame)
            elif before == signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, end)
        return before

    def end(self, status: int) -> None:
        """It is over; waits for the last word, but not for long. The first one counts."""
        if self._status is not None:
            return
        self._status = status
        self._ended.set()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _write(self) -> None:
        """Runs in a thread. Each try is on its own: storage that comes back gets the next sign."""
        assert self._storage is not None
        assert self._begun is not None
        number, is_begun, pause = 0, False, FIRST_SECONDS
        while not self._ended.wait(pause):
            pause = pause_after(time.monotonic() - self._began)
            with suppress(Exception):
                is_begun = is_begun or self._begin()
                if is_begun:
                    number += 1
                    write_sign(self._storage, self._begun.dataset, self.id, number, self._sign(next_seconds=pause))
        with suppress(Exception):
            if is_begun or (self._status != 2 and self._begin()):
                write_ended(self._storage, self._begun.dataset, self.id, self._sign(next_seconds=0.0))

    def _begin(self) -> bool:
        """False where there is no store yet: `index` makes it."""
        assert self._storage is not None
        assert self._begun is not None
        if not self._storage.exists(STORE_FILE):
            return False
        with suppress(ObjectExistsError):
            write_begun(self._storage, self._begun)
        return True

    def _sign(self, *, next_seconds: float) -> RunSign:
        return RunSign(
            steps=tuple(step.sign() for step in self._steps),
            workers=self._workers,
            nodes=self._nodes,
            num_nodes=self._num_nodes,
            next_seconds=next_seconds,
            state="running" if self._status is None else _state(self._status),
            exit_status=self._status,
            error=None if self.error is None else without_secrets(self.error)[:1000],
        )


def _state(status: int) -> RunState:
    if status in STOPPED:
        return "stopped"
    return "failed" if status in (1, 2) else "done"


def _submission() -> str:
    """Id of the job of Ray that this process was submitted as; empty without one."""
    try:
        found = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))["metadata"]["job_submission_id"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(found)


_run: Run | None = None


def this_run() -> Run | None:
    """The run of this process; None where a function of a job is called by other means than a command."""
    return _run


@contextmanager
def watched(job: str, arguments: Sequence[str]) -> Iterator[Run]:
    """The block is a run, which ends with it. `record` says where it is written down."""
    global _run  # noqa: PLW0603 (a process has one command)
    run = _run = Run(job, arguments)
    status = 1
    before = run.hear_sigterm()
    try:
        yield run
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except KeyboardInterrupt:
        status = 130
        raise
    except BaseException as error:
        status = getattr(error, "exit_code", 1)  # click's own
        raise
    finally:
        run.end(status)
        _run = None
        if before is not None:
            signal.signal(signal.SIGTERM, before)
