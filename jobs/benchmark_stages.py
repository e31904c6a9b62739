"""What each stage takes, where shards wait, and how many cores one accelerator needs for decoding."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from jobs.benchmark_bench import Bench
from jobs.benchmark_featurize import FeaturizeRun, cases, featurized
from jobs.benchmark_network import network_seconds
from jobs.benchmark_pictures import FORMATS, FileFormat, encoded, picture
from jobs.benchmark_record import Figure
from texture_store.store.commits import CommitRecord

LEGS = {
    "load": "reading and all that follows, until the pictures are ready",
    "decode": "of these: decoding, databar, resizing",
    "extract": "network and statistics",
    "tables": "Arrow tables",
    "write": "encoding, writing and committing",
}
DECODED = 8
"""Pictures that are decoded for each format."""


def measure_stages(bench: Bench) -> list[Figure]:
    """Of the runs on disk: seconds per image of each leg, queues, and decoding by itself."""
    figures = []
    for case in cases(bench):
        if case.place == "disk" and case.precision == bench.precisions[0]:
            figures += _legs(featurized(bench, case))
    return figures + _decoding(bench)


def per_image(commits: Sequence[CommitRecord]) -> dict[str, float]:
    """Seconds of each leg, as the commit records have them, for one image."""
    totals: defaultdict[str, float] = defaultdict(float)
    for commit in commits:
        for leg, seconds in commit.seconds.items():
            totals[leg] += seconds
    images = sum(len(commit.members) for commit in commits)
    return {leg: seconds / images for leg, seconds in totals.items()}


def _legs(run: FeaturizeRun) -> list[Figure]:
    case, seconds = run.case, per_image(run.commits)
    taken = [
        Figure(f"{case}: {leg}", seconds[leg], "s/image", f"{what}; {len(run.commits)} commit records")
        for leg, what in LEGS.items()
    ]
    # Little's law: shards in a queue = shards a second x seconds that each waits.
    window = run.seconds - run.start_up
    waiting = [
        Figure(
            f"{case}: shards waiting to be {done}",
            sum(commit.seconds.get(leg, 0.0) for commit in run.commits) / window,
            "shards",
            "mean over the run: seconds that shards waited / seconds from the first batch to the end",
        )
        for leg, done in (("wait_extract", "extracted"), ("wait_write", "written"))
    ]
    busy = sum(commit.seconds["extract"] for commit in run.commits)
    first_to_last = run.batches.seconds + busy / max(1, case.images)  # the first batch itself is before the window
    share = Figure(
        f"{case}: extract stage busy", busy / first_to_last, "x", "seconds in it / from its start to its end"
    )
    return [share, *taken, *waiting]


def _decoding(bench: Bench) -> list[Figure]:
    """By itself, on one core, while nothing else runs here."""
    precision = bench.precisions[0]
    alone = statistics.median(network_seconds(bench, precision, rounds=3))
    taker = "GPU" if bench.device == "cuda" else "network here"
    figures = []
    for size in (bench.amounts.usual, bench.amounts.large):
        for file_format in FORMATS:
            name = f"{file_format.upper()} {size[0]}x{size[1]}"
            times = decode_times(bench, file_format, size)
            whole = times["read"]
            how = f"median of {DECODED} pictures, one core, nothing else running"
            figures.append(
                Figure(
                    f"cores that decode {name} as fast as one {taker} takes it",
                    whole / alone,
                    "x",
                    f"s/image of decoding on one core / of the network alone ({precision}, {alone:.4f} s)",
                )
            )
            figures.append(Figure(f"{name}: bytes to pixels", whole, "s/image", f"read_micrograph; {how}"))
            figures.append(Figure(f"{name}: decode", times["decode"], "s/image", f"of these; {how}"))
            figures.append(Figure(f"{name}: databar", times["databar"], "s/image", f"of these; {how}"))
            figures.append(Figure(f"{name}: resize", times["resize"], "s/image", f"of these; {how}"))
            figures.append(Figure(f"{name}: images a core decodes", 1 / whole, "images/s", how))
    return figures


def decode_times(bench: Bench, file_format: FileFormat, size: tuple[int, int]) -> dict[str, float]:
    """Median seconds of `read`, all from bytes to pixels, and of its steps `decode`, `databar` and `resize`."""
    import numpy as np

    from texture_store.micrograph.databar import find_databar
    from texture_store.micrograph.decode import decode
    from texture_store.micrograph.reading import read_micrograph
    from texture_store.micrograph.resize import resize
    from texture_store.spec import PixelSpec

    side = bench.amounts.side_px
    pixels = PixelSpec(size=f"{side}x{side}")
    seconds: defaultdict[str, list[float]] = defaultdict(list)

    def timed(step: str, run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        made = run(*arguments, **options)
        seconds[step].append(time.perf_counter() - started)
        return made

    for number in range(DECODED):
        data = encoded(picture(number, size), file_format)
        timed("read", read_micrograph, data, pixels)
        grey = timed("decode", decode, data).grey
        timed("databar", find_databar, grey, policy="auto", vendor_rows=None)
        timed("resize", resize, grey.astype(np.float32), side, side, method=pixels.resize)
    return {step: statistics.median(taken) for step, taken in seconds.items()}
