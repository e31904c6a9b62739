"""An object as a Python file that fetches the ranges it is asked for, through Storage and so with its retries."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from texture_store.errors import SchemaMismatchError, TextureStoreError
from texture_store.objects import Storage

WHOLE_BYTES = 1 << 20
"""Objects up to this size are fetched with one request: a second one costs more than the bytes."""
TAIL_BYTES = 64 << 10
"""The end of a Parquet file, with the footer, is fetched as one piece: readers ask for it in two or three."""


CHANGED = "it was damaged or changed after it was committed: restore it from a copy"
"""What to do about a file that is not what its commit says: nothing in the store is ever written twice."""


class ObjectFile(io.RawIOBase):
    """Read-only; `num_bytes` is known from the commit record, so that opening asks storage for nothing."""

    def __init__(self, storage: Storage, path: str, num_bytes: int) -> None:
        super().__init__()
        self._storage = storage
        self._path = path
        self._num_bytes = num_bytes
        self._position = 0
        self._kept_from = 0 if num_bytes <= WHOLE_BYTES else num_bytes - TAIL_BYTES
        self._kept: bytes | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Offset in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Asks storage for nothing."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes from here on; all that is left for -1 or None."""
        end = self._num_bytes if size is None or size < 0 else min(self._position + size, self._num_bytes)
        start, self._position = self._position, max(end, self._position)
        if end <= start:
            return b""
        if start < self._kept_from:
            return self._storage.read(self._path, start=start, end=end)
        if self._kept is None:
            self._kept = self._storage.read(self._path, start=self._kept_from, end=self._num_bytes)
        return self._kept[start - self._kept_from : end - self._kept_from]

    def readall(self) -> bytes:
        """The rest."""
        return self.read()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as the object goes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_parquet(storage: Storage, path: str, num_bytes: int, *, whole: bool) -> Iterator[pq.ParquetFile]:
    """A Parquet file of the store; `whole` fetches it with one request, for readers that want most of it.

    Raises SchemaMismatchError when it is not Parquet, and the errors of Storage.read.
    """
    try:
        source = pa.BufferReader(storage.read(path)) if whole else ObjectFile(storage, path, num_bytes)
        with pq.ParquetFile(source) as file:
            yield file
    except TextureStoreError:
        raise
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SchemaMismatchError(
            f"{storage.url_of(path)}: not a readable Parquet file ({reason}); {CHANGED}"
        ) from error
