"""Writes an archive of synthetic powders; what is there already is left alone."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from jobs.progress import progress
from texture_store.errors import ObjectExistsError, UsageError
from texture_store.objects import Storage, open_storage
from texture_store.synthetic.collection import PowderFile, labels_csv, powder_collection

LABELS_FILE = "labels.csv"

MAX_PROCESSES = 8
"""More do not pay for a few hundred pictures: a process takes a second to start."""


def make_powder_archive(url: str, *, images_per_class: int, size: int, seed: int = 0) -> int:
    """Write the pictures and labels.csv that are not there yet; the number of pictures that were made.

    The labels come first and are never overwritten, so that one folder never holds two collections mixed. Raises
    UsageError when it holds another one.
    """
    files = powder_collection(images_per_class, seed=seed, size=size)
    storage = open_storage(url)
    _claim(storage, labels_csv(files))
    there = {info.path for info in storage.list()}
    missing = [file for file in files if file.path not in there]
    if not missing:
        return 0
    with progress("draw powders", total=len(missing)) as bar:
        for file, data in zip(missing, _drawn(missing), strict=True):
            with suppress(ObjectExistsError):  # another demo draws the same pictures into the same folder
                storage.create(file.path, data)
            bar.advance()
    return len(missing)


def _claim(storage: Storage, labels: bytes) -> None:
    try:
        storage.create(LABELS_FILE, labels)
    except ObjectExistsError:
        if storage.read(LABELS_FILE) != labels:
            raise UsageError(
                f"{storage.url}: holds powders made with other --images or --seed; remove it or take another --store"
            ) from None


def _drawn(files: Sequence[PowderFile]) -> Iterator[bytes]:
    """The bytes of each file, in their order, drawn on all cores."""
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, len(files))
    if processes <= 1:
        yield from map(PowderFile.tiff, files)
        return
    # Forking is not safe once libraries have threads; a spawned process starts clean.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(PowderFile.tiff, files, chunksize=2)
