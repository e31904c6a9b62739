"""The chunks of a PNG file (PNG specification, third edition, sections 5 and 11)."""

import struct
import zlib
from dataclasses import dataclass

from texture_store.errors import UnreadableImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


@dataclass(frozen=True)
class PngHeader:
    """What the chunks before and after the pixels say."""

    width: int
    height: int
    bits: int
    colour_type: int
    source_bits: int | None
    """Largest value of the sBIT chunk."""
    num_frames: int


def read_header(data: bytes) -> PngHeader:
    """Walk all chunks. Raises UnreadableImageError for a cut file or a damaged chunk of the picture.

    Pillow neither misses the last chunk nor looks at every check sum; a file that lost its tail would pass.
    """
    position = len(SIGNATURE)
    size: tuple[int, int, int, int] | None = None
    source_bits, num_frames = None, 1
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start, stop = position + 8, position + 8 + length
        if stop + 4 > len(data):
            break
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            (expected,) = struct.unpack_from(">I", data, stop)
            if zlib.crc32(data[start - 4 : stop]) != expected:
                raise UnreadableImageError(f"broken PNG: wrong check sum of a chunk {kind.decode()}")
        if kind == b"IHDR" and length >= 10:
            size = struct.unpack_from(">IIBB", data, start)
        elif kind == b"sBIT" and 1 <= length <= 4:
            source_bits = max(data[start:stop])
        elif kind == b"acTL" and length >= 4:
            num_frames = max(1, min(struct.unpack_from(">I", data, start)[0], 2**31 - 1))
        elif kind == b"IEND" and size is not None:
            width, height, bits, colour_type = size
            return PngHeader(width, height, bits, colour_type, source_bits, num_frames)
        position = stop + 4
    raise UnreadableImageError("truncated PNG: it has no end")
