"""A run tells how far it is: a thread of the driver writes its record into the store now and then, and at the end.

A record is a note about a run, never a part of it: what goes wrong with it is nobody's error.
"""

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import click

from jobs.steps import Step
from texture_store.errors import ObjectExistsError
from texture_store.objects import Storage, open_storage
from texture_store.storage.error_translation import without_secrets
from texture_store.store.layout import STORE_FILE, check_dataset
from texture_store.store.runs import (
    RunBegun,
    RunSign,
    RunState,
    pause_after,
    write_begun,
    write_ended,
    write_sign,
)

FIRST_SECONDS = 1.0
"""From the begin of a run to its first sign, should anything have been done by then."""
END_SECONDS = 20.0
"""What the last word of a run may take, when storage does not answer."""
MAX_STEPS, MAX_NODES = 50, 50
STOPPED = (130, 128 + signal.SIGTERM, signal.SIGTERM)
"""Exit statuses of Ctrl-C and SIGTERM, the last as Ray's driver has it."""


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
                is_begun = is_begun or (self._has_work() and self._begin())
                if is_begun:
                    number += 1
                    write_sign(self._storage, self._begun.dataset, self.id, number, self._sign(next_seconds=pause))
        with suppress(Exception):
            if is_begun or ((self._has_work() or _state(self._status or 0) == "done") and self._begin()):
                write_ended(self._storage, self._begun.dataset, self.id, self._sign(next_seconds=0.0))

    def _has_work(self) -> bool:
        """Whether there is anything to tell: what fails before, as with a wrong key, shall ask storage just once."""
        return self._num_nodes > 0 or any(step.has_begun for step in self._steps)

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
        if not isinstance(error, click.exceptions.Exit):
            run.error = run.error or f"{type(error).__name__}: {error}"
        raise
    finally:
        run.end(status)
        _run = None
        if before is not None:
            signal.signal(signal.SIGTERM, before)
