"""No run waits for ever: one in which nothing has happened for too long ends with a line that says what to do."""

import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from jobs.progress import duration
from texture_store.errors import StalledError, UsageError

VARIABLE = "TEXTURE_STORE_STALL_MINUTES"
IMAGE_MINUTES = 30.0
"""Images are reported batch by batch, and the slowest request to storage is given up after under 3 minutes."""
TASK_MINUTES = 360.0
"""A fit or a forest of a large matrix reports nothing until it is done."""

Item = TypeVar("Item")


class Watchdog:
    """Knows when something last happened."""

    def __init__(self, doing: str, *, minutes: float) -> None:
        """`minutes` that may pass without a sign of life; the environment's `VARIABLE` overrides them."""
        self._doing = doing
        self._seconds = 60 * _minutes(minutes)
        self._last = time.monotonic()

    @property
    def poll_seconds(self) -> float:
        """How long a wait between two checks should be."""
        return min(5.0, self._seconds / 4)

    def alive(self) -> None:
        """Something has happened."""
        self._last = time.monotonic()

    def check(self) -> None:
        """Raises StalledError when nothing has happened for too long."""
        silent = time.monotonic() - self._last
        if silent < self._seconds:
            return
        raise StalledError(
            f"{self._doing}: nothing was done for {duration(silent)}, so it is stopped; what is committed stays: look"
            f" whether nodes and storage answer, then run the same command again ({VARIABLE} sets how long to wait)"
        )

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items as they come, each a sign of life. Raises StalledError when none comes and nobody calls `alive`."""
        ready: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(maxsize=1)
        stopped = threading.Event()

        def put(is_item: bool, value: Item | BaseException | None) -> bool:
            while not stopped.is_set():
                try:
                    ready.put((is_item, value), timeout=0.5)
                except queue.Full:
                    continue
                return True
            return False

        def pull() -> None:
            try:
                for item in items:
                    if not put(True, item):
                        return
            except BaseException as error:
                put(False, error)
            else:
                put(False, None)

        # Ray Data offers no time-out that knows of images, so that it is waited for in a thread.
        thread = threading.Thread(target=pull, daemon=True)
        thread.start()
        try:
            while True:
                try:
                    is_item, value = ready.get(timeout=self.poll_seconds)
                except queue.Empty:
                    self.check()
                    continue
                self.alive()
                if is_item:
                    yield value  # type: ignore[misc]
                elif value is None:
                    return
                else:
                    raise value  # type: ignore[misc]
        finally:
            stopped.set()


def _minutes(default: float) -> float:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return default
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise UsageError(f"{VARIABLE}={text}: write minutes, such as 30")
    return minutes
