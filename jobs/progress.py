"""Progress of a long step: a live bar on a terminal, a line now and then in a log. Always on standard error.

It is noted in the record of the run as well.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import rich.console
import rich.progress

from jobs.logs import say as say
from jobs.logs import this_log
from jobs.steps import Step
from jobs.watched import this_run

LOG_SECONDS = 10.0
"""Time between two plain lines when standard error is not a terminal."""


class Bar(Protocol):
    """What a job tells about its progress."""

    step: Step
    """What the record of the run says of it."""

    def advance(self, done: int = 1, *, rejected: int = 0) -> None:
        """`done` more are ready, of which `rejected` were rejected."""

    def total(self, total: int) -> None:
        """How many there are, once it is known."""


@contextmanager
def progress(what: str, *, total: int | None = None, unit: str = "images") -> Iterator[Bar]:
    """Show the progress of `what` while the block runs: done, rate, time left, rejected."""
    run = this_run()
    step = run.step(what, unit, total) if run is not None else Step(what, unit, total)
    bar_class = _LiveBar if sys.stderr.isatty() and not this_log().is_json else _PlainBar
    try:
        with bar_class(what, total, unit, step) as bar:
            yield bar
    finally:
        step.end()


def rate_text(rate: float) -> str:
    """Such as `4.0/s` or `2,146/s`."""
    return f"{rate:,.0f}/s" if rate >= 99.95 else f"{rate:.1f}/s"


def duration(seconds: float) -> str:
    """Such as `41 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


class _LiveBar:
    def __init__(self, what: str, total: int | None, unit: str, step: Step) -> None:
        self.step = step
        self._rejected = 0
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn(f"{unit}, {{task.fields[rate]}}, left"),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[rejected]}"),
            console=rich.console.Console(stderr=True),
        )
        self._started = time.monotonic()
        self._task = self._bar.add_task(what, total=total, rate="-", rejected="")

    def __enter__(self) -> "_LiveBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def total(self, total: int) -> None:
        self.step.planned = total
        self._bar.update(self._task, total=total)

    def advance(self, done: int = 1, *, rejected: int = 0) -> None:
        self.step.advance(done, rejected=rejected)
        self._rejected += rejected
        completed = self._bar.tasks[0].completed + done
        rate = completed / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(
            self._task,
            advance=done,
            rate=rate_text(rate),
            rejected=f"{self._rejected} rejected" if self._rejected else "",
        )


class _PlainBar:
    def __init__(self, what: str, total: int | None, unit: str, step: Step) -> None:
        self.step = step
        self._what, self._total, self._unit = what, total, unit
        self._done = self._rejected = 0
        self._started = self._last = time.monotonic()
        self._shown = -1

    def __enter__(self) -> "_PlainBar":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if (error is None or self._done) and self._shown != self._done:
            self._line()

    def total(self, total: int) -> None:
        self.step.planned = total
        self._total = total

    def advance(self, done: int = 1, *, rejected: int = 0) -> None:
        self.step.advance(done, rejected=rejected)
        self._done += done
        self._rejected += rejected
        if time.monotonic() - self._last >= LOG_SECONDS:
            self._last = time.monotonic()
            self._line()

    def _line(self) -> None:
        self._shown = self._done
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = self._done / seconds
        of = f"/{self._total:,}" if self._total is not None else ""
        line = f"{self._what}: {self._done:,}{of} {self._unit}, {rate_text(rate)}, {duration(seconds)}"
        if self._total is not None and 0 < self._done < self._total:
            line += f", {duration((self._total - self._done) / rate)} left"
        if self._rejected:
            line += f", {self._rejected} rejected"
        names = {"step", "unit", "planned", "done", "rejected", "failed", "rate", "seconds_left"}
        say(line, **self.step.sign().model_dump(include=names))
