"""featurize end to end, as the command that users type: formats, sizes, from disk and from S3, in steady state."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.benchmark_bench import Bench
from jobs.benchmark_network import network_seconds
from jobs.benchmark_pictures import FORMATS, FileFormat, make_archive
from jobs.benchmark_record import Figure
from jobs.benchmark_s3 import s3_prefix, upload
from jobs.progress import say
from jobs.tally import BatchTimes
from texture_store.errors import StoreError, TextureStoreError
from texture_store.spec import Precision
from texture_store.store.commits import CommitRecord, read_commits
from texture_store.store.reader import open_store

DATASET = "benchmark"
MARK = 0.85
"""Steady state against the network alone, PNG and TIFF of the usual size from local disk."""
START_UP_MARK = 15.0
"""s, on two cores."""
NETWORK_ROUNDS = 3
LIMIT_SECONDS = 1800
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Case:
    """What is featurized, and from where."""

    file_format: FileFormat
    size: tuple[int, int]
    """(width, height), px."""
    place: str
    """`disk` or `S3`: of the archive and of the store."""
    images: int
    precision: Precision

    def __str__(self) -> str:
        width, height = self.size
        return f"{self.file_format.upper()} {width}x{height}, {self.place}, {self.precision}"


@dataclass(frozen=True)
class FeaturizeRun:
    """A run of the command."""

    case: Case
    store_url: str
    spec: str
    started: datetime
    seconds: float
    """Of the whole command, from before its process starts."""
    batches: BatchTimes
    commits: list[CommitRecord]
    network_seconds: float
    """Per image, of the network alone, just before and just after."""

    @property
    def start_up(self) -> float:
        """Seconds until the first batch was through the network."""
        return (datetime.fromisoformat(self.batches.first) - self.started).total_seconds()

    @property
    def steady(self) -> float:
        """Seconds per image between the first batch and the last."""
        return self.batches.per_image

    @property
    def steady_until_written(self) -> float:
        """Seconds per image after the first batch, until the last commit: all that is done for an image is in it."""
        return self.batches.per_image_until(commit.created for commit in self.commits)


def measure_featurize(bench: Bench) -> list[Figure]:
    """Each case's rate against the network alone, with and without start-up."""
    figures = []
    for case in cases(bench):
        if case.place == "S3":
            try:
                s3_prefix(bench)
            except TextureStoreError as error:
                bench.left_out.append(f"{case}: {error}")
                continue
        figures += _figures(bench, featurized(bench, case))
    return figures


def cases(bench: Bench) -> list[Case]:
    """Many PNGs of the usual size from disk, and of the other kinds fewer; the whole grid if asked for."""
    amounts, fast = bench.amounts, bench.precisions[0]
    usual, large, many, few = amounts.usual, amounts.large, amounts.many, max(1, amounts.many // 4)
    sizes, places = (usual, large), ("disk", "S3")
    if bench.full:
        return [
            Case(file_format, size, place, many, precision)
            for precision in bench.precisions
            for place in places
            for size in sizes
            for file_format in FORMATS
        ]
    chosen = [Case("png", usual, "disk", many, fast), Case("tiff", usual, "disk", max(1, many // 2), fast)]
    chosen += [Case("jpeg", usual, "disk", few, fast)]
    chosen += [Case(file_format, large, "disk", few, fast) for file_format in FORMATS]
    return [*chosen, Case("png", usual, "S3", few, fast)]


def featurized(bench: Bench, case: Case) -> FeaturizeRun:
    """The run of this case; made once."""
    return bench.once(("featurize", case), lambda: _featurize(bench, case))


def run_featurize(
    bench: Bench, case: Case, store_url: str, watch: Callable[[int], None] | None = None
) -> tuple[dict[str, object], datetime, float]:
    """Run the command in a process of its own: its summary, when it started and how long it took, s.

    `watch` is called with its process id again and again. Raises StoreError when it fails.
    """
    side = bench.amounts.side_px
    # What a user's second run has: the weights are in the local cache, or named.
    weights = ["--weights", bench.weights] if bench.weights else []
    options = ["--size", f"{side}x{side}", "--precision", case.precision, *weights, "--json"]
    command = [sys.executable, "-m", "jobs.cli", "featurize", "--store", store_url, "--dataset", DATASET, *options]
    log = bench.folder / "featurize.log"
    started, clock = datetime.now(UTC), time.monotonic()
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)  # noqa: S603 (our own command)
        try:
            while watch is not None and process.poll() is None:
                watch(process.pid)
                time.sleep(POLL_SECONDS)
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise StoreError(f"featurize of {case} took over {LIMIT_SECONDS} s; choose fewer parts") from None
        finally:
            if process.poll() is None:
                process.terminate()  # on which it ends its Ray
                process.wait()
    seconds = time.monotonic() - clock
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise StoreError(f"featurize of {case} ended with status {process.returncode}: {''.join(last)}")
    summary: dict[str, object] = json.loads(output)
    return summary, started, seconds


def make_store(bench: Bench, case: Case, *, name: str = "") -> str:
    """A fresh store in which the case's images are indexed."""
    from jobs.index import index

    folder = archive_folder(bench, case)
    label = folder.name
    make_archive(folder, case.file_format, case.size, count=case.images, distinct=bench.amounts.distinct)
    unique = f"{name or 'store'}-{label}-{case.precision}-{time.monotonic_ns()}"
    archive, store_url = str(folder), str(bench.folder / "stores" / unique)
    if case.place == "S3":
        prefix = s3_prefix(bench)
        archive, store_url = f"{prefix}/archives/{label}", f"{prefix}/stores/{unique}"
        bench.once(("upload", archive), lambda: upload(folder, archive))
    index(store_url, DATASET, archive, shard_size=bench.amounts.shard)
    return store_url


def _featurize(bench: Bench, case: Case) -> FeaturizeRun:
    store_url = make_store(bench, case)
    say(f"featurize: {case}, {case.images} images")
    alone = network_seconds(bench, case.precision, rounds=NETWORK_ROUNDS)
    summary, started, seconds = run_featurize(bench, case, store_url)
    alone += network_seconds(bench, case.precision, rounds=NETWORK_ROUNDS)
    found = summary["batches"]
    if not isinstance(found, dict) or summary["featurized"] != case.images:
        raise StoreError(f"featurize of {case}: {summary['featurized']} of {case.images} images; see its messages")
    spec = str(summary["spec"])
    commits = read_commits(open_store(store_url).storage, DATASET, spec)
    batches = BatchTimes(**found)
    return FeaturizeRun(case, store_url, spec, started, seconds, batches, commits, statistics.median(alone))


def _figures(bench: Bench, run: FeaturizeRun) -> list[Figure]:
    case = run.case
    is_usual = case.size == bench.amounts.usual and case.place == "disk" and case.precision == bench.precisions[0]
    is_marked = bench.has_marks and is_usual and case.file_format != "jpeg"
    shards = -(-case.images // bench.amounts.shard)
    window = f"{run.batches.images_after_first} images between the first and the last batch, {shards} shards"
    alone = f"network alone {run.network_seconds:.3f} s/image, median of before and after"
    return [
        Figure(
            f"{case}: steady state against the network alone",
            run.network_seconds / run.steady,
            "x",
            f"{window}; {alone}",
            wanted=MARK if is_marked else None,
        ),
        Figure(
            f"{case}: until all is written, likewise",
            run.network_seconds / run.steady_until_written,
            "x",
            "from the first batch to the last commit",
        ),
        Figure(f"{case}: steady state", 1 / run.steady, "images/s", window),
        Figure(
            f"{case}: with start-up", case.images / run.seconds, "images/s", f"{case.images} images, the whole command"
        ),
        Figure(
            f"{case}: start-up",
            run.start_up,
            "s",
            "command to the end of the first batch in the network",
            at_most=START_UP_MARK if is_marked else None,
        ),
    ]


def archive_folder(bench: Bench, case: Case) -> Path:
    """Where a case's pictures lie on disk."""
    label = f"{case.file_format}-{case.size[0]}x{case.size[1]}-{case.images}"
    return bench.folder / "pictures" / label
