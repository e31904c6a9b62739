"""Files under a folder: a local disk, or one of the network that behaves like one."""

import contextlib
import errno
import functools
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from texture_store.errors import ObjectChangedError, UnsafeStorageError
from texture_store.storage.driver import Attempt, ObjectInfo, OnSkip, T

PARTIAL_SUFFIX = ".partial"


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
