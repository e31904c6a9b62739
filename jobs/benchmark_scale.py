"""How index, planning, resume, commit, checkpoint and opening a store grow with the number of images."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from jobs.benchmark import Figure
from jobs.benchmark_scale_steps import STEPS, Measured, run_step
from jobs.progress import say
from texture_store.errors import UsageError

SIZES = (10_000, 100_000)
"""A million takes some minutes more."""

MIN_SIZES = 2
MIN_IMAGES = 1000
"""Some shards have to be left out by a run that is killed."""

MAX_SECONDS = 60.0
MAX_BYTES = 2e9
MARKED_IMAGES = 1_000_000
"""No step may take more than that for so many images."""

SHOWN = {
    "index": ("index", "a listing with size, etag and labels, into an empty store"),
    "index again": ("index, again", "nothing changed"),
    "plan": ("plan of everything", "featurize before the first commit"),
    "commit": ("commit", "the records of all shards, 8 at a time"),
    "resume": ("plan after a kill", "nine shards of ten committed, no checkpoint yet"),
    "checkpoint": ("end of a run", "coverage, balance and checkpoint, with the plan of everything still held"),
    "plan again": ("plan, nothing to do", "from the checkpoint"),
    "status": ("open and status", "of 18 feature sets, from the checkpoint"),
    "features": ("open and choose features", "rows and files of one feature set; no file of it is opened"),
}
"""Step -> its name for people, and what it does."""

PARTS_OF = {"commit": ("commit", "commit the rest")}
"""Steps that are shown as one."""


def sizes_of(text: str | None) -> tuple[int, ...]:
    """Numbers of images, rising, of a comma-separated list (None: SIZES). Raises UsageError."""
    if text is None:
        return SIZES
    numbers = [part.strip() for part in text.split(",")]
    sizes = tuple(sorted({int(number) for number in numbers if number.isdecimal()}))
    if not all(map(str.isdecimal, numbers)) or len(sizes) < MIN_SIZES or sizes[0] < MIN_IMAGES:
        raise UsageError(
            f"--sizes {text}: give two or more numbers of images, {MIN_IMAGES:,} at least, separated by commas"
        )
    return sizes


def measure_scale(folder: Path, sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Seconds and peak memory of each step at each size (two or more, rising): their growth, and how far they are from
    60 s and 2 GB at a million images.
    """
    measured: dict[int, dict[str, Measured]] = {}
    for size in sizes:
        measured[size] = {}
        for name in STEPS:
            say(f"scale: {name}, {size:,} images")
            measured[size][name] = run_step(name, folder / str(size), size)
        shutil.rmtree(folder / str(size))
    figures = []
    for name, (title, what) in SHOWN.items():
        parts = PARTS_OF.get(name, (name,))
        seconds = {size: sum(steps[part].seconds for part in parts) for size, steps in measured.items()}
        processor = {size: sum(steps[part].cpu_seconds for part in parts) for size, steps in measured.items()}
        peaks = {size: float(max(steps[part].peak_bytes for part in parts)) for size, steps in measured.items()}
        figures += figures_of(title, what, seconds, processor, peaks)
    return figures


def figures_of(
    title: str, what: str, seconds: dict[int, float], processor: dict[int, float], peaks: dict[int, float]
) -> list[Figure]:
    """What is said about a step: seconds, processor seconds of its whole process, and bytes, by number of images."""
    images = ", ".join(f"{size:,}" for size in seconds)
    times = f"{_each(seconds)} s for {images} images, the processor {_each(processor)} s with start-up: {what}"
    memory = f"{', '.join(f'{one / 1e6:.0f}' for one in peaks.values())} MB for {images} images, all of the process"
    return [
        Figure(
            f"{title}: {MAX_SECONDS:g} s against {MARKED_IMAGES:,} images",
            MAX_SECONDS / _at_mark(seconds),
            "x",
            _how_far(seconds),
            wanted=1,
        ),
        Figure(
            f"{title}: {MAX_BYTES / 1e9:g} GB against {MARKED_IMAGES:,} images",
            MAX_BYTES / _at_mark(peaks),
            "x",
            _how_far(peaks),
            wanted=1,
        ),
        Figure(f"{title}: time", _slope(seconds) * 1e6, "us an image", times),
        Figure(f"{title}: peak memory", _slope(peaks) / 1e3, "kB an image", memory),
    ]


def _slope(points: dict[int, float]) -> float:
    """Of the line through the two largest sizes; what a process needs without any image is not in it."""
    (size, value), (larger, more) = list(points.items())[-2:]
    return (more - value) / (larger - size)


def _at_mark(points: dict[int, float]) -> float:
    """The value at MARKED_IMAGES: measured, or on the line through the two largest sizes."""
    largest, value = list(points.items())[-1]
    # At small sizes chance can make the larger one cheaper; it does not get cheaper from there on.
    return points.get(MARKED_IMAGES, value + max(0.0, _slope(points)) * (MARKED_IMAGES - largest))


def _each(seconds: dict[int, float]) -> str:
    return ", ".join(f"{one:.3g}" for one in seconds.values())


def _how_far(points: dict[int, float]) -> str:
    if MARKED_IMAGES in points:
        return "measured"
    return f"on the line through {' and '.join(f'{size:,}' for size in list(points)[-2:])}"
