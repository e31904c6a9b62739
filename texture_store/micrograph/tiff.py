"""TIFF to one grey picture."""

import io
import logging

import numpy as np
import tifffile

from texture_store.errors import UnreadableImageError, UnsupportedImageError
from texture_store.micrograph import significant_bits
from texture_store.micrograph.decoded import Decoded, check_size
from texture_store.micrograph.grey import grey_of_cmyk, grey_of_palette, grey_of_rgb
from texture_store.micrograph.ifd import Directory, page_offsets, read_directory
from texture_store.micrograph.jpeg import read_frame

# What tifffile logs about odd files would appear on the terminal once per image; what matters is raised below.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

_MAX_EXAMINED_PAGES = 64
_REDUCED, _MASK = 1, 4
_WIDTH, _HEIGHT, _NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _PHOTOMETRIC, _ORIENTATION = 256, 257, 254, 255, 262, 274
_JPEG = 7
_COMPRESSIONS = {1, 5, _JPEG, 8, 32773, 32946, 34925, 50000}
"""None, LZW, JPEG, deflate (two codes), PackBits, LZMA, Zstandard."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 1, 2, 3, 5, 6, 8


def decode_tiff(data: bytes, *, max_pixels: int) -> Decoded:
    """The first full-resolution page as grey."""
    offsets = page_offsets(data)
    index, notes = _choose_page(data, offsets)
    directory = read_directory(data, offsets[index])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[index]
        if not isinstance(page, tifffile.TiffPage):
            raise UnreadableImageError("broken TIFF: its page cannot be read by itself")
        _check_page(page, data, max_pixels)
        pixels = page.asarray(squeeze=False, maxworkers=1)
        photometric = _photometric(page)
        grey, bits, is_colour, colour_notes = _grey(pixels, page, photometric)
    notes += colour_notes
    if photometric != _PALETTE and grey.dtype.kind in "iu":
        bits, bit_notes = significant_bits.of_tiff(grey, bits, directory)
        notes += bit_notes
    if photometric == _WHITE_IS_ZERO:
        grey = _invert(grey, bits)
    if directory.integer(_ORIENTATION, 1) > 1:
        notes += ("the orientation tag is ignored",)
    return Decoded(grey, bits, grey.dtype.kind == "f", "TIFF", len(offsets), is_colour, notes)


def tiff_size(data: bytes) -> tuple[int, int]:
    """(width, height) in px of the page that `decode_tiff` reads."""
    offsets = page_offsets(data)
    directory = read_directory(data, offsets[_choose_page(data, offsets)[0]])
    return directory.integer(_WIDTH), directory.integer(_HEIGHT)


def _choose_page(data: bytes, offsets: list[int]) -> tuple[int, tuple[str, ...]]:
    """Index of the first of the largest pages that are neither thumbnails nor masks, and what to say about it."""
    sizes: list[int] = []
    for offset in offsets[:_MAX_EXAMINED_PAGES]:
        directory = read_directory(data, offset)
        is_part = directory.integer(_NEW_SUBFILE_TYPE) & (_REDUCED | _MASK) or directory.integer(_SUBFILE_TYPE) == 2
        sizes.append(0 if is_part else _num_pixels(directory))
    if not any(sizes):  # all are marked as reduced: the largest is as good as it gets
        sizes = [_num_pixels(read_directory(data, offset)) for offset in offsets[:_MAX_EXAMINED_PAGES]]
    index = sizes.index(max(sizes))
    if len(offsets) == 1:
        return 0, ()
    which = "first" if index == 0 else f"page {index + 1}"
    return index, (f"{which} of {len(offsets)} pages" + (", the first full-size one" if index else ""),)


def _num_pixels(directory: Directory) -> int:
    return directory.integer(_WIDTH) * directory.integer(_HEIGHT)


def _check_page(page: tifffile.TiffPage, data: bytes, max_pixels: int) -> None:
    """Refuse what is too large, cut short, or of a kind that is not read; nothing is decoded yet."""
    if page.dtype is None or page.dtype.kind not in "uifb" or not isinstance(page.bitspersample, int):
        raise UnsupportedImageError(f"TIFF samples of {page.bitspersample} bits, format {page.sampleformat}, not read")
    if int(page.compression) not in _COMPRESSIONS:
        raise UnreadableImageError(f"TIFF compression {int(page.compression)} is not read; save it as LZW or deflate")
    _, depth, height, width, _ = page.shaped
    if depth != 1 or min(height, width) < 1:
        raise UnreadableImageError(f"a TIFF page of {width} x {height} x {depth} pixels")
    check_size(width, height, page.samplesperpixel * page.dtype.itemsize, max_pixels)
    if page.is_tiled:
        sample_bytes = page.tiledepth * page.samplesperpixel * page.dtype.itemsize
        check_size(page.tilewidth, page.tilelength, sample_bytes, max_pixels)
    if page.is_contiguous:
        needed = page.dataoffsets[0] + page.size * page.dtype.itemsize
        if needed > len(data):
            raise UnreadableImageError(f"truncated TIFF: {needed} bytes are needed, {len(data)} are there")
        return
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    num_chunks = int(np.prod(page.chunked))
    if len(segments) < num_chunks or any(not offset or not count for offset, count in segments[:num_chunks]):
        raise UnreadableImageError("broken TIFF: strips or tiles are missing")
    for offset, count in segments[:num_chunks]:
        if offset + count > len(data):
            raise UnreadableImageError("truncated TIFF: strips or tiles lie beyond the end")
        if int(page.compression) == _JPEG:
            _check_jpeg(page, data[offset : offset + count])


def _check_jpeg(page: tifffile.TiffPage, segment: bytes) -> None:
    """A JPEG strip has its own size in its header, which the decoder believes (4 GB for a strip of 30 KB)."""
    frame = read_frame(segment)
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    if frame.width > columns + 16 or frame.height > min(rows, page.imagelength if not page.is_tiled else rows) + 16:
        raise UnreadableImageError("broken TIFF: a JPEG strip or tile is larger than its place")
    if not segment.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise UnreadableImageError("truncated TIFF: a JPEG strip or tile has no end")


def _photometric(page: tifffile.TiffPage) -> int:
    """The tag is required, and where it is missing all the same 0 is black, not white as its lowest value says."""
    if _PHOTOMETRIC in page.tags:
        return int(page.photometric)
    return _RGB if page.samplesperpixel >= 3 else _BLACK_IS_ZERO


def _grey(
    pixels: np.ndarray, page: tifffile.TiffPage, photometric: int
) -> tuple[np.ndarray, int, bool, tuple[str, ...]]:
    """Grey (H, W), bits, whether in colour, notes; pixels are (planes, 1, H, W, samples)."""
    channels = pixels[:, 0]
    channels = np.moveaxis(channels[..., 0], 0, -1) if channels.shape[0] > 1 else channels[0]
    channels = np.ascontiguousarray(channels.astype(channels.dtype.newbyteorder("="), copy=False))
    if channels.dtype.kind == "b":
        channels = channels.view(np.uint8)
    bits = int(page.bitspersample)
    num_channels = channels.shape[-1]
    if photometric == _PALETTE and page.colormap is not None and channels.dtype.kind == "u":
        return grey_of_palette(channels[..., 0], _palette(page.colormap), bits)
    if num_channels >= 3 and (photometric == _RGB or (photometric == _YCBCR and int(page.compression) == _JPEG)):
        grey, is_colour, notes = grey_of_rgb(channels[..., :3])
        return grey, bits, is_colour, notes
    if photometric == _CMYK and num_channels >= 4 and channels.dtype.kind == "u" and bits in (8, 16):
        grey, is_colour, notes = grey_of_cmyk(channels[..., :4])
        return grey, bits, is_colour, notes
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _YCBCR, _CIELAB):  # the first sample is the lightness
        num_grey = num_channels - len(page.extrasamples)
        is_colour = photometric in (_YCBCR, _CIELAB)
        several = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and num_grey > 1
        notes = (f"first of {num_grey} channels",) if several else ()
        return np.ascontiguousarray(channels[..., 0]), bits, is_colour, notes
    raise UnsupportedImageError(f"TIFF photometric interpretation {photometric}, {num_channels} samples, is not read")


def _palette(colormap: np.ndarray) -> np.ndarray:
    """(3, N) uint16 -> (N, 3) uint8. Some writers store 8-bit values in the 16-bit field."""
    entries = np.asarray(colormap).T
    return (entries if entries.max(initial=0) < 256 else entries >> 8).astype(np.uint8)


def _invert(grey: np.ndarray, bits: int) -> np.ndarray:
    """0 is white: turned about the middle of the range."""
    if grey.dtype.kind == "f":
        raise UnsupportedImageError("float grey values with 0 as white have no agreed range; make 0 black")
    turned: np.ndarray = np.bitwise_not(grey) if grey.dtype.kind == "i" else grey.dtype.type(2**bits - 1) ^ grey
    return turned
