"""Micrographs for a benchmark: synthetic powders with noise, in the formats that instruments write."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from jobs.progress import progress

FileFormat = Literal["png", "tiff", "jpeg"]
FORMATS: tuple[FileFormat, ...] = ("png", "tiff", "jpeg")

JPEG_QUALITY = 92
"""As instruments set it."""
NUM_POWDERS = 2
MARGIN_PX = 32
"""Room for windows at other places of a powder."""


def make_archive(folder: Path, file_format: FileFormat, size: tuple[int, int], *, count: int, distinct: int) -> Path:
    """`count` files of (width, height) px, of which `distinct` differ and the others are hard links; no databars.

    The same pictures in every format. What is there already is left alone.
    """
    if folder.is_dir():
        return folder
    made = folder.with_name(f".{folder.name}")
    made.mkdir(parents=True, exist_ok=True)
    distinct = min(distinct, count)
    with progress(f"draw {file_format} {size[0]}x{size[1]}", total=distinct) as bar:
        for number, data in enumerate(_drawn(file_format, size, distinct)):
            (made / _name(number, file_format)).write_bytes(data)
            bar.advance()
    for number in range(distinct, count):
        target = made / _name(number, file_format)
        target.unlink(missing_ok=True)
        os.link(made / _name(number % distinct, file_format), target)
    return made.rename(folder)


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 (height, width): a window of a powder, flipped and brightened in its own way, with noise of its own."""
    width, height = size
    rng = np.random.default_rng([number, *size])
    powder = _powder(number % NUM_POWDERS, max(size) + MARGIN_PX)
    top, left = (int(rng.integers(0, powder.shape[axis] - side + 1)) for axis, side in enumerate((height, width)))
    window = powder[top : top + height, left : left + width][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    noisy = window * rng.uniform(0.9, 1.05) + rng.standard_normal(window.shape, dtype=np.float32) * 2
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, file_format: FileFormat) -> bytes:
    """The bytes of a file: PNG and TIFF (uncompressed, as instruments write it) without loss, JPEG with a little."""
    from PIL import Image

    file = io.BytesIO()
    options = {"quality": JPEG_QUALITY} if file_format == "jpeg" else {}
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


_powders: dict[tuple[int, int], np.ndarray] = {}


def _powder(seed: int, side: int) -> np.ndarray:
    from texture_store.synthetic import DISTRIBUTIONS, powder

    if (seed, side) not in _powders:
        _powders[seed, side] = powder(DISTRIBUTIONS[seed % len(DISTRIBUTIONS)], seed=seed, size=side).pixels
    return _powders[seed, side]


def _drawn(file_format: FileFormat, size: tuple[int, int], count: int) -> Iterator[bytes]:
    processes = min(os.cpu_count() or 1, NUM_POWDERS, count)
    if max(size) < 256 or processes == 1:  # sooner drawn than a process is started
        yield from (_draw((number, file_format, size)) for number in range(count))
        return
    # Forking is not safe once libraries have threads; a spawned process starts clean.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, [(number, file_format, size) for number in range(count)])


def _draw(job: tuple[int, FileFormat, tuple[int, int]]) -> bytes:
    number, file_format, size = job
    return encoded(picture(number, size), file_format)


def _name(number: int, file_format: FileFormat) -> str:
    return f"image{number:05}.{ {'png': 'png', 'tiff': 'tif', 'jpeg': 'jpg'}[file_format] }"
