"""The chunks of a PNG file (PNG specification, third edition, sections 5 and 11)."""

import struct
import zlib
from dataclasses import dataclass

from texture_store.errors import UnreadableImageError

_ESSENTIAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, row step and column step of the seven passes of an interlaced picture."""
_MOST_PER_BYTE = 1032
"""Deflate makes no more bytes of one (RFC 1951: 258 of two bits)."""
_UNPACKED_AT_ONCE = 2**20
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
    is_interlaced: bool
    essential: bytes
    """The file without chunks that decide no pixel: a picture is not lost for odd metadata."""


def read_header(data: bytes) -> PngHeader:
    """Walk all chunks. Raises UnreadableImageError for a cut file or a damaged chunk of the picture.

    Pillow neither misses the last chunk nor looks at every check sum; a file that lost its tail would pass.
    """
    position = len(SIGNATURE)
    size: tuple[int, int, int, int, int] | None = None
    source_bits, num_frames, has_palette = None, 1, False
    essential = [SIGNATURE]
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start, stop = position + 8, position + 8 + length
        if stop + 4 > len(data):
            break
        if kind in _ESSENTIAL:
            (expected,) = struct.unpack_from(">I", data, stop)
            if zlib.crc32(data[start - 4 : stop]) != expected:
                raise UnreadableImageError(f"broken PNG: wrong check sum of a chunk {kind.decode()}")
            essential.append(data[position : stop + 4])
        if kind == b"IHDR" and size is not None:
            raise UnreadableImageError("broken PNG: it has two headers")  # Pillow would believe the other one
        if kind == b"IHDR" and length >= 13:
            size = struct.unpack_from(">IIBBxxB", data, start)
        elif kind == b"PLTE":
            has_palette = length > 0 and length % 3 == 0
        elif kind == b"sBIT" and 1 <= length <= 4:
            source_bits = max(data[start:stop])
        elif kind == b"acTL" and length >= 4:
            num_frames = max(1, min(struct.unpack_from(">I", data, start)[0], 2**31 - 1))
        elif kind == b"IEND" and size is not None:
            width, height, bits, colour_type, interlace = size
            if colour_type == PALETTE and not has_palette:
                raise UnreadableImageError("broken PNG: its palette is missing")
            whole = b"".join(essential)
            return PngHeader(width, height, bits, colour_type, source_bits, num_frames, interlace != 0, whole)
        position = stop + 4
    raise UnreadableImageError("truncated PNG: it has no end")


def could_have_all_pixels(header: PngHeader) -> bool:
    """Whether so few bytes could hold the pixels that the header says; the memory for them is not worth taking else."""
    return num_unpacked_bytes(header) <= _MOST_PER_BYTE * len(header.essential)


def has_all_pixels(header: PngHeader) -> bool:
    """Whether the packed pixels are as many as the header says. Pillow leaves those that are missing black."""
    missing = num_unpacked_bytes(header)
    unpacker, packed = zlib.decompressobj(), _packed(header.essential)
    while missing > 0:
        unpacked = unpacker.decompress(packed, _UNPACKED_AT_ONCE)
        packed = unpacker.unconsumed_tail
        if not unpacked:
            return False
        missing -= len(unpacked)
    return True


def num_unpacked_bytes(header: PngHeader) -> int:
    """Bytes of all rows, each with its filter type."""
    channels = {RGB: 3, GREY_ALPHA: 2, RGBA: 4}.get(header.colour_type, 1)
    needed = 0
    for top, left, down, right in _ADAM7 if header.is_interlaced else ((0, 0, 1, 1),):
        rows, columns = -(-(header.height - top) // down), -(-(header.width - left) // right)
        if rows > 0 and columns > 0:
            needed += rows * (1 + (columns * channels * header.bits + 7) // 8)
    return needed


def _packed(essential: bytes) -> bytes:
    parts, position = [], len(SIGNATURE)
    while position < len(essential):
        length, kind = struct.unpack_from(">I4s", essential, position)
        if kind == b"IDAT":
            parts.append(essential[position + 8 : position + 8 + length])
        position += 12 + length
    return b"".join(parts)
