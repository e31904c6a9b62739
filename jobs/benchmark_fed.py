"""The stream with pictures that need no decoding: what the extract and the write stage make of a processor."""

import statistics
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jobs.benchmark_bench import Bench
from jobs.benchmark_featurize import DATASET
from jobs.benchmark_limit import in_turns
from jobs.benchmark_network import PAIRS, loaded_pictures, make_extractor, make_spec, noise
from jobs.benchmark_pictures import encoded
from jobs.benchmark_record import Figure
from jobs.benchmark_stages import per_image
from jobs.tally import BatchTimes
from texture_store.errors import StoreError
from texture_store.micrograph.reading import read_micrograph
from texture_store.pipeline import LoadedShard
from texture_store.spec import PixelSpec
from texture_store.store.commits import CommitRecord
from texture_store.store.work import Unit

GPU_MARK = 0.9
"""Against the network with all statistics."""
ROUNDS = 3


@dataclass(frozen=True)
class FedRun:
    """A stream that had nothing to decode."""

    workers: str
    batches: BatchTimes
    commits: list[CommitRecord]


def measure_fed(bench: Bench) -> list[Figure]:
    """Images a second of load (of nothing), extract and write, against the extract stage alone on the same pictures."""
    precision, amounts = bench.precisions[0], bench.amounts
    extract = bench.once(("extractor", precision), lambda: make_extractor(bench, precision))
    shard = loaded_pictures(amounts.shard, amounts.side_px)

    def alone() -> list[float]:
        (taken,) = in_turns(bench, [(0.0, lambda: extract(shard))], rounds=ROUNDS)
        return [seconds / amounts.shard for seconds in taken]

    before = alone()
    run = run_fed(bench)
    extracted = statistics.median(before + alone())
    how = f"{run.batches.images_after_first} decoded pictures in shards of {amounts.shard}, {run.workers}"
    against = f"network with all statistics {extracted * 1000:.3f} ms/image, median of before and after"
    legs = per_image(run.commits)
    return [
        Figure(
            f"{precision}: stream fed with decoded pictures against the network with all statistics",
            extracted / run.batches.per_image,
            "x",
            f"{how}; {against}",
            wanted=GPU_MARK if bench.device == "cuda" else None,
        ),
        Figure(
            f"{precision}: until all is written, likewise",
            extracted / run.batches.per_image_until(commit.created for commit in run.commits),
            "x",
            "from the first batch to the last commit",
        ),
        Figure(f"{precision}: fed stream", 1 / run.batches.per_image, "images/s", how),
        *(
            Figure(f"{precision}: fed stream, {leg}", legs[leg], "s/image", f"{len(run.commits)} commit records")
            for leg in ("wait_extract", "extract", "wait_write", "tables", "write")
        ),
    ]


def run_fed(bench: Bench) -> FedRun:
    """The stream into a fresh store, in a Ray of its own or in the one of this process."""
    from jobs.cluster import cluster_workers, connected
    from jobs.progress import progress
    from jobs.stream import FailedShard, Target, run_stream
    from jobs.tally import tallied
    from texture_store.backbone.weights import to_safetensors
    from texture_store.store.opening import open_for_writing
    from texture_store.store.specs import write_spec, write_weights

    weights, spec = bench.network_weights, make_spec(bench, bench.precisions[0])
    storage = open_for_writing(str(bench.folder / "fed"), create=True)
    write_weights(storage, weights.digest, to_safetensors(weights))
    write_spec(storage, spec)
    target, total, commits = Target(storage, "featurize", DATASET, spec, 1), bench.amounts.fed, []
    with connected("local"), progress("fed", total=total) as bar, tallied(bar, total, lambda: None) as tally:
        workers = cluster_workers()
        for result in run_stream(
            make_units(total, bench.amounts.shard),
            archive_url="",
            target=target,
            workers=workers,
            report=tally.report,
            load=decoded_pictures,
        ):
            if isinstance(result, FailedShard) or result.record is None:
                raise StoreError(result.message if isinstance(result, FailedShard) else "a shard without images")
            commits.append(result.record)
            tally.settle(result.num_images, rejected=0)
        times = tally.times()
    if times is None:
        raise StoreError("the stream told of no batch; run the part fed again")
    return FedRun(str(workers), times, commits)


def decoded_pictures(unit: Unit, archive_url: str, pixels: PixelSpec) -> LoadedShard:  # noqa: ARG001 (as load_shard)
    """In the place of `load_shard`: pictures of noise, made once in a process, with the facts of a real file."""
    facts, seen = _pictures(unit.rows.num_rows, pixels)
    names = zip(unit.rows["image_id"].to_pylist(), unit.rows["path"].to_pylist(), strict=True)
    members = [{"image_id": image_id, "path": path} | facts for image_id, path in names]
    return LoadedShard(unit, members, seen, seconds={"load": 0.0, "decode": 0.0})


@lru_cache(maxsize=2)
def _pictures(count: int, pixels: PixelSpec) -> tuple[dict[str, Any], list[np.ndarray]]:
    if pixels.width_height is None:
        raise StoreError("pictures of one size are wanted")
    seen = list(noise(count, pixels.width_height[0]))
    return read_micrograph(encoded(seen[0], "png"), pixels).facts, seen


def make_units(images: int, shard: int) -> list[Unit]:
    """Shards of images that are in no archive."""
    import pyarrow as pa

    from schemas import SNAPSHOT

    units = []
    for first in range(0, images, shard):
        numbers = range(first, min(first + shard, images))
        rows = [{"image_id": f"{number:032x}", "path": f"{number}.png"} for number in numbers]
        units.append(Unit(f"{first:032x}", pa.Table.from_pylist(rows, schema=SNAPSHOT), PAIRS))
    return units
