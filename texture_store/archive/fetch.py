"""The bytes of a shard's images, in order, several requests in flight."""

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from texture_store.errors import ChangedSinceIndexError, CorpusError, ObjectChangedError, ObjectNotFoundError
from texture_store.log_context import about
from texture_store.objects import Storage, open_storage

IN_FLIGHT = 8
"""Images that are read ahead: enough to hide a round trip of 30 ms, and memory for eight images."""


@dataclass(frozen=True)
class Fetched:
    """One image of a shard: its bytes, or why they are not the indexed ones."""

    index: int
    """Row in the shard."""
    data: bytes | None
    sidecar: bytes | None
    """Bytes of the metadata file beside it, where there is one."""
    problem: ChangedSinceIndexError | None


def fetch(rows: pa.Table, archive_url: str) -> Iterator[Fetched]:
    """The images of `rows` (of a snapshot's table), in order.

    Each is read in the version that was indexed. Raises CorpusError for a uri that does not lie under `archive_url`,
    and the errors of storage, which fail the whole shard.
    """
    storage = open_storage(archive_url)
    columns = ["path", "uri", "offset", "size", "object_version", "sidecar"]
    pending: deque[Future[Fetched]] = deque()
    images = iter(enumerate(rows.select(columns).to_pylist()))
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        try:
            for index, row in images:
                pending.append(threads.submit(copy_context().run, _fetch_one, storage, index, row))
                if len(pending) == IN_FLIGHT:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _fetch_one(storage: Storage, index: int, row: dict[str, Any]) -> Fetched:
    with about(image=row["path"]):
        return _fetch(storage, index, row)


def _fetch(storage: Storage, index: int, row: dict[str, Any]) -> Fetched:
    path = path_in(storage, row["uri"])
    start, size, version = row["offset"], row["size"], row["object_version"]
    try:
        data = storage.read(path, start=start, end=None if start is None else start + size, version=version)
        if len(data) != size:
            raise ObjectChangedError(f"{row['uri']}: {len(data):,} bytes instead of {size:,}")
        sidecar = _fetch_sidecar(storage, path, row["sidecar"], version) if row["sidecar"] else None
    except (ObjectChangedError, ObjectNotFoundError) as error:
        gone = isinstance(error, ObjectNotFoundError)
        return Fetched(
            index,
            None,
            None,
            ChangedSinceIndexError(
                f"{row['path']}: {'gone' if gone else 'changed'} since it was indexed; run index again"
            ),
        )
    return Fetched(index, data, sidecar, None)


def _fetch_sidecar(storage: Storage, path: str, sidecar: str, version: str) -> bytes:
    where, _, what = sidecar.rpartition("@")
    member = re.fullmatch(r"([0-9]+)\+([0-9]+)", what)
    if member is None:
        return storage.read(path_in(storage, where), version=what)
    start, size = int(member[1]), int(member[2])
    return storage.read(path, start=start, end=start + size, version=version)


def path_in(storage: Storage, uri: str) -> str:
    """The path of `uri` in `storage`. Raises CorpusError when it lies elsewhere."""
    root = storage.url.rstrip("/") + "/"
    path = uri.removeprefix(root)
    if not uri.startswith(root) or ".." in path.split("/"):
        raise CorpusError(f"{uri}: does not lie in the archive {storage.url}; run index again")
    return path
