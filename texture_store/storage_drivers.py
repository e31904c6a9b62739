"""How each kind of storage lists, reads and creates. Only `objects` uses this; errors are translated there.

A driver is cheap and knows its root; what it opens is made per process. Paths are relative to that root.
"""

import contextlib
import errno
import functools
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import fsspec
import fsspec.asyn

from texture_store.errors import MissingExtraError, ObjectChangedError, UnsafeStorageError
from texture_store.s3_requests import asked_for, create_object, one_try, s3_session
from texture_store.storage_errors import http_answer

T = TypeVar("T")
Attempt = Callable[[Callable[[], T]], T]
"""Runs one request, again if need be."""
OnSkip = Callable[[str, str], None]
"""Told the path and the reason of what a listing leaves out."""

PARTIAL_SUFFIX = ".partial"
CONNECT_SECONDS, SILENCE_SECONDS = 10, 30
"""A server that takes longer to accept a connection, or to send the next bytes, does not answer. Well under the budget
of a request, so that one lost packet does not use it up."""


class ObjectInfo(NamedTuple):
    """One object as a listing shows it."""

    path: str
    """Relative to the storage's url."""
    size: int
    """Bytes."""
    etag: str | None
    mtime_ns: str | None
    """Last change, ns since 1970, as text."""

    @property
    def version(self) -> str:
        """The etag, or size and mtime: another one means that the content may have changed."""
        return self.etag if self.etag is not None else f"{self.size}-{self.mtime_ns}"


class Driver(Protocol):
    """One kind of storage."""

    def read(self, path: str, start: int | None, end: int | None, version: str | None) -> bytes: ...  # noqa: D102
    def create(self, path: str, data: bytes, attempt: Attempt[Any]) -> None: ...  # noqa: D102
    def info(self, path: str) -> ObjectInfo: ...  # noqa: D102
    def has_any(self) -> bool: ...  # noqa: D102
    def remove(self, path: str) -> None: ...  # noqa: D102
    def partials(self) -> Iterator[ObjectInfo]: ...  # noqa: D102
    def list(self, prefix: str, attempt: Attempt[Any], on_skip: OnSkip) -> Iterator[ObjectInfo]: ...  # noqa: D102


class LocalFiles:
    """Files under a folder."""

    def __init__(self, root: str) -> None:
        self.root = root

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def read(self, path: str, start: int | None, end: int | None, version: str | None) -> bytes:
        """Bytes start..end of a file whose version is `version`."""
        with Path(self._full(path)).open("rb") as file:
            if version is not None and _local_info(path, os.fstat(file.fileno())).version != version:
                raise ObjectChangedError(f"{self._full(path)}: changed since it was listed")
            if start:
                file.seek(start)
            return file.read() if end is None else file.read(max(0, end - (start or 0)))

    def create(self, path: str, data: bytes, attempt: Attempt[Any]) -> None:
        """Write aside, then link."""
        attempt(functools.partial(self._create, path, data))

    def _create(self, path: str, data: bytes) -> None:
        """Write aside, fsync, then hard link: the only local operation that is atomic AND refuses an existing name."""
        target = Path(self._full(path))
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        _make_folder(target.parent)
        partial = target.parent / f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._link(partial, target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        _fsync_folder(target.parent)

    def _link(self, partial: Path, target: Path) -> None:
        try:
            os.link(partial, target)
        except FileExistsError:
            # On NFS a link whose reply got lost is reported as existing: it is ours when it is the same file.
            if not target.samefile(partial):
                raise
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise UnsafeStorageError(
                    f"{self.root}: this file system has no hard links, so that files cannot be created only if absent;"
                    " use another file system or object storage"
                ) from error
            raise

    def info(self, path: str) -> ObjectInfo:
        """Size and time of a regular file."""
        status = Path(self._full(path)).stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a file", path)
        return _local_info(path, status)

    def has_any(self) -> bool:
        """Whether the folder is there."""
        return Path(self.root).is_dir()

    def remove(self, path: str) -> None:
        """The file alone: the folder that it leaves empty may be one that a writer has just made sure of."""
        Path(self._full(path)).unlink()

    def partials(self) -> Iterator[ObjectInfo]:
        """What `create` leaves when it is killed."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.startswith(".") and name.endswith(PARTIAL_SUFFIX):
                    full = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        yield _local_info(full.relative_to(self.root).as_posix(), full.stat())

    def list(self, prefix: str, attempt: Attempt[Any], on_skip: OnSkip) -> Iterator[ObjectInfo]:
        """Regular files below `prefix`, folder by folder, names sorted; links are followed, loops are not."""
        again = functools.partial(_again, attempt)
        if not again(Path(self._full(prefix)).is_dir):
            return
        folders: list[tuple[str, tuple[tuple[int, int], ...]]] = [(prefix, ())]
        while folders:
            folder, above = folders.pop()
            status = again(Path(self._full(folder)).stat)
            here = (status.st_dev, status.st_ino)
            if here in above:
                on_skip(folder, "link back to a folder above it")
                continue
            deeper = []
            for entry in attempt(functools.partial(_scan, self._full(folder))):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if again(entry.is_dir):
                    deeper.append((path, (*above, here)))
                elif not again(entry.is_file):
                    on_skip(path, "broken link" if entry.is_symlink() else "not a regular file")
                elif not (entry.name.startswith(".") and entry.name.endswith(PARTIAL_SUFFIX)):
                    # A file may vanish between the two calls; then it is not there.
                    with contextlib.suppress(FileNotFoundError):
                        yield _local_info(path, again(entry.stat))
            folders.extend(reversed(deeper))


def _again(attempt: Attempt[T], look: Callable[[], T]) -> T:
    """A look at a file; `attempt`, which costs more than the look, only after one that went wrong."""
    try:
        return look()
    except FileNotFoundError:
        raise
    except OSError:
        return attempt(look)


def _scan(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _local_info(path: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(path, status.st_size, None, str(status.st_mtime_ns))


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _fsync_folder(new.parent)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class S3Objects:
    """Objects under a prefix of a bucket. Requests go one by one: whoever calls decides about trying again."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix and path else self.prefix or path

    def _call(self, method: str, **arguments: Any) -> Any:
        return connect("s3", patient=False).call_s3(method, Bucket=self.bucket, **arguments)

    def read(self, path: str, start: int | None, end: int | None, version: str | None) -> bytes:
        """One GET; the etag comes with the answer, so that check and read cannot fall apart."""
        if end is not None and end <= (start or 0):
            return b""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Key": self._key(path)}
        if start is not None or end is not None:
            arguments["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        s3 = connect("s3", patient=False)
        try:
            answer, data = fsspec.asyn.sync(s3.loop, _get_object, s3, arguments, version)
        except OSError as error:
            if http_answer(error)[0] == 416:  # the range starts behind the end
                return b""
            raise
        return asked_for(answer, data, start, end, f"s3://{self.bucket}/{arguments['Key']}")

    def create(self, path: str, data: bytes, attempt: Attempt[Any]) -> None:
        """Only if there is none of this name, which S3 is told as a condition."""

        def call(method: str, **arguments: Any) -> Any:
            try:
                return connect("s3", patient=False).call_s3(method, **arguments)
            except OSError as error:
                if http_answer(error)[0] == 501:
                    raise UnsafeStorageError(
                        f"s3://{self.bucket}: this storage does not know If-None-Match, so that objects cannot be"
                        " created only if absent; use another one"
                    ) from error
                raise

        create_object(call, attempt, {"Bucket": self.bucket, "Key": self._key(path)}, data)

    def info(self, path: str) -> ObjectInfo:
        """One HEAD."""
        head = self._call("head_object", Key=self._key(path))
        return _s3_info(path, head["ContentLength"], head)

    def has_any(self) -> bool:
        """Whether anything lies under the prefix; a missing bucket raises."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        page = self._call("list_objects_v2", Prefix=prefix, MaxKeys=1)
        return not self.prefix or bool(page.get("Contents"))

    def remove(self, path: str) -> None:
        """One DELETE, which is no error for an object that is gone."""
        self._call("delete_object", Key=self._key(path))

    def partials(self) -> Iterator[ObjectInfo]:
        """None: an object is there whole or not at all. Parts of uploads go by the bucket's lifecycle rule."""
        return iter(())

    def list(self, prefix: str, attempt: Attempt[Any], on_skip: OnSkip) -> Iterator[ObjectInfo]:  # noqa: ARG002
        """Objects below `prefix` in the order of their keys; each page of 1000 is a request of its own."""
        root = f"{self.prefix}/" if self.prefix else ""
        arguments = {"Prefix": f"{root}{prefix}/" if prefix else root}
        while True:
            page = attempt(functools.partial(self._call, "list_objects_v2", **arguments))
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):  # a folder marker
                    yield _s3_info(entry["Key"][len(root) :], entry["Size"], entry)
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]


async def _get_object(s3: Any, arguments: dict[str, Any], version: str | None) -> tuple[dict[str, Any], bytes]:
    answer = await s3._call_s3("get_object", **arguments)
    body = answer["Body"]
    try:
        if version is not None and _etag(answer) != version:
            raise ObjectChangedError(f"s3://{arguments['Bucket']}/{arguments['Key']}: changed since it was listed")
        return answer, await body.read()
    finally:
        body.close()


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _s3_info(path: str, size: int, answer: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(path, size, _etag(answer), _nanoseconds(answer.get("LastModified")))


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
        return ObjectInfo(path, int(found["size"] or 0), etag, next(filter(None, map(_nanoseconds, moments)), None))


def _nanoseconds(moment: object) -> str | None:
    if isinstance(moment, datetime):
        moment = moment.timestamp()
    if isinstance(moment, int | float):
        return str(round(moment * 1_000_000) * 1000)  # a float holds today's time to about 0.2 us
    return None if moment is None else str(moment)


def connect(protocol: str, *, patient: bool) -> Any:
    """The process's fsspec filesystem for a protocol; `patient` keeps the driver's own retries.

    Ours is not patient: tries that are hidden in a driver would hide a lost reply, and multiply with our budget.
    """
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _connect(protocol, patient, os.getpid(), environment)


@functools.lru_cache(maxsize=16)
def _connect(protocol: str, patient: bool, process: int, environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ARG001
    """Kept per process (an S3 client does not survive a fork) and per AWS environment."""
    try:
        if protocol != "s3":
            return fsspec.filesystem(protocol)
        settings: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "read_timeout": SILENCE_SECONDS}
        settings["max_pool_connections"] = 64
        if not patient:
            settings |= one_try()
        s3 = fsspec.filesystem(
            "s3",
            use_listings_cache=False,
            config_kwargs=settings,
            session=s3_session(),
            skip_instance_cache=True,
        )
    except ImportError as error:
        raise MissingExtraError(f"{protocol}: its fsspec driver is not installed ({error})") from error
    if not patient:
        s3.retries = 1
    return s3
