"""The committed files of a store as a filesystem for DuckDB, which else asks storage about each file before reading it.

For a list of files DuckDB 2.0 has a registered filesystem `glob` every one of them, at every query, and give size and
time of those it opens: on S3 some four requests a file. Here that is known from the commit records; only bytes are
fetched.
"""

from datetime import UTC, datetime
from typing import Any

from fsspec.spec import AbstractFileSystem

from texture_store.errors import ObjectNotFoundError
from texture_store.objects import Storage
from texture_store.store.object_file import ObjectFile

PROTOCOL = "committed"


class CommittedFiles(AbstractFileSystem):  # type: ignore[misc]
    """Read-only; paths are those of the store. A committed file never changes, so its time does not matter."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, storage: Storage, sizes: dict[str, int]) -> None:
        super().__init__()
        self._storage = storage
        self._sizes = sizes

    def add(self, path: str, num_bytes: int) -> str:
        """Make a file known; returns its URL here."""
        self._sizes[path] = num_bytes
        return f"{PROTOCOL}://{path}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type."""
        path = self._strip_protocol(path)
        if path not in self._sizes:
            raise ObjectNotFoundError(f"{path}: not a committed file of this store")
        return {"name": path, "size": self._sizes[path], "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself: names of the store have no wildcards."""
        path = self._strip_protocol(path)
        return [path] if path in self._sizes else []

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is a committed file."""
        return self._strip_protocol(path) in self._sizes

    def modified(self, path: str) -> datetime:  # noqa: ARG002
        """The same for all."""
        return datetime.fromtimestamp(0, UTC)

    def open(self, path: str, mode: str = "rb", **_: Any) -> ObjectFile:
        """For reading only."""
        if mode != "rb":
            raise PermissionError(f"{path}: committed files are never written to")
        info = self.info(path)
        return ObjectFile(self._storage, info["name"], info["size"])
