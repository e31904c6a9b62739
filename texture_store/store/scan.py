"""Columns of many committed files, read by threads, row group by row group, and put where they belong."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from texture_store.errors import SchemaMismatchError
from texture_store.objects import Storage
from texture_store.store.catalog import CommittedFile
from texture_store.store.object_file import CHANGED, open_parquet

Rows = npt.NDArray[np.int64]
Consume = Callable[[Rows, pa.Table], None]

MAX_WORKERS = 16
"""Small files and remote ones wait for storage, not for the processor."""
WORKING_BYTES = 256 << 20
"""What all workers together may hold beside the result."""
GROUP_BYTES = 32 << 20
"""Largest row group that the store writes, decoded."""
WHOLE_FILE_BYTES = 64 << 20
"""Files up to this size are fetched whole when their vectors are wanted; larger ones range by range."""


def scan(
    storage: Storage,
    files: Sequence[CommittedFile],
    columns: Sequence[str],
    consume: Consume,
    *,
    whole: bool,
    complete: bool = True,
) -> None:
    """Call `consume(rows, table)` for every row group, from several threads.

    `rows` (int64) are the places that `CommittedFile.rows` names, `table` has `columns`, its rows match `rows`; rows
    that do not count, and those placed at -1, are left out. `whole` says that most of each file's bytes are wanted.
    Raises SchemaMismatchError when a file lacks a column or, unless `complete` is off, an image that its commit lists.
    """
    files = [file for file in files if (file.rows >= 0).any()]
    if not files:
        return

    def read(file: CommittedFile) -> None:
        found = _scan_file(storage, file, columns, consume, whole=whole and file.num_bytes <= WHOLE_FILE_BYTES)
        if complete and found != len(file.image_ids):
            raise SchemaMismatchError(
                f"{storage.url_of(file.path)}: has {found} of the {len(file.image_ids)} images that its commit lists;"
                f" {CHANGED}"
            )

    with ThreadPoolExecutor(_num_workers(files, whole=whole), thread_name_prefix="texture-store-scan") as pool:
        for _ in pool.map(read, files):
            pass


def _num_workers(files: Sequence[CommittedFile], *, whole: bool) -> int:
    largest = max(file.num_bytes for file in files)
    # A worker holds the file's bytes, and a row group twice: pages that are decoded, and the column made of them.
    held = min(largest, WHOLE_FILE_BYTES) + 2 * min(GROUP_BYTES, 4 * largest) if whole else 1 << 20
    return max(1, min(MAX_WORKERS, len(files), max(WORKING_BYTES // held, _num_processors())))


def _num_processors() -> int:
    # Not all systems can say which ones this process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _scan_file(storage: Storage, file: CommittedFile, columns: Sequence[str], consume: Consume, *, whole: bool) -> int:
    """Returns how many of the file's images were found."""
    url = storage.url_of(file.path)
    found = 0
    with open_parquet(storage, file.path, file.num_bytes, whole=whole) as parquet:
        missing = {"image_id", *columns} - set(parquet.schema_arrow.names)
        if missing:
            raise SchemaMismatchError(f"{url}: has no column {', '.join(sorted(missing))}; {CHANGED}")
        for group in range(parquet.num_row_groups):
            image_ids = parquet.read_row_group(group, columns=["image_id"], use_threads=False).column("image_id")
            where = pc.index_in(image_ids.combine_chunks(), value_set=file.image_ids)
            counts = pc.is_valid(where).to_numpy(zero_copy_only=False)
            found += int(counts.sum())
            rows = np.full(len(counts), -1, np.int64)
            rows[counts] = file.rows[where.drop_null().to_numpy()]
            keep = rows >= 0
            if not keep.any():
                continue
            table = parquet.read_row_group(group, columns=list(columns), use_threads=False)
            consume(rows[keep], table if keep.all() else table.filter(pa.array(keep)))
    return found
