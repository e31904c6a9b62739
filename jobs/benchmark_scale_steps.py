"""Steps of a dataset of any size, from a listing without pictures; each runs in a process of its own.

Images are on an S3 that does not exist: a listing that gives sizes and etags is indexed without a request. Commit
records are those of a run of all encoders at all layers; of the files that they list, only those are there that the
steps read or list.
"""

import functools
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.cluster import RaySession
from jobs.index import index
from jobs.planning import DEFAULT_ENCODERS, Plan, Request, make_plan, plan_for
from jobs.shards import Outcome, summarize
from schemas import REJECTED
from texture_store.archive.snapshot import SHARD_SIZE
from texture_store.errors import StoreError
from texture_store.objects import Storage
from texture_store.spec import LAYERS, FeatureSpec
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, step_name, write_commit
from texture_store.store.opening import open_for_writing
from texture_store.store.reader import open_store
from texture_store.store.snapshots import latest_snapshot
from texture_store.store.specs import write_spec
from texture_store.store.tables import FileRecord, write_table
from texture_store.store.work import Unit, plan_work

DATASET = "scale"
JOB = "featurize"
SPEC = FeatureSpec(weights="0" * 64, lineage="caffe", precision="bfloat16", gram_mantissa_bits=12)
LEFT_OUT = 10
"""A run that is killed leaves one shard in so many undone."""
REJECTING = 50
"""One shard in so many has an image that cannot be read."""
LISTED_AT_ONCE = 100_000
WRITERS = 8
"""Commits at once: as many as a run on two cores has write tasks."""

ENVIRONMENT = {
    "processor": "AMD EPYC 9B14 96-Core Processor",
    "threads": "2",
    "kernel_path": "channels_last, oneDNN, AVX512_BF16",
    "python": "3.11.7",
    **dict.fromkeys(("texture-store", "torch", "numpy", "pillow", "pyarrow"), "26.0.1"),
}
SECONDS = dict.fromkeys(("load", "decode", "extract", "tables", "write"), 12.345678901234567)
"""As long as those of a real run."""


@dataclass(frozen=True)
class Measured:
    """What a step took."""

    seconds: float
    cpu_seconds: float
    """Of the whole process, its start included: hardly changed by what else the machine does."""
    peak_bytes: int
    """The process's largest resident memory, interpreter and libraries included."""


def run_step(name: str, folder: Path, num_images: int) -> Measured:
    """One of STEPS in a new process; `folder` holds the listing and the store, and what earlier steps left there."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(_measured, name, folder, num_images).result()


def _measured(name: str, folder: Path, num_images: int) -> Measured:
    seconds = STEPS[name](folder, num_images)
    return Measured(seconds, time.process_time(), _peak_bytes())


def _peak_bytes() -> int:
    # ru_maxrss of a new process begins with that of the one that started it.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise StoreError("/proc/self/status has no VmHWM; peak memory is measured on Linux only")


def _store(folder: Path) -> str:
    return str(folder / "store")


def _listing(folder: Path) -> Path:
    return folder / "listing.parquet"


def _request(folder: Path) -> Request:
    return Request(_store(folder), DATASET, SPEC.pixels)


def _list_images(folder: Path, num_images: int) -> float:
    """An S3 inventory of micrographs in lots of 1,000, with what a laboratory knows of each."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    names = ("uri", "size", "etag", "label", "specimen", "magnification")
    schema = pa.schema([(name, pa.int64() if name == "size" else pa.string()) for name in names])
    with pq.ParquetWriter(_listing(folder), schema) as file:
        for first in range(0, num_images, LISTED_AT_ONCE):
            numbers = range(first, min(first + LISTED_AT_ONCE, num_images))
            columns = [
                [f"s3://archive/lot-{number // 1000:06}/image-{number:09}.tif" for number in numbers],
                [1_311_000 + number % 997 for number in numbers],
                [hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest() for number in numbers],
                [f"steel-{number // 5000 % 12:02}" for number in numbers],
                [f"specimen-{number // 40:07}" for number in numbers],
                [f"{500 << number % 5}" for number in numbers],
            ]
            file.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema))
    return time.monotonic() - started


def _index(folder: Path, num_images: int) -> float:
    started = time.monotonic()
    summary = index(_store(folder), DATASET, str(_listing(folder)))
    _expect(summary.images, num_images, "images were indexed")
    return time.monotonic() - started


def _plan(folder: Path, num_images: int) -> float:
    started = time.monotonic()
    plan = _first_plan(folder)
    _expect(plan.num_images, num_images, "images are planned")
    return time.monotonic() - started


def _first_plan(folder: Path) -> Plan:
    """What is to be done before the first commit."""
    storage = open_for_writing(_store(folder), create=False)
    return plan_for(storage, latest_snapshot(storage, DATASET), SPEC, _request(folder).pairs)


def _commit_most(folder: Path, num_images: int) -> float:
    """All shards but those that a killed run would leave out."""
    storage = open_for_writing(_store(folder), create=False)
    write_spec(storage, SPEC)
    storage.create(layout.weights_path(SPEC.weights), b"")  # planning asks whether they are there
    plan = _first_plan(folder)
    _expect(plan.num_images, num_images, "images are planned")
    return _commit(plan, [unit for place, unit in enumerate(plan.units) if place % LEFT_OUT])


def _commit_rest(folder: Path, num_images: int) -> float:
    with RaySession("local") as session:
        plan = make_plan(_request(folder), session)
    _expect(len(plan.units), _left_out(num_images), "shards are left to do")
    return _commit(plan, plan.units)


def _left_out(num_images: int) -> int:
    """Shards that a killed run has not done."""
    return -(-num_images // (SHARD_SIZE * LEFT_OUT))


def _commit(plan: Plan, units: list[Unit]) -> float:
    records = [_record(plan, unit) for unit in units]
    _leave_facts(plan.storage, units)
    started = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(functools.partial(write_commit, plan.storage), records))
    return time.monotonic() - started


def _record(plan: Plan, unit: Unit) -> CommitRecord:
    """The record of a shard of which one image is rejected, or none."""
    spec = plan.spec.fingerprint
    members = unit.image_ids
    rejected = [members.pop()] if int(unit.shard[:8], 16) % REJECTING == 0 and len(members) > 1 else []
    paths = [layout.micrographs_path(DATASET, spec, unit.shard)]
    paths += [layout.product_path(DATASET, spec, *pair, unit.shard) for pair in unit.pairs]
    files = [
        FileRecord(path=path, rows=len(members), bytes=1_234_567, sha256=hashlib.sha256(path.encode()).hexdigest())
        for path in paths
    ]
    if rejected:
        row = {"image_id": rejected[0], "path": unit.rows["path"][-1].as_py(), "stage": "decode"}
        row |= {"error": "UnreadableImageError", "message": "cut off after 1,024 bytes"}
        path = layout.rejected_path(DATASET, spec, unit.shard)
        files.append(write_table(plan.storage, path, pa.Table.from_pylist([row], REJECTED)))
    return CommitRecord(
        job=JOB,
        step=step_name(JOB, unit.pairs),
        dataset=DATASET,
        spec=spec,
        shard=unit.shard,
        snapshot=plan.snapshot.number,
        pairs=unit.pairs,
        members=tuple(members),
        rejected=tuple(rejected),
        files=tuple(files),
        environment=ENVIRONMENT,
        seconds=SECONDS,
    )


def _leave_facts(storage: Storage, units: list[Unit]) -> None:
    """Files under micrographs/, which planning lists and does not open."""
    folder = Path(storage.full_path(layout.micrographs_folder(DATASET, SPEC.fingerprint)))
    folder.mkdir(parents=True, exist_ok=True)
    for unit in units:
        (folder / f"{unit.shard}.parquet").touch()


def _resume(folder: Path, num_images: int) -> float:
    started = time.monotonic()
    with RaySession("local") as session:
        plan = make_plan(_request(folder), session)
    took = time.monotonic() - started
    _expect(len(plan.units), _left_out(num_images), "shards are left to do")
    return took


def _checkpoint(folder: Path, num_images: int) -> float:
    """The end of a run, which still holds its plan of everything."""
    storage = open_for_writing(_store(folder), create=False)
    snapshot, pairs = latest_snapshot(storage, DATASET), _request(folder).pairs
    plan = Plan(storage, snapshot, SPEC, pairs, [], plan_work(snapshot, [], pairs))
    started = time.monotonic()
    summary = summarize(plan, Outcome(JOB))
    _expect(summary.featurized + summary.rejected, num_images, "images are settled")
    return time.monotonic() - started


def _plan_again(folder: Path, num_images: int) -> float:
    started = time.monotonic()
    with RaySession("local") as session:
        plan = make_plan(_request(folder), session)
    _expect(len(plan.units), 0, "shards are left to do")
    _expect(len(plan.snapshot), num_images, "images are in the snapshot")
    return time.monotonic() - started


def _open(folder: Path, num_images: int) -> float:
    started = time.monotonic()
    status = open_store(_store(folder)).status(DATASET)
    counts = {(one.featurized + one.rejected, one.pending) for spec in status.specs for one in spec.feature_sets}
    _expect(len(status.specs[0].feature_sets), len(DEFAULT_ENCODERS) * len(LAYERS), "feature sets have a status")
    took = time.monotonic() - started
    if counts != {(num_images, 0)}:
        raise StoreError(f"status says {sorted(counts)} (settled, pending) of {num_images:,} images")
    return took


def _features(folder: Path, num_images: int) -> float:
    started = time.monotonic()
    features = open_store(_store(folder)).features(DATASET, encoder="mean", layer="conv4_3")
    rows = len(features)
    took = time.monotonic() - started
    if not num_images * (1 - 1 / REJECTING) <= rows <= num_images:
        raise StoreError(f"{rows:,} of {num_images:,} images have features")
    return took


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise StoreError(f"{found:,} {what}, {wanted:,} were expected")


STEPS: dict[str, Callable[[Path, int], float]] = {
    "listing": _list_images,
    "index": _index,
    "index again": _index,
    "plan": _plan,
    "commit": _commit_most,
    "resume": _resume,
    "commit the rest": _commit_rest,
    "checkpoint": _checkpoint,
    "plan again": _plan_again,
    "status": _open,
    "features": _features,
}
"""In the order in which they are run; each returns its seconds."""
