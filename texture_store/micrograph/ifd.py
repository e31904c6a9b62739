"""The image file directories of a TIFF, read without decoding anything.

tifffile follows a chain of directories without end when it loops with a period over 100 pages, so the chain is walked
here first; vendor metadata is read from here as well, raw, because vendors' tags are odd and tifffile logs about them.
Format: TIFF 6.0, section 2, and the BigTIFF extension.
"""

import struct
from dataclasses import dataclass

from texture_store.errors import UnreadableImageError

MAX_PAGES = 65_536
_FIELD_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGER_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_VALUES = 64


@dataclass(frozen=True)
class Directory:
    """The tags of one page: code -> (field type, count, first byte of the value)."""

    data: bytes
    byte_order: str
    tags: dict[int, tuple[int, int, int]]

    def raw(self, code: int) -> bytes | None:
        """The bytes of a tag's value, or None when it is absent or lies outside the file."""
        if code not in self.tags:
            return None
        kind, count, start = self.tags[code]
        stop = start + count * _FIELD_BYTES.get(kind, 1)
        return self.data[start:stop] if stop <= len(self.data) else None

    def integers(self, code: int) -> tuple[int, ...]:
        """The first values of an integer tag; empty when it is absent or not of integers."""
        raw = self.raw(code)
        if raw is None or self.tags[code][0] not in _INTEGER_CODES:
            return ()
        letter = _INTEGER_CODES[self.tags[code][0]]
        count = min(len(raw) // struct.calcsize("=" + letter), _MAX_VALUES)
        return struct.unpack_from(f"{self.byte_order}{count}{letter}", raw)

    def integer(self, code: int, default: int = 0) -> int:
        """The first value of an integer tag."""
        values = self.integers(code)
        return values[0] if values else default


def is_tiff(data: bytes) -> bool:
    """Whether the bytes start like a TIFF or BigTIFF file."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def page_offsets(data: bytes) -> list[int]:
    """Where each directory of the main chain lies. Raises UnreadableImageError for a broken, cut or endless chain."""
    order, is_big = _header(data)
    first, step = (8, 8) if is_big else (4, 4)
    link = "Q" if is_big else "I"
    offsets: list[int] = []
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(order + link, data, first)
        while offset:
            if offset in seen:
                raise UnreadableImageError("broken TIFF: its pages run in a circle")
            if len(offsets) == MAX_PAGES:
                raise UnreadableImageError(f"a TIFF of more than {MAX_PAGES} pages; split it")
            seen.add(offset)
            (num_tags,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, offset)
            after = offset + (8 + 20 * num_tags if is_big else 2 + 12 * num_tags)
            if after + step > len(data):
                raise UnreadableImageError(f"truncated TIFF: page {len(offsets) + 1} lies beyond the end")
            offsets.append(offset)
            (offset,) = struct.unpack_from(order + link, data, after)
    except struct.error:
        raise UnreadableImageError(f"truncated TIFF: page {len(offsets) + 1} lies beyond the end") from None
    if not offsets:
        raise UnreadableImageError("a TIFF without a page")
    return offsets


def read_directory(data: bytes, offset: int) -> Directory:
    """The tags of the directory at an offset that `page_offsets` gave."""
    order, is_big = _header(data)
    entry, inline = (order + "HHQ", 8) if is_big else (order + "HHI", 4)
    (num_tags,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, offset)
    position = offset + (8 if is_big else 2)
    tags: dict[int, tuple[int, int, int]] = {}
    for _ in range(num_tags):
        code, kind, count = struct.unpack_from(entry, data, position)
        start = position + struct.calcsize(entry)
        if count * _FIELD_BYTES.get(kind, 1) > inline:
            (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, start)
        tags.setdefault(code, (kind, count, start))
        position += 20 if is_big else 12
    return Directory(data, order, tags)


def _header(data: bytes) -> tuple[str, bool]:
    order = "<" if data[:2] == b"II" else ">"
    return order, data[2:4] in (b"+\0", b"\0+")
