"""What any other fsspec driver offers, for archives."""

import errno
import functools
from collections.abc import Iterator
from typing import Any

from texture_store.errors import ObjectChangedError, UnsafeStorageError
from texture_store.storage.connections import connect
from texture_store.storage.driver import Attempt, ObjectInfo, OnSkip, nanoseconds


class OtherObjects:
    """Any other fsspec driver: read and list only, since nothing is known about its exclusive create."""

    def __init__(self, protocol: str, root: str) -> None:
        self.protocol = protocol
        self.root = root

    def _full(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def read(self, path: str, start: int | None, end: int | None, version: str | None) -> bytes:
        """Check the version, then read: other drivers do not offer both in one request."""
        if version is not None and self.info(path).version != version:
            raise ObjectChangedError(f"{self.protocol}://{self._full(path)}: changed since it was listed")
        data: bytes = connect(self.protocol, patient=False).cat_file(self._full(path), start=start, end=end)
        return data

    def create(self, path: str, data: bytes, attempt: Attempt[Any]) -> None:  # noqa: ARG002
        """Refused."""
        raise UnsafeStorageError(
            f"{self.protocol}: storage of this kind is not known to create a file only if it is absent; it can hold an"
            " archive, but a store needs a local folder or S3"
        )

    def info(self, path: str) -> ObjectInfo:
        """Size and version."""
        found = connect(self.protocol, patient=False).info(self._full(path))
        if found["type"] != "file":
            raise FileNotFoundError(errno.ENOENT, "not a file", path)
        return self._info(path, found)

    def has_any(self) -> bool:
        """Whether the root is there."""
        return bool(connect(self.protocol, patient=False).exists(self.root))

    def remove(self, path: str) -> None:
        """Refused."""
        raise UnsafeStorageError(
            f"{self.protocol}: a store cannot be on storage of this kind, so {path} is not removed"
        )

    def partials(self) -> Iterator[ObjectInfo]:
        """None is written."""
        return iter(())

    def list(self, prefix: str, attempt: Attempt[Any], on_skip: OnSkip) -> Iterator[ObjectInfo]:  # noqa: ARG002
        """Files below `prefix`."""
        driver = connect(self.protocol, patient=False)
        root = str(driver._strip_protocol(self.root)).rstrip("/") + "/"
        for name, found in attempt(functools.partial(driver.find, self._full(prefix), detail=True)).items():
            if str(name).startswith(root):
                yield self._info(str(name)[len(root) :], found)

    @staticmethod
    def _info(path: str, found: dict[str, Any]) -> ObjectInfo:
        etag = next((str(found[key]).strip('"') for key in ("etag", "ETag", "md5Hash") if found.get(key)), None)
        moments = (found.get(key) for key in ("mtime", "LastModified", "last_modified", "updated", "created"))
        return ObjectInfo(path, int(found["size"] or 0), etag, next(filter(None, map(nanoseconds, moments)), None))
