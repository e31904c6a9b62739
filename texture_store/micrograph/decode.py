"""Bytes of an image file to one grey picture in the file's own values.

The format is decided by the bytes. Sizes are checked from the header before anything is decoded. Whatever is wrong with
the bytes is raised as a RejectedImageError.
"""

from collections.abc import Callable

from texture_store.errors import RejectedImageError, UnreadableImageError
from texture_store.micrograph import raster
from texture_store.micrograph.decoded import MAX_DECODED_BYTES, MAX_PIXELS, Decoded, one_line
from texture_store.micrograph.ifd import is_tiff
from texture_store.micrograph.png import SIGNATURE
from texture_store.micrograph.tiff import decode_tiff, tiff_size

__all__ = ["MAX_DECODED_BYTES", "MAX_PIXELS", "Decoded", "decode", "format_of", "picture_size"]

_DECODERS: dict[str, Callable[..., Decoded]] = {
    "TIFF": decode_tiff,
    "PNG": raster.decode_png,
    "JPEG": raster.decode_jpeg,
    "BMP": raster.decode_bmp,
    "GIF": raster.decode_gif,
    "WebP": raster.decode_webp,
}


def format_of(data: bytes) -> str | None:
    """TIFF, PNG, JPEG, BMP, GIF or WebP by the first bytes; None for anything else."""
    if is_tiff(data):
        return "TIFF"
    if data.startswith(SIGNATURE):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(b"BM"):
        return "BMP"
    return None


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The first full-resolution picture of an image file, as grey.

    Raises UnreadableImageError (not an image, broken, truncated), ImageTooLargeError (more than `max_pixels`, or more
    than MAX_DECODED_BYTES decoded; found before decoding) or UnsupportedImageError (grey values without a meaning).
    """
    file_format = format_of(data)
    if file_format is None:
        what = "the file is empty" if not data else "not an image that is read: TIFF, PNG, JPEG, BMP, GIF, WebP"
        raise UnreadableImageError(what)
    try:
        decoded = _DECODERS[file_format](data, max_pixels=max_pixels)
        if 0 in decoded.grey.shape:
            raise UnreadableImageError(f"a {file_format} without pixels")
    except (RejectedImageError, MemoryError):
        raise  # whether the image or the machine is to blame for MemoryError cannot be told here
    except Exception as error:  # decoders raise anything on damaged bytes; the row is rejected, the rest goes on
        raise UnreadableImageError(f"broken {file_format}: {one_line(f'{type(error).__name__}: {error}')}") from None
    return decoded


def picture_size(data: bytes) -> tuple[int, int]:
    """(width, height) in px of the picture that `decode` gives, from the header alone.

    Raises UnreadableImageError.
    """
    file_format = format_of(data)
    try:
        return tiff_size(data) if file_format == "TIFF" else raster.raster_size(data, file_format)
    except (RejectedImageError, MemoryError):
        raise
    except Exception as error:  # as in decode
        raise UnreadableImageError(f"broken {file_format}: {one_line(f'{type(error).__name__}: {error}')}") from None
