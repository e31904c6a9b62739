"""The one seam to storage: open a URL, list, read, and create only if absent.

Archives and stores are both behind it. Every request is tried again as `storage.retries` says, and the errors of
drivers become those of texture_store. S3's endpoint and credentials come from the AWS environment, as s3fs reads them.
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import fsspec

from texture_store.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    TransientStoreError,
    UnsafeStorageError,
    UsageError,
)
from texture_store.storage.connections import connect
from texture_store.storage.driver import Driver, ObjectInfo, OnSkip
from texture_store.storage.error_translation import translate
from texture_store.storage.local_files import LocalFiles
from texture_store.storage.other_objects import OtherObjects
from texture_store.storage.retries import persist
from texture_store.storage.s3_objects import S3Objects

__all__ = ["ObjectInfo", "Storage", "open_parent", "open_storage"]

T = TypeVar("T")


def open_storage(url: str) -> "Storage":
    """The storage at a URL: a path, `file:`, `s3:`, or any protocol that fsspec knows. Nothing is read yet.

    Raises UsageError for credentials in the URL and for a protocol that nobody knows.
    """
    return Storage(url)


def open_parent(url: str) -> tuple["Storage", str]:
    """The storage of a file's folder, and the file's name in it. Raises UsageError as `open_storage` does."""
    whole = open_storage(url)
    _, slash, name = whole.full_path().rpartition("/")
    if not slash or not name:
        raise UsageError(f"{whole.url}: not the URL of a file")
    return open_storage(whole.url[: -len(name)]), name


class Storage:
    """A folder or prefix, and what lies below it. Cheap, and picklable: what it opens, it opens per process.

    Every `path` is relative to `url`, with `/` between its parts, and stays below it.
    """

    def __init__(self, url: str) -> None:
        self.protocol, self._root = _split(url)
        self.url = self._root if self.protocol == "file" else f"{self.protocol}://{self._root}"
        self._driver: Driver
        if self.protocol == "file":
            self._driver = LocalFiles("" if self._root == "/" else self._root)
        elif self.protocol == "s3":
            bucket, _, prefix = self._root.partition("/")
            self._driver = S3Objects(bucket, prefix)
        else:
            self._driver = OtherObjects(self.protocol, self._root)

    def __repr__(self) -> str:
        return f"Storage({self.url!r})"

    def __reduce__(self) -> tuple[type["Storage"], tuple[str]]:
        return Storage, (self.url,)

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem, for pyarrow and DuckDB. It keeps its driver's own retries."""
        return connect(self.protocol, patient=True)

    def full_path(self, path: str = "") -> str:
        """What `filesystem` wants for this path."""
        _check(path)
        return f"{self._root.rstrip('/')}/{path}" if path else self._root

    def url_of(self, path: str = "") -> str:
        """The URL of an object."""
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    def read(self, path: str, *, start: int | None = None, end: int | None = None, version: str | None = None) -> bytes:
        """An object's bytes, or those of start..end (end exclusive); shorter, or none, where the object ends before.

        With `version` (of an ObjectInfo), ObjectChangedError when the object is not that one any more. Raises
        ObjectNotFoundError, StoragePermissionError, and TransientStoreError when the retries are used up.
        """
        _check(path)
        return self._try(path, lambda: self._driver.read(path, start, end, version))

    def create(self, path: str, data: bytes) -> None:
        """Write a new object, at once and whole, only if there is none of this name.

        Raises ObjectExistsError, StorageFullError, StoragePermissionError, UnsafeStorageError where storage cannot do
        that, and TransientStoreError when the retries are used up (the object may then exist).
        """
        _check(path)
        is_doubtful = False

        def attempt(request: Callable[[], T]) -> T:
            def once() -> T:
                nonlocal is_doubtful
                try:
                    return request()
                except Exception as error:
                    ours = translate(error, self.url_of(path))
                    is_doubtful |= isinstance(ours, TransientStoreError)
                    raise ours from error

            return self._try(path, once)

        try:
            self._driver.create(path, data, attempt)
        except (ObjectExistsError, ObjectNotFoundError):
            # After a try whose reply got lost, what exists may be our own.
            if not is_doubtful or not self._holds(path, data):
                raise

    def remove(self, path: str) -> None:
        """Remove an object for ever; one that is gone already is no error. Only `clean` and `set_aside` do this.

        Raises StoragePermissionError, UnsafeStorageError for storage that a store cannot be on, and TransientStoreError
        when the retries are used up.
        """
        _check(path)
        with contextlib.suppress(ObjectNotFoundError):
            self._try(path, lambda: self._driver.remove(path))

    def partials(self) -> Iterator[ObjectInfo]:
        """Files that a killed writer has left half-written; `list` never shows them. Object storage has none."""
        try:
            yield from self._driver.partials()
        except OSError as error:
            raise translate(error, self.url) from error

    def verify_exclusive_create(self, path: str) -> None:
        """Try to create `path`, which exists, once more with its own content: UnsafeStorageError if storage lets that
        through. Some S3 servers accept the condition and ignore it; a store asks this before it is written to.
        """
        data = self.read(path)
        try:
            self._driver.create(path, data, functools.partial(self._try, path))
        except ObjectExistsError:
            return
        raise UnsafeStorageError(
            f"{self.url}: this storage overwrites where it was told to create only if absent, so that concurrent"
            " writers would lose data; use another one"
        )

    def list(self, prefix: str = "", *, on_skip: OnSkip | None = None) -> Iterator[ObjectInfo]:
        """Every object below the folder `prefix`, recursively; none when there is no such folder.

        `on_skip(path, reason)` is told about links that lead back up or nowhere, and what is not a file. A sub-folder
        that may not be read raises StoragePermissionError: its objects must not look as if they were gone.
        """
        _check(prefix)

        def attempt(request: Callable[[], T]) -> T:
            return self._try(prefix, request)

        try:
            yield from self._driver.list(prefix, attempt, on_skip or _ignore)
        except OSError as error:
            raise translate(error, self.url_of(prefix)) from error

    def info(self, path: str) -> ObjectInfo:
        """Size and version of an object. Raises ObjectNotFoundError, also for a folder."""
        _check(path)
        return self._try(path, lambda: self._driver.info(path))

    def exists(self, path: str = "") -> bool:
        """Whether there is an object of this name; for "" whether there is anything at `url`."""
        try:
            if path:
                self.info(path)
                return True
            return self._try("", self._driver.has_any)
        except ObjectNotFoundError:
            return False

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path) == data
        except ObjectNotFoundError:
            return False

    def _try(self, path: str, request: Callable[[], T]) -> T:
        return persist(request, self.url_of(path))


def _ignore(path: str, reason: str) -> None:
    """What a listing leaves out, when nobody asked."""


def _check(path: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "." in parts or "\0" in path:
        raise UsageError(f"{path!r}: a path inside the storage is relative and has no `.` or `..` in it")


def _split(url: str) -> tuple[str, str]:
    """Protocol and root of a URL, normalised; a URL that has credentials in it never gets into a message."""
    if not url or "\0" in url:
        raise UsageError("an empty URL; give a folder or something like s3://bucket/prefix")
    protocol, slashes, rest = url.partition("://")
    if not slashes:
        protocol, rest = ("file", url.removeprefix("file:")) if "::" not in url else ("", url)
    protocol = {"local": "file", "s3a": "s3"}.get(protocol.lower(), protocol.lower())
    if "::" in url or (protocol != "file" and _has_credentials(protocol, rest)):
        what = "chained URLs (with ::)" if "::" in url else "credentials or queries in a URL"
        raise UsageError(
            f"{what} are refused, since URLs are stored and logged; give credentials in the environment"
            " (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)"
        )
    if protocol == "file":
        rest = unquote(rest) if url.lower().startswith("file:///") and "%" in rest else rest
        return "file", os.path.abspath(Path(rest).expanduser())  # noqa: PTH100 resolve() would follow links
    if protocol not in fsspec.available_protocols():
        raise UsageError(f"{protocol}: no storage protocol of this name; use a path, file:// or s3://")
    root = rest.rstrip("/")
    if protocol == "s3" and not re.match(r"[A-Za-z0-9]|arn:", root):
        raise UsageError("an s3 URL needs a bucket: s3://bucket/prefix")
    return protocol, root


def _has_credentials(protocol: str, rest: str) -> bool:
    host = rest.partition("/")[0]
    if protocol == "s3":
        return "?" in rest or "@" in host or (":" in host and not host.startswith("arn:"))
    user, at, _ = host.rpartition("@")
    port = host.rpartition(":")[2]
    return "?" in rest or (bool(at) and ":" in user) or (not at and ":" in host and not port.isdigit())
