"""Ray Data carries shards through load -> extract -> write, and their results back to the driver.

A row of the stream is a unit: its number, its shard's name, and one value of `texture_store.pipeline` (packed.py). Ray
never sees the columns of our tables, so a block that it splits or joins cannot tear a shard.
"""

import contextlib
import functools
import gc
import logging
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.cluster import Workers
from jobs.logs import LOGGER, Log, Tell, set_up_worker, this_log
from jobs.metrics import Meter
from jobs.network import check_device
from jobs.packed import each_unpacked, packed
from texture_store.errors import (
    DeviceError,
    StorageFullError,
    StoragePermissionError,
    TextureStoreError,
    UnsafeStorageError,
)
from texture_store.log_context import about
from texture_store.objects import Storage
from texture_store.pipeline import EncodedShard, Extractor, LoadedShard, WrittenShard, load_shard, write_shard
from texture_store.spec import FeatureSpec, Layer, PixelSpec
from texture_store.store.work import Unit

LOAD_CPUS = 0.5
"""Must differ from what the actors ask for: Ray Data fuses stages of equal resources, and decoding would then run
inside the extract actor (measured with Ray 2.60)."""
WRITE_CPUS = 0.25
PLACEMENT = "DEFAULT"
"""Of load and write tasks: a node without a GPU before one with; where none has a core free, one with a GPU helps. Ray
Data's own, SPREAD, put 22 of 48 loads and 30 of 48 writes on two GPU nodes beside a CPU-only one; this 4 and none."""

MAX_FRUITLESS_PASSES = 3
"""Passes over what is left of a stream in which not one shard comes through."""
MAX_INIT_DEATHS = 3
"""Extract actors in a row that may die while they start; one is killed there as anywhere else."""

_PERMANENT = (DeviceError, StorageFullError, StoragePermissionError, UnsafeStorageError)


@dataclass(frozen=True)
class FailedShard:
    """A unit that stays pending, and why."""

    shard: str
    message: str
    is_permanent: bool
    """Whether every other shard would fail for the same reason."""
    details: str
    """The traceback."""


Result = WrittenShard | FailedShard
Load = Callable[[Unit, str, PixelSpec], LoadedShard]


@dataclass(frozen=True)
class Target:
    """Where the results of a stream go, and as what."""

    storage: Storage
    job: str
    dataset: str
    spec: FeatureSpec
    snapshot: int
    words: Mapping[Layer, np.ndarray] = field(default_factory=dict)
    """float32 (K, D) for each layer: the dictionary of a VLAD spec."""
    fold_words: Mapping[Layer, Mapping[str, np.ndarray]] = field(default_factory=dict)
    """Likewise of each fold dictionary, by its name."""


@dataclass(frozen=True)
class Voice:
    """How a worker makes itself heard."""

    dataset: str
    job: str
    log: Log
    tell: Tell | None

    def set_up(self) -> Meter:
        """Log as the driver does; what to count with."""
        facts = {"job": self.job, "dataset": self.dataset, **self.log.facts}
        set_up_worker(replace(self.log, facts=facts), self.tell)
        return Meter(self.dataset, self.job)


def run_stream(
    units: Sequence[Unit],
    *,
    archive_url: str,
    target: Target,
    workers: Workers,
    report: Callable[[int], None] | None = None,
    tell: Tell | None = None,
    load: Load = load_shard,
) -> Iterator[Result]:
    """Load, extract and write each unit; yields what became of it, in the order of completion.

    `report` is called in the extract actors with the number of images that were just done, `tell` in all workers with
    what the user should know meanwhile. `load` takes the place of reading and decoding in a benchmark of all else.

    A shard that is lost with its actor or its node goes through in another pass. One that is lost each time, while
    nothing else comes through either, becomes a FailedShard.
    """
    left = dict(enumerate(units))
    fruitless = 0
    while left and fruitless < MAX_FRUITLESS_PASSES:
        before = len(left)
        stream = build_stream(
            left, archive_url=archive_url, target=target, workers=workers, report=report, tell=tell, load=load
        )
        for table in stream.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
            for number, value in zip(table["unit"].to_pylist(), each_unpacked(table["value"]), strict=True):
                del left[number]
                yield value
        fruitless = fruitless + 1 if len(left) == before else 0
        # An actor that waits for its restart outlives its stream while anything refers to it, and takes the processor
        # that the next pass needs.
        del stream
        gc.collect()
    for unit in left.values():
        message = f"the process that worked on it ended, {fruitless} times; has it enough memory?"
        yield FailedShard(unit.shard, message, is_permanent=False, details=message)


def build_stream(
    units: Mapping[int, Unit],
    *,
    archive_url: str,
    target: Target,
    workers: Workers,
    report: Callable[[int], None] | None = None,
    tell: Tell | None = None,
    load: Load = load_shard,
) -> Any:
    """The Ray Data pipeline itself, not yet running: three operators that must not be fused.

    Tasks of load and write are begun again, without end, when their process or node dies (Ray Data's own default).
    Those of an actor are not: they would wait for the actor, and it, after the loss of a node, for a processor
    that no other node has to spare, for ever. Their shards are left out of the stream instead, and go through later.
    """
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # after the import, which sets it
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.max_consecutive_actor_init_deaths = MAX_INIT_DEATHS
    context.execution_no_progress_timeout_s = -1  # it counts shards, and one of large pictures may take long
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = None
    shards: Any = ray.data.from_arrow([_row(number, unit.shard, unit) for number, unit in units.items()])
    one_shard: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}
    voice = Voice(target.dataset, target.job, this_log(), tell)
    # Placement and the two retries have no other way in; the lock file holds Ray below 2.64, which ends this one.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    on_cpus: dict[str, Any] = {"scheduling_strategy": PLACEMENT, **one_shard}
    to_load = (archive_url, target.spec.pixels, voice, load)
    loaded = shards.map_batches(_load, fn_args=to_load, num_cpus=LOAD_CPUS, **on_cpus)
    side_by_side: dict[str, Any] = {}
    if workers.shards_at_once > 1:
        side_by_side = {
            "max_concurrent_calls_per_actor": workers.shards_at_once,
            "enable_true_multi_threading": True,
        }
    encoded = loaded.map_batches(
        _ExtractActor,
        fn_constructor_args=(target, workers, report, voice),
        compute=ray.data.ActorPoolStrategy(
            size=workers.actors, max_tasks_in_flight_per_actor=workers.shards_in_flight, **side_by_side
        ),
        num_cpus=workers.num_cpus,
        num_gpus=workers.num_gpus,
        max_restarts=-1,
        max_task_retries=0,
        **one_shard,
    )
    return encoded.map_batches(_write, fn_args=(target, voice), num_cpus=WRITE_CPUS, **on_cpus)


class _ExtractActor:
    def __init__(self, target: Target, workers: Workers, report: Callable[[int], None] | None, voice: Voice) -> None:
        self._meter = voice.set_up()
        self._make = functools.partial(_make_extractor, target, workers, report)
        self._extract: Extractor | None = None
        self._making = Lock()
        # An error here would end the whole stream, and Ray Data would not tell which it was. It is met again, and told,
        # with the first shard.
        with contextlib.suppress(Exception):
            self._extract = self._make()

    def __call__(self, table: pa.Table) -> pa.Table:
        return _each(table, self._extract_one, "extract", self._meter)

    def _extract_one(self, loaded: LoadedShard) -> EncodedShard:
        _unqueue(loaded.seconds, "wait_extract")
        with self._making:
            extract = self._extract = self._extract or self._make()
        encoded = extract(loaded)
        self._meter.extracted(len(loaded.members), encoded.seconds)
        _queue(encoded.seconds)
        return encoded


def _make_extractor(target: Target, workers: Workers, report: Callable[[int], None] | None) -> Extractor:
    from texture_store.backbone.weights import from_safetensors
    from texture_store.store.specs import read_weights

    check_device(workers.device)
    digest = target.spec.weights
    weights = from_safetensors(read_weights(target.storage, digest), digest=digest, allow_foreign=True)
    return Extractor(
        weights,
        target.spec,
        words=target.words,
        fold_words=target.fold_words,
        device=workers.device,
        threads=workers.threads if workers.device == "cpu" else None,
        report=report,
    )


def _load(table: pa.Table, archive_url: str, pixels: PixelSpec, voice: Voice, load: Load) -> pa.Table:
    meter = voice.set_up()

    def load_one(unit: Unit) -> LoadedShard:
        loaded = load(unit, archive_url, pixels)
        meter.loaded(loaded)
        _queue(loaded.seconds)
        return loaded

    return _each(table, load_one, "load", meter)


def _write(table: pa.Table, target: Target, voice: Voice) -> pa.Table:
    meter = voice.set_up()

    def write(encoded: EncodedShard) -> WrittenShard:
        _unqueue(encoded.seconds, "wait_write")
        started = time.monotonic()
        written = write_shard(
            encoded,
            target.storage,
            job=target.job,
            dataset=target.dataset,
            spec=target.spec,
            snapshot=target.snapshot,
        )
        meter.written(written, waited=encoded.seconds["wait_write"], seconds=time.monotonic() - started)
        return written

    return _each(table, write, "write", meter)


_QUEUED = "queued"


def _queue(seconds: dict[str, float]) -> None:
    """Note when a shard is put into the queue before the next stage."""
    seconds[_QUEUED] = time.time()


def _unqueue(seconds: dict[str, float], leg: str) -> None:
    """Note how long it lay there. By the clocks of two nodes, maybe, so never less than nothing."""
    seconds[leg] = max(0.0, time.time() - seconds.pop(_QUEUED, time.time()))


def _each(table: pa.Table, leg: Callable[[Any], Any], stage: str, meter: Meter) -> pa.Table:
    """Apply one leg to each shard of a block. A shard that failed before, or fails now, travels on as FailedShard."""
    rows = []
    units, shards = table["unit"].to_pylist(), table["shard"].to_pylist()
    for unit, shard, value in zip(units, shards, each_unpacked(table["value"]), strict=True):
        if isinstance(value, FailedShard):
            rows.append(_row(unit, shard, value))
            continue
        with about(shard=shard):
            try:
                value = leg(value)
                LOGGER.info("%s: done", stage)
            except Exception as error:
                LOGGER.exception("%s: failed, stays pending", stage)
                meter.failed(stage)
                value = FailedShard(shard, _reason(error), isinstance(error, _PERMANENT), traceback.format_exc())
        rows.append(_row(unit, shard, value))
    return pa.concat_tables(rows)


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split()) or "no message"
    return reason if isinstance(error, TextureStoreError) else f"{type(error).__name__}: {reason}"


def _row(unit: int, shard: str, value: object) -> pa.Table:
    columns = {
        "unit": pa.array([unit], pa.int64()),
        "shard": pa.array([shard], pa.string()),
        "value": packed(value),
    }
    return pa.table(columns)
