"""benchmark: how fast this machine does what the jobs do, as ratios that were measured in one run."""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from jobs.options import JobCommand, json_option, list_of, printable
from jobs.progress import say
from texture_store.objects import open_storage

JOB = "benchmark"

PARTS = ("evaluate", "scale")

_LIBRARIES = ("texture-store", "numpy", "scikit-learn", "scipy", "torch", "ray", "pyarrow")


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    """`x` for a ratio."""
    how: str
    """What was divided by what, or how it was measured."""
    wanted: float | None = None
    """At least this, where the project has set itself a mark."""

    @property
    def is_missed(self) -> bool:
        """Whether the mark was not reached."""
        return self.wanted is not None and self.value < self.wanted


@dataclass(frozen=True)
class Record:
    """A run of the benchmark."""

    made: str
    """ISO 8601, UTC."""
    machine: dict[str, str]
    versions: dict[str, str]
    parts: dict[str, list[Figure]] = field(default_factory=dict)


def benchmark(parts: tuple[str, ...], folder: Path, *, weights: str | None = None, sizes: str | None = None) -> Record:
    """Measure the parts one after the other; `folder` is for their archives and stores, and may be thrown away."""
    from jobs.benchmark_evaluate import measure_evaluate
    from jobs.benchmark_scale import measure_scale, sizes_of

    images = sizes_of(sizes)
    measures: dict[str, Callable[[Path, str | None], list[Figure]]] = {
        "evaluate": measure_evaluate,
        "scale": lambda folder, _: measure_scale(folder, images),
    }
    measured = {}
    for number, part in enumerate(parts, start=1):
        say(f"{number}/{len(parts)} {part}")
        measured[part] = measures[part](folder / part, weights)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(now, _machine(), {name: version(name) for name in _LIBRARIES}, measured)


def as_markdown(record: Record) -> str:
    """A record for people: ratios first, then the figures that they are made of."""
    lines = [f"# Benchmark of {record.made[:10]}", ""]
    lines += [f"- {name}: {value}" for name, value in record.machine.items()]
    lines += [f"- versions: {', '.join(f'{name} {number}' for name, number in record.versions.items())}", ""]
    for part, figures in record.parts.items():
        lines += [f"## {part}", "", "| what | measured | wanted | how |", "| --- | --- | --- | --- |"]
        for one in sorted(figures, key=lambda figure: figure.unit != "x"):
            wanted = "-" if one.wanted is None else f"{one.wanted:g} {one.unit}{', missed' * one.is_missed}"
            lines.append(f"| {one.name} | {one.value:.3g} {one.unit} | {wanted} | {one.how} |")
        lines.append("")
    return "\n".join(lines)


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def _processor() -> str:
    import torch

    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine())


def _write(record: Record, output: str) -> list[str]:
    target = open_storage(output)
    stem = f"benchmark-{record.made.replace(':', '').replace('+0000', 'Z')}"
    contents: Mapping[str, str] = {
        f"{stem}.md": as_markdown(record),
        f"{stem}.json": json.dumps(asdict(record), indent=1),
    }
    for name, text in contents.items():
        target.create(name, text.encode())
    return [target.url_of(name) for name in contents]


@click.command(JOB, cls=JobCommand, epilog="Example: texture-store benchmark --output ./benchmarks")
@click.option(
    "--parts", default=",".join(PARTS), show_default=True, metavar="LIST", help="What to measure, in this order."
)
@click.option("--output", default=None, metavar="DIR", help="Write the record here, as Markdown and JSON.")
@click.option("--weights", default=None, metavar="FILE|URL", help="Weights of VGG16; else fetched as featurize does.")
@click.option("--sizes", default=None, metavar="LIST", help="Images, for scale.  [default: 10000,100000]")
@json_option
def command(*, parts: str, output: str | None, weights: str | None, sizes: str | None, as_json: bool) -> None:
    """Measure this machine: ratios of one run, and what they are made of. Takes a few minutes; let it have the machine.

    evaluate: the grid of mean and max over all layers of 600 small powders, on all cores against one.
    scale: index, planning, resume, commit, checkpoint and opening a store, from listings without pictures.
    """
    chosen = list_of(parts, PARTS, "--parts")
    with tempfile.TemporaryDirectory(prefix="texture-store-benchmark-") as folder:
        record = benchmark(chosen, Path(folder), weights=weights, sizes=sizes)
    files = [] if output is None else _write(record, output)
    if as_json:
        made: dict[str, Any] = asdict(record) | {"files": files}
        click.echo(json.dumps(made))
        return
    click.echo(as_markdown(record))
    for url in files:
        click.echo(printable(url))


if __name__ == "__main__":
    command()
