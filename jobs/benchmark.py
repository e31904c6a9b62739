"""benchmark: how fast this machine does what the jobs do, as ratios that were measured in one run."""

import json
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from jobs.benchmark_bench import Bench, usual_amounts
from jobs.benchmark_record import Figure, Record, as_markdown, keep_unfinished, new_record, write_record
from jobs.commands import JobCommand
from jobs.options import EXIT_FAILED, json_option, list_of, printable
from jobs.progress import duration, say
from texture_store.errors import TextureStoreError

__all__ = ["Figure", "Record", "as_markdown", "benchmark", "command"]

JOB = "benchmark"

PARTS = ("limit", "network", "fed", "featurize", "peers", "stages", "bytes", "reading", "memory", "evaluate", "scale")

Measure = Callable[[Bench], list[Figure]]


def benchmark(parts: Iterable[str], bench: Bench, *, output: str | None = None) -> Record:
    """Measure the parts one after the other.

    What is measured is kept: a part that fails is noted with its reason, and does not stop the others. With `output`,
    a folder, the record so far lies there after each part.
    """
    measures = _measures()
    record = new_record()
    chosen = list(parts)
    for number, part in enumerate(chosen, start=1):
        say(f"{number}/{len(chosen)} {part}")
        started = time.monotonic()
        bench.left_out = []
        try:
            record.parts[part] = measures[part](bench)
        except Exception as error:
            if "--debug" in sys.argv:
                say(traceback.format_exc())
            reason = " ".join(str(error).split()) or "no message"
            record.failed[part] = (
                reason if isinstance(error, TextureStoreError) else f"{type(error).__name__}: {reason}"
            )
            say(f"{part} failed: {record.failed[part]}")
        if bench.left_out:
            record.left_out[part] = bench.left_out
        record.seconds[part] = round(time.monotonic() - started, 1)
        say(f"{number}/{len(chosen)} {part}: {duration(record.seconds[part])}")
        keep_unfinished(record, output)
    return record


def _measures() -> dict[str, Measure]:
    from jobs.benchmark_bytes import measure_bytes
    from jobs.benchmark_evaluate import measure_evaluate
    from jobs.benchmark_featurize import measure_featurize
    from jobs.benchmark_fed import measure_fed
    from jobs.benchmark_limit import measure_limit
    from jobs.benchmark_memory import measure_memory
    from jobs.benchmark_network import measure_network
    from jobs.benchmark_peers import measure_peers
    from jobs.benchmark_reading import measure_reading
    from jobs.benchmark_scale import measure_scale, sizes_of
    from jobs.benchmark_stages import measure_stages

    return {
        "limit": measure_limit,
        "network": measure_network,
        "fed": measure_fed,
        "featurize": measure_featurize,
        "peers": measure_peers,
        "stages": measure_stages,
        "bytes": measure_bytes,
        "reading": measure_reading,
        "memory": measure_memory,
        "evaluate": lambda bench: measure_evaluate(bench.folder / "evaluate", bench.weights),
        "scale": lambda bench: measure_scale(bench.folder / "scale", sizes_of(bench.sizes)),
    }


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """SIGTERM ends what was started, and removes gigabytes of temporary files, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.command(
    JOB, cls=JobCommand, epilog="Example: texture-store benchmark --parts limit,network --output ./benchmarks"
)
@click.option(
    "--parts", default=",".join(PARTS), show_default=True, metavar="LIST", help="What to measure, in this order."
)
@click.option("--full", is_flag=True, help="featurize: every format, size, place and precision; takes an hour.")
@click.option(
    "--s3",
    default=None,
    metavar="URL",
    help="Prefix on an S3 server to work in, such as s3://bucket/benchmark; else SeaweedFS is started here.",
)
@click.option("--output", default=None, metavar="DIR", help="Write the record here, as Markdown and JSON.")
@click.option("--weights", default=None, metavar="FILE|URL", help="Weights of VGG16; else fetched as featurize does.")
@click.option("--sizes", default=None, metavar="LIST", help="Images, for scale.  [default: 10000,100000]")
@json_option
def command(
    *,
    parts: str,
    full: bool,
    s3: str | None,
    output: str | None,
    weights: str | None,
    sizes: str | None,
    as_json: bool,
) -> None:
    """Measure this machine: ratios of one run, and what they are made of. Let it have the machine.

    \b
    limit      how fast matrices are multiplied in each precision
    network    VGG16 alone against that, and with all statistics
    fed        decoded pictures through extract and write
    featurize  end to end: PNG, TIFF, JPEG, two sizes, from disk and S3
    peers      against a plain PyTorch script and Ray Data's recipe
    stages     what each stage takes, queues, cores for decoding
    bytes      of each encoder and layer, against full float32
    reading    a matrix of features into numpy
    memory     at its peak, of all processes
    evaluate   the grid of mean and max on all cores against one
    scale      index, planning, resume, commit, checkpoint, opening a store
    """
    from jobs.benchmark_scale import sizes_of

    chosen = list_of(parts, PARTS, "--parts")
    sizes_of(sizes)  # a mistake is told before anything is measured
    with ExitStack() as stack:
        stack.enter_context(_tidy_when_terminated())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="texture-store-benchmark-")))
        bench = Bench(folder, weights=weights, full=full, s3=s3, sizes=sizes, stack=stack, amounts=usual_amounts())
        record = benchmark(chosen, bench, output=output)
    files = [] if output is None else write_record(record, output)
    if as_json:
        made: dict[str, Any] = asdict(record) | {"files": files}
        click.echo(json.dumps(made))
    else:
        click.echo(as_markdown(record))
        for url in files:
            click.echo(printable(url))
    if record.failed:
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    command()
