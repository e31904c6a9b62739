"""One command, run again until it is done, while its processes are killed at random."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from tests.jobs.killing import workers_below

from .victims import KINDS, below, of_kind, send, wait_until_gone

MAX_RUNS = 12
"""Of one command; each is killed at most once in a way that ends it."""
MAX_FILES = 30
"""That appear before the next kill: two or three shards of nine feature sets."""


@dataclass
class Monkey:
    """Kills at random times, from a seed."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    longest_stall: float = 0.0
    """Seconds between two files that appeared in the store while a command ran."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def num_kills(self) -> int:
        """So far, of any kind."""
        return sum(self.kills.values())

    def run(self, arguments: Sequence[str], store: Path, *, kinds: Sequence[str], between: Callable[[], None]) -> str:
        """Run a command with one kill of each of `kinds` in any order, again until it ends with 0; its last stderr.

        A kind of which no process is seen before a run ends is left for the next run, or not killed at all.
        `between` is called after each end of a run.
        """
        left = self._random.sample(kinds, len(kinds))
        for _ in range(MAX_RUNS):
            driver = _start(arguments)
            try:
                while left and (killed := self._kill_one(driver, store, left)):
                    left.remove(killed)
                    if killed == "driver":
                        break
                _, errors = self._wait(driver, store)
            finally:
                driver.kill()
            between()
            if driver.returncode == 0 and "Traceback" not in errors:
                return errors
        raise AssertionError(f"{arguments[0]} did not end within {MAX_RUNS} runs: {errors}")

    def _kill_one(self, driver: subprocess.Popen[str], store: Path, kinds: Sequence[str]) -> str:
        """Kill a process of the first kind after a random pause, and say which; nothing if the run ended before.

        The pause is over after a time, or earlier when the store has grown by some files: a fast run is killed too.
        When no process of the kind is seen for a while after it, one of another kind is killed.
        """
        _pause_until_ray(driver)
        time_up = time.monotonic() + self._random.uniform(0, 4)
        files_up = num_files(store) + self._random.randrange(MAX_FILES)
        while driver.poll() is None:
            if time.monotonic() >= time_up or num_files(store) >= files_up:
                is_late = time.monotonic() >= time_up + 1 or num_files(store) >= files_up + MAX_FILES // 2
                for kind in kinds if is_late else kinds[:1]:
                    if self._kill(driver, kind):
                        self.kills[kind] += 1
                        return kind
            time.sleep(0.01)
        return ""

    def _kill(self, driver: subprocess.Popen[str], kind: str) -> bool:
        if kind != "driver":
            found = of_kind(driver.pid, kind)
            return bool(found) and send(self._random.choice(found), SIGKILL)
        family = [pid for pid, _ in workers_below(driver.pid)]
        driver.kill()
        wait_until_gone(family)
        return True

    def _wait(self, driver: subprocess.Popen[str], store: Path) -> tuple[str, str]:
        """Wait for the end of a run, and see how long nothing appears in its store."""
        last, count = time.monotonic(), -1
        deadline = last + 400
        while True:
            try:
                return driver.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"hangs: {below(driver.pid)}"
                now = num_files(store)
                if now != count:
                    last, count = time.monotonic(), now
                self.longest_stall = max(self.longest_stall, time.monotonic() - last)


def num_files(store: Path) -> int:
    """In the whole store, committed or not."""
    return sum(len(files) for _, _, files in os.walk(store))


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _pause_until_ray(driver: subprocess.Popen[str]) -> None:
    """Importing Ray takes seconds in which nothing can go wrong."""
    while driver.poll() is None and not of_kind(driver.pid, "raylet"):
        time.sleep(0.05)


RAY_KINDS = ("driver", *KINDS)
