"""What decoding gives, and the size limits that are checked before it."""

import unicodedata
from dataclasses import dataclass

import numpy as np

from texture_store.errors import ImageTooLargeError

MAX_PIXELS = 2**28
"""16384 x 16384: the largest frame that scanning electron microscopes store."""

MAX_DECODED_BYTES = 2**30
"""All channels of the decoded picture; MAX_PIXELS of RGB in 8 bits fit, and so does a 16-bit grey picture."""

COLOUR_NOISE = 2 / 255
"""Channels that differ by less are grey: decoding a grey picture from lossy WebP was measured to differ by 1 of 255."""


@dataclass(frozen=True)
class Decoded:
    """One grey picture as the file holds it."""

    grey: np.ndarray
    """(H, W), C-contiguous, native byte order, in the file's own type; colour is already luminance."""
    bit_depth: int
    """Significant bits of a grey value: an integer picture spans 0..2**bit_depth - 1; of floats, their width."""
    is_float: bool
    file_format: str
    """TIFF, PNG, JPEG, BMP, GIF or WebP, as found in the bytes."""
    num_pages: int
    is_colour: bool
    notes: tuple[str, ...] = ()


def check_size(width: int, height: int, bytes_per_pixel: float, max_pixels: int) -> None:
    """Raise ImageTooLargeError for a header that asks for more than the limits; called before anything is decoded."""
    if width * height > max_pixels:
        raise ImageTooLargeError(f"{width} x {height} pixels are more than the limit of {max_pixels}")
    if width * height * bytes_per_pixel > MAX_DECODED_BYTES:
        raise ImageTooLargeError(
            f"{width} x {height} pixels of {bytes_per_pixel:g} bytes are over the limit of {MAX_DECODED_BYTES} bytes"
        )


def one_line(text: str, limit: int = 160) -> str:
    """Text from a file or a decoder on one printable line: no control characters, spaces folded, at most `limit`."""
    printable = (" " if unicodedata.category(char)[0] in "CZ" else char for char in text[: 4 * limit])
    folded = " ".join("".join(printable).split())
    return folded if len(folded) <= limit else folded[: limit - 3] + "..."
