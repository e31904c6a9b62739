"""What workers tell Prometheus, through Ray's own exporter: declared here alone.

Ray puts `ray_` before each name and `_total` behind a counter's, and adds labels of its own (NodeAddress ...). The
label `step` is the job of a commit's step, such as featurize or sample; `job` is Prometheus' own, and would be renamed.
How full a queue is follows from how long shards lay in it: the rate of the sum of those seconds is the mean number of
shards in the queue. That holds also after the loss of a node, where a count of what went in and out would not. The sum
is a counter: that of a histogram is made of the middles of its buckets by Ray 2.60 (0.65 for a single 0.4, measured).
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from texture_store.pipeline import LoadedShard, WrittenShard

STAGES = ("load", "decode", "wait_extract", "extract", "wait_write", "write")
"""Values of the label `stage`: of a shard, `decode` being part of `load`; `tables` is counted with `write`."""


@dataclass(frozen=True)
class Metric:
    """One of ours."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    description: str
    labels: tuple[str, ...] = ()
    """Beside dataset and step."""

    @property
    def exported(self) -> str:
        """As Prometheus sees it; a histogram has `_bucket`, `_sum` and `_count` behind it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Ours, in their order."""
        return ("dataset", "step", *self.labels)


IMAGES = Metric("counter", "texture_store_images", "Images through a stage, rejected ones not.", ("stage",))
BYTES_READ = Metric("counter", "texture_store_bytes_read", "Of micrographs, from the archive.")
BYTES_WRITTEN = Metric("counter", "texture_store_bytes_written", "Of tables, to the store.")
REJECTED = Metric("counter", "texture_store_rejected", "Images rejected, by class of error.", ("reason",))
SHARDS = Metric("counter", "texture_store_shards", "Shards committed.")
SHARDS_FAILED = Metric("counter", "texture_store_shards_failed", "Shards that stay pending.", ("stage",))
STAGE_SECONDS = Metric("counter", "texture_store_stage_seconds", "Of all shards in a stage or queue.", ("stage",))
SHARD_SECONDS = Metric("histogram", "texture_store_shard_seconds", "Of one shard in a stage or queue.", ("stage",))
PLANNED = Metric("gauge", "texture_store_images_planned", "Images that the step has to do.")
LEFT = Metric("gauge", "texture_store_images_left", "Images that the step has still to do.")

METRICS = (
    IMAGES,
    BYTES_READ,
    BYTES_WRITTEN,
    REJECTED,
    SHARDS,
    SHARDS_FAILED,
    STAGE_SECONDS,
    SHARD_SECONDS,
    PLANNED,
    LEFT,
)

BOUNDARIES = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]
"""Seconds: a shard of 64 images takes a GPU about one and two cores a quarter of a minute."""


class Meter:
    """Counts for one dataset and step, in any process that Ray knows. Never fails: a metric is not worth a shard."""

    def __init__(self, dataset: str, step: str) -> None:
        self._labels = {"dataset": dataset, "step": step}

    def loaded(self, shard: LoadedShard) -> None:
        """A shard is loaded."""
        self._add(IMAGES, len(shard.members), stage="load")
        self._add(BYTES_READ, shard.num_bytes)
        for row in shard.rejected:
            self._add(REJECTED, 1, reason=row["error"])
        self._seconds(shard.seconds, ("load", "decode"))

    def extracted(self, images: int, seconds: Mapping[str, float]) -> None:
        """The images of a shard went through the network."""
        self._add(IMAGES, images, stage="extract")
        self._seconds(seconds, ("wait_extract", "extract"))

    def written(self, shard: WrittenShard, *, waited: float, seconds: float) -> None:
        """A shard is written: the seconds that it waited for that, and that it took."""
        record = shard.record
        if record is not None:
            self._add(IMAGES, len(record.members), stage="write")
            self._add(BYTES_WRITTEN, sum(file.bytes for file in record.files if not file.adopted))
        self._add(SHARDS, 1)
        self._seconds({"wait_write": waited, "write": seconds}, ("wait_write", "write"))

    def failed(self, stage: str) -> None:
        """A shard failed in this stage."""
        self._add(SHARDS_FAILED, 1, stage=stage)

    def planned(self, images: int, left: int) -> None:
        """What a step, told by its driver, has to do, and has still to do."""
        _record(PLANNED, "set", images, self._labels)
        _record(LEFT, "set", left, self._labels)

    def _add(self, metric: Metric, value: float, **labels: str) -> None:
        if value > 0:
            _record(metric, "inc", value, {**self._labels, **labels})

    def _seconds(self, seconds: Mapping[str, float], stages: Iterable[str]) -> None:
        for stage in stages:
            if stage in seconds:
                self._add(STAGE_SECONDS, seconds[stage], stage=stage)
                _record(SHARD_SECONDS, "observe", seconds[stage], {**self._labels, "stage": stage})


def _record(metric: Metric, how: str, value: float, labels: dict[str, str]) -> None:
    with suppress(Exception):
        record: Callable[..., None] = getattr(_made(metric), how)
        record(value, tags=labels)


@functools.cache
def _made(metric: Metric) -> Any:
    """Ray's own object for it, one in a process."""
    from ray.util import metrics

    if metric.kind == "histogram":
        return metrics.Histogram(metric.name, metric.description, BOUNDARIES, metric.all_labels)
    kind = metrics.Counter if metric.kind == "counter" else metrics.Gauge
    return kind(metric.name, metric.description, metric.all_labels)
