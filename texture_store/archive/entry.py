"""One file that a listing met: an object of its own, or a member of a tar shard."""

from typing import NamedTuple

from texture_store.objects import ObjectInfo, Storage


class Entry(NamedTuple):
    """Where a file's bytes lie, and which version of them."""

    path: str
    """In the dataset: relative to the archive's root, or the member's name in its tar."""
    uri: str
    """The object that holds the bytes."""
    offset: int | None
    """First byte of a tar member in it; None for a whole object."""
    size: int
    """Bytes."""
    etag: str | None
    mtime: str | None
    """ns since 1970, where there is no etag."""
    object_version: str
    """Of `uri`."""

    @property
    def version(self) -> str:
        """Another one means that the bytes may have changed. That of a tar member survives a re-packing."""
        return self.etag or self.mtime or ""

    @property
    def suffix(self) -> str:
        """The extension in lower case, such as `.tif`; "" when there is none."""
        return suffix(self.path)


def whole_object(storage: Storage, info: ObjectInfo) -> Entry:
    """An object that is a file by itself."""
    mtime = None if info.etag else info.mtime_ns
    return Entry(info.path, storage.url_of(info.path), None, info.size, info.etag, mtime, info.version)


def suffix(path: str) -> str:
    """The extension in lower case; "" when there is none."""
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    return f".{extension.lower()}" if dot and stem else ""
