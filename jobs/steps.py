"""How far a step of a run is: what is done, at which rate, and which stage the others wait for."""

import threading
import time
from collections import deque
from collections.abc import Mapping

from texture_store.store.runs import StepSign

WINDOW_SAMPLES, SAMPLE_SECONDS = 60, 5.0
"""A rate is that of the last five minutes, without the first batch, which waits for all that starts."""
FEW_SHARDS = 3
"""Before so many, what shards wait for is that processes start."""


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

    @property
    def has_begun(self) -> bool:
        """Whether it knows what it has to do, or has done some."""
        return self._done > 0 or self.planned is not None

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
