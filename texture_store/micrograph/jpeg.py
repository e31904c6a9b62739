"""What a JPEG stream's own markers say, before and after it is decoded (ITU-T T.81, annex B)."""

import struct
from dataclasses import dataclass

import numpy as np

from texture_store.errors import UnreadableImageError

_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
MAX_SCANS = 100
"""Encoders make up to 12. Each takes a walk over the picture: 2000 of 16 megapixels, in 156 kB, took 11 s."""
_FILLER = bytes(range(0x10, 0xF0, 7)) * 512


@dataclass(frozen=True)
class Frame:
    """The frame header of a JPEG stream."""

    width: int
    height: int
    num_channels: int
    bits: int
    is_progressive: bool
    scan: int
    """Offset of the first scan."""


def read_frame(data: bytes) -> Frame:
    """The frame header of the (first) picture.

    Raises UnreadableImageError where there is none before the pixels, and for more than MAX_SCANS scans.
    """
    position, size = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:  # bytes between segments are passed over, as every decoder does
            position = data.find(b"\xff", position)
            if position < 0:
                break
            continue
        marker = data[position + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA and size is not None:
            if (num_scans := data.count(b"\xff\xda", position)) > MAX_SCANS:
                raise UnreadableImageError(f"broken JPEG: {num_scans} scans, more than the limit of {MAX_SCANS}")
            bits, height, width, num_channels, is_progressive = size
            return Frame(width, height, num_channels, bits, is_progressive, position)
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _FRAMES and position + 10 <= len(data):
            size = (*struct.unpack_from(">BHHB", data, position + 4), marker in (0xC2, 0xC6, 0xCA, 0xCE))
        position += 2 + length
    raise UnreadableImageError("truncated JPEG: it ends before its pixels begin")


def with_filler(data: bytes, frame: Frame) -> bytes:
    """The stream with bytes put in after its pixels, before the end marker.

    A decoder that has all pixels never looks at them. One that runs out of data early, as in a half transferred file
    that somebody closed with an end marker, decodes them, and the picture changes: libjpeg itself only warns.
    """
    end = data.find(b"\xff\xd9", frame.scan)
    return data[:end] + _FILLER + data[end:] if end >= 0 else data


def last_block(pixels: np.ndarray) -> np.ndarray:
    """The last corner of the picture (H, W[, C]): at most 2 x 2 px that lie in one 8 x 8 block. Not more of it, because
    colour is smoothed over the block's edges."""
    top, left = ((length - 1) // 8 * 8 for length in pixels.shape[:2])
    return pixels[top:, left:][-2:, -2:]
