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
                while left and self._kill_one(driver, left[0]):
                    if left.pop(0) in ("driver", "raylet"):
                        break
                _, errors = self._wait(driver, store)
            finally:
                driver.kill()
            between()
            if driver.returncode == 0 and "Traceback" not in errors:
                return errors
        raise AssertionError(f"{arguments[0]} did not end within {MAX_RUNS} runs: {errors}")

    def _kill_one(self, driver: subprocess.Popen[str], kind: str) -> bool:
        """Kill a process of a kind as soon as there is one after a random pause; False if the run ended before."""
        _pause_until_ray(driver)
        pause = time.monotonic() + self._random.uniform(0, 4)
        while driver.poll() is None:
            if time.monotonic() >= pause:
                if kind == "driver":
                    family = [pid for pid, _ in workers_below(driver.pid)]
                    driver.kill()
                    self.kills[kind] += 1
                    wait_until_gone(family)
                    return True
                found = of_kind(driver.pid, kind)
                if found and send(self._random.choice(found), SIGKILL):
                    self.kills[kind] += 1
                    return True
            time.sleep(0.01)
        return False

    def _wait(self, driver: subprocess.Popen[str], store: Path) -> tuple[str, str]:
        """Wait for the end of a run, and see how long nothing appears in its store."""
        last, count = time.monotonic(), -1
        deadline = last + 400
        while True:
            try:
                return driver.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"hangs: {below(driver.pid)}"
                now = sum(len(files) for _, _, files in os.walk(store))
                if now != count:
                    last, count = time.monotonic(), now
                self.longest_stall = max(self.longest_stall, time.monotonic() - last)


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _pause_until_ray(driver: subprocess.Popen[str]) -> None:
    """Importing Ray takes seconds in which nothing can go wrong."""
    while driver.poll() is None and not of_kind(driver.pid, "raylet"):
        time.sleep(0.05)


RAY_KINDS = ("driver", *KINDS)
