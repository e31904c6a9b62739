"""The record of a benchmark: figures with how they were measured, for people and for programs."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from texture_store.objects import open_storage
from texture_store.report.three_digits import three_digits

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
    at_most: float | None = None
    """Likewise, for what should be small."""

    @property
    def is_missed(self) -> bool:
        """Whether the mark was not reached."""
        too_small = self.wanted is not None and self.value < self.wanted
        return too_small or (self.at_most is not None and self.value > self.at_most)

    @property
    def mark(self) -> str:
        """What was wanted, such as `1.7 x, missed`; `-` without a mark."""
        if self.wanted is None and self.at_most is None:
            return "-"
        bound = f"{self.wanted:g}" if self.wanted is not None else f"at most {self.at_most:g}"
        return f"{bound} {self.unit}{', missed' * self.is_missed}"


@dataclass(frozen=True)
class Record:
    """A run of the benchmark."""

    made: str
    """ISO 8601, UTC."""
    machine: dict[str, str]
    versions: dict[str, str]
    parts: dict[str, list[Figure]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """By part: what was not measured, and why."""
    failed: dict[str, str] = field(default_factory=dict)
    """By part: why it could not be measured."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By part: how long measuring took."""

    @property
    def stem(self) -> str:
        """Name of its files."""
        return f"benchmark-{self.made.replace(':', '').replace('+0000', 'Z')}"


def new_record() -> Record:
    """Of this machine and moment, without a figure yet."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(now, _machine(), {name: version(name) for name in _LIBRARIES})


def as_markdown(record: Record) -> str:
    """A record for people: ratios first, then the figures that they are made of."""
    lines = [f"# Benchmark of {record.made[:10]}", ""]
    lines += [f"- {name}: {value}" for name, value in record.machine.items()]
    lines += [f"- versions: {', '.join(f'{name} {number}' for name, number in record.versions.items())}", ""]
    for part, figures in record.parts.items():
        lines += [f"## {part}", "", *_table(figures), ""]
        lines += [f"- not measured: {reason}" for reason in record.left_out.get(part, [])]
        lines += [""] * (part in record.left_out)
    for part, reason in record.failed.items():
        lines += [f"## {part}", "", f"Failed: {reason}", ""]
    return "\n".join(lines)


def write_record(record: Record, output: str) -> list[str]:
    """The URLs of its two files under `output`."""
    target = open_storage(output)
    contents = {f"{record.stem}.md": as_markdown(record), f"{record.stem}.json": json.dumps(asdict(record), indent=1)}
    for name, text in contents.items():
        target.create(name, text.encode())
    _unfinished(record, output).unlink(missing_ok=True)
    return [target.url_of(name) for name in contents]


def keep_unfinished(record: Record, output: str | None) -> None:
    """What is there so far, in a file that the finished record replaces; only where `output` is a folder."""
    if output is None or open_storage(output).protocol != "file":
        return
    file = _unfinished(record, output)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_markdown(record))


def _unfinished(record: Record, output: str) -> Path:
    return Path(open_storage(output).full_path()) / f"{record.stem}.unfinished.md"


def _table(figures: Sequence[Figure]) -> list[str]:
    lines = ["| what | measured | wanted | how |", "| --- | --- | --- | --- |"]
    ratios_first = sorted(figures, key=lambda figure: figure.unit != "x")
    return lines + [
        f"| {one.name} | {three_digits(one.value)} {one.unit} | {one.mark} | {one.how} |" for one in ratios_first
    ]


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    described = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }
    return described | _gpus()


def _processor() -> str:
    import torch

    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine())


def _gpus() -> dict[str, str]:
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"GPUs": f"{', '.join(names)}; CUDA {torch.version.cuda}"} if names else {}
