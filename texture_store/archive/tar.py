"""Tar shards: their members as byte ranges. Headers are read, payloads are not."""

import io
import tarfile
from collections.abc import Callable
from typing import Any

from texture_store.archive.entry import Entry
from texture_store.errors import CorpusError, UsageError
from texture_store.micrograph.decoded import one_line
from texture_store.objects import ObjectInfo, Storage

COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")

MAX_HEADER_BYTES = 2**20
"""Of a long name or an extended header, which tarfile reads into memory whatever size it claims."""

BUFFER_BYTES = 64 * 1024
"""Read at once: many headers when members are small; hardly dearer than the 512 bytes of one when they are large."""

_TAR_ERRORS = (tarfile.TarError, ValueError, OverflowError, RecursionError)
"""tarfile lets the last three through, for sizes and extended headers that are no numbers and for names of names."""

_READ_INTO_MEMORY = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def refuse_compressed(url: str) -> None:
    """Raises UsageError for the name of a compressed tar."""
    if url.lower().endswith(COMPRESSED_SUFFIXES):
        raise UsageError(
            f"{url}: members of a compressed tar cannot be read one by one; decompress it to a plain .tar, or unpack it"
        )


def list_tar(storage: Storage, tar: ObjectInfo, *, on_skip: Callable[[str, str], None]) -> list[Entry]:
    """The regular files in a tar, in its order. Directories and links are left out.

    A member's mtime is that of its header in whole seconds, so that re-packing the same files keeps it. Raises
    CorpusError for a file that is no tar, or that is cut off or broken somewhere.
    """
    uri = storage.url_of(tar.path)
    entries = []
    with io.BufferedReader(_Ranges(storage, tar), BUFFER_BYTES) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as members:
                for member in members:
                    if members.offset <= member.offset:  # a negative size, with which tarfile goes round for ever
                        raise tarfile.ReadError(f"a member of size {member.size}")
                    entry = _entry(member, uri, tar, on_skip)
                    if entry is not None:
                        entries.append(entry)
                end = members.offset
        except (
            tarfile.TarError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:  # tarfile lets the others through
            raise CorpusError(f"{uri}: not a readable tar ({one_line(str(error))}); pack it again") from error
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
        # tarfile takes a broken header for the end: what follows would be lost without a word.
        if block.strip(b"\0") or 0 < len(block) < tarfile.BLOCKSIZE:
            raise CorpusError(f"{uri}: broken at byte {end:,}; pack it again")
    return entries


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.size > MAX_HEADER_BYTES and header.type in _READ_INTO_MEMORY:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


def _entry(member: tarfile.TarInfo, uri: str, tar: ObjectInfo, on_skip: Callable[[str, str], None]) -> Entry | None:
    path = member.name.removeprefix("./").lstrip("/")
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        on_skip(path, "link, sparse or special file in a tar")
        return None
    if ".." in path.split("/"):
        on_skip(path, "name with .. in a tar")
        return None
    if member.offset_data + member.size > tar.size:
        raise CorpusError(f"{uri}: cut off within {one_line(path)}; pack or copy it again")
    mtime = str(int(member.mtime) * 1_000_000_000)
    return Entry(path, uri, member.offset_data, member.size, None, mtime, tar.version)


class _Ranges(io.RawIOBase):
    """A tar on storage as a file to seek in; every read is of the version that was listed."""

    def __init__(self, storage: Storage, tar: ObjectInfo) -> None:
        self._storage = storage
        self._tar = tar
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._tar.size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._tar.size)
        if end <= self._position:
            return 0
        data = self._storage.read(self._tar.path, start=self._position, end=end, version=self._tar.version)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
