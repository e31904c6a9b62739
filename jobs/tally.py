"""How many images the extract actors have done, told while a shard is still under way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jobs.progress import Bar

POLL_SECONDS = 1.0


@contextmanager
def tallied(bar: Bar, total: int) -> Iterator["Tally"]:
    """Keep `bar` moving by what the actors report."""
    tally = Tally(bar, total)
    try:
        yield tally
    finally:
        tally.stop()


class Tally:
    """Collects reports of actors in an actor of its own, and asks that for the sum now and then."""

    def __init__(self, bar: Bar, total: int) -> None:
        import ray

        self._bar, self._total = bar, total
        self._shown = self._settled = 0
        self._lock = threading.Lock()
        self._counter: Any = ray.remote(num_cpus=0)(_Counter).remote()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    @property
    def report(self) -> Callable[[int], None]:
        """For an actor: call it with the number of images that were just done. Never waits, never fails."""
        return _Report(self._counter)

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

        while not self._ended.wait(POLL_SECONDS):
            try:
                extracted = ray.get(self._counter.total.remote(), timeout=POLL_SECONDS)
            except (ray.exceptions.RayError, TimeoutError):
                continue
            with self._lock:
                # The last unit is done only when it is committed, so the bar waits for that one image short of all.
                self._show(min(extracted, self._total - 1), 0)

    def _show(self, done: int, rejected: int) -> None:
        self._bar.advance(max(0, done - self._shown), rejected=rejected)
        self._shown = max(done, self._shown)


class _Counter:
    def __init__(self) -> None:
        self._images = 0

    def add(self, images: int) -> None:
        self._images += images

    def total(self) -> int:
        return self._images


class _Report:
    def __init__(self, counter: Any) -> None:
        self._counter = counter

    def __call__(self, images: int) -> None:
        self._counter.add.remote(images)
