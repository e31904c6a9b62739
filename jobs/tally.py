"""What workers tell while a shard is still under way: images that are done, and that storage is slow."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.logs import Tell
from jobs.progress import Bar, say
from texture_store.storage.retries import LINE_SECONDS

POLL_SECONDS = 1.0

_Lines = dict[str, tuple[int, str, Mapping[str, Any]]]
"""By kind: how many there were, the last one, and what that is about."""


@dataclass(frozen=True)
class BatchTimes:
    """When the network worked: what a rate without start-up is made of."""

    first: str
    """End of the first batch, ISO 8601, UTC."""
    last: str
    """End of the last one."""
    images_after_first: int
    """In all batches but the first."""

    @property
    def seconds(self) -> float:
        """From the first to the last."""
        return self._since_first(self.last)

    @property
    def per_image(self) -> float:
        """Seconds per image between the first batch and the last."""
        return self.seconds / max(1, self.images_after_first)

    def per_image_until(self, times: Iterable[str]) -> float:
        """Seconds per image after the first batch, until the latest of these `times`, ISO 8601."""
        return max(map(self._since_first, times)) / max(1, self.images_after_first)

    def _since_first(self, at: str) -> float:
        return (datetime.fromisoformat(at) - datetime.fromisoformat(self.first)).total_seconds()


@contextmanager
def tallied(bar: Bar, total: int, alive: Callable[[], None]) -> Iterator["Tally"]:
    """Keep `bar` moving by what the actors report; each report is a sign of life."""
    tally = Tally(bar, total, alive)
    try:
        yield tally
    finally:
        tally.stop()


class Tally:
    """Collects reports of actors in an actor of its own, and asks that for the sum now and then."""

    def __init__(self, bar: Bar, total: int, alive: Callable[[], None]) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._bar, self._total, self._alive = bar, total, alive
        self._shown = self._settled = 0
        self._lock = threading.Lock()
        # On the driver's node, so that it lives as long as that. Its process may die: then it counts from 0 again.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        counter: Any = ray.remote(num_cpus=0, max_restarts=-1)(_Counter)
        self._counter: Any = counter.options(scheduling_strategy=here).remote()
        self._said: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    @property
    def report(self) -> Callable[[int], None]:
        """For an actor: call it with the number of images that were just done. Never waits, never fails."""
        return _Report(self._counter)

    @property
    def tell(self) -> Tell:
        """For any worker: a line for the user; of one kind one is said now and then, whoever has the same to say."""
        return _Tell(self._counter)

    def times(self) -> BatchTimes | None:
        """Of the batches so far; None when there was none."""
        import ray

        try:
            times: BatchTimes | None = ray.get(self._counter.times.remote(), timeout=10 * POLL_SECONDS)
        except (ray.exceptions.RayError, TimeoutError):
            return None
        return times

    def settle(self, images: int, *, rejected: int) -> None:
        """A unit of so many images is through."""
        with self._lock:
            self._settled += images
            self._show(self._settled, rejected)

    def stop(self) -> None:
        """No more reports are waited for."""
        import ray

        self._ended.set()
        self._thread.join()
        ray.kill(self._counter)

    def _poll(self) -> None:
        import ray

        before: tuple[int, _Lines] = (0, {})
        while not self._ended.wait(POLL_SECONDS):
            try:
                extracted, lines = ray.get(self._counter.total.remote(), timeout=POLL_SECONDS)
            except (ray.exceptions.RayError, TimeoutError):
                continue
            if (extracted, lines) != before:
                self._alive()
                before = (extracted, lines)
            with self._lock:
                # The last unit is done only when it is committed, so the bar waits for that one image short of all.
                self._show(min(extracted, self._total - 1), 0)
            self._say(lines)

    def _show(self, done: int, rejected: int) -> None:
        self._bar.advance(max(0, done - self._shown), rejected=rejected)
        self._shown = max(done, self._shown)

    def _say(self, lines: _Lines) -> None:
        for kind, (number, line, facts) in lines.items():
            if self._seen.get(kind) == number:
                continue
            self._seen[kind] = number
            if kind not in self._said or time.monotonic() - self._said[kind] >= LINE_SECONDS:
                self._said[kind] = time.monotonic()
                say(line, level=logging.WARNING, **facts)


class _Counter:
    def __init__(self) -> None:
        self._images = self._images_of_first = 0
        self._first, self._last = math.inf, -math.inf
        self._lines: _Lines = {}

    def add(self, images: int, at: float) -> None:
        self._images += images
        if at < self._first:
            self._first, self._images_of_first = at, images
        self._last = max(self._last, at)

    def tell(self, kind: str, line: str, facts: Mapping[str, Any]) -> None:
        told = self._lines[kind][0] if kind in self._lines else 0
        self._lines[kind] = (told + 1, line, facts)

    def total(self) -> tuple[int, _Lines]:
        # Lines stay: an answer that the driver did not wait for must not take one along.
        return self._images, self._lines

    def times(self) -> BatchTimes | None:
        if not self._images:
            return None
        first, last = (datetime.fromtimestamp(at, UTC).isoformat() for at in (self._first, self._last))
        return BatchTimes(first, last, self._images - self._images_of_first)


class _Report:
    def __init__(self, counter: Any) -> None:
        self._counter = counter

    def __call__(self, images: int) -> None:
        self._counter.add.remote(images, time.time())


class _Tell:
    def __init__(self, counter: Any) -> None:
        self._counter = counter

    def __call__(self, kind: str, line: str, facts: Mapping[str, Any]) -> None:
        self._counter.tell.remote(kind, line, facts)
