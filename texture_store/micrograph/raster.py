"""PNG, JPEG, BMP, GIF and WebP to one grey picture.

Pillow's readers are called directly and not through Image.open: the format is decided by the bytes, and the size limit
is ours and not the global one of Pillow.
"""

import io
import struct
import warnings
from collections.abc import Callable

import imagecodecs
import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from texture_store.errors import UnreadableImageError
from texture_store.micrograph import jpeg, png, significant_bits
from texture_store.micrograph.decoded import Decoded, check_size
from texture_store.micrograph.grey import grey_of_cmyk, grey_of_palette, grey_of_rgb

# Pillow warns about odd metadata on the terminal, once per image.
warnings.filterwarnings("ignore", module=r"PIL\.")

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 2, "PA": 2, "I;16": 2, "RGB": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4}
_LARGEST_WEBP_SIDE = 2**14
"""Of a frame (RFC 9649: 14 bits)."""
_RUN_LENGTH = (1, 2)
_MOST_PIXELS_PER_BYTE = 128
"""Runs of 255 pixels take two bytes."""
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}


def decode_png(data: bytes, *, max_pixels: int) -> Decoded:
    """PNG of 1 to 16 bits; the first frame of an animated one."""
    header = png.read_header(data)
    num_channels = {png.RGB: 3, png.GREY_ALPHA: 2, png.RGBA: 4}.get(header.colour_type, 1)
    check_size(header.width, header.height, num_channels * (2 if header.bits == 16 else 1), max_pixels)
    if not png.could_have_all_pixels(header):
        raise UnreadableImageError("truncated PNG: it ends before its pixels do")
    notes = _page_notes(header.num_frames)
    if header.bits == 16:  # Pillow keeps 8 bits of 16-bit colour
        pixels = np.asarray(imagecodecs.png_decode(header.essential))
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        if pixels.dtype != np.uint16 or pixels.shape[:2] != (header.height, header.width):
            raise UnreadableImageError("broken PNG: its pixels do not fit its header")
        grey, is_colour, colour_notes = _grey_of_channels(pixels)
        bits, bit_notes = significant_bits.of_png(grey, 16, header.source_bits or 16)
        return Decoded(grey, bits, False, "PNG", header.num_frames, is_colour, notes + colour_notes + bit_notes)
    image = PngImagePlugin.PngImageFile(io.BytesIO(header.essential))
    image.load()
    # Missing rows come out as zeros: only then is a second look needed.
    if (header.is_interlaced or not np.asarray(image)[-1].any()) and not png.has_all_pixels(header):
        raise UnreadableImageError("truncated PNG: it ends before its pixels do")
    grey, bits, is_colour, colour_notes = _grey(image)
    if header.colour_type == png.GREY and header.bits < 8 and bits == 8:
        grey, bits = grey // (255 // (2**header.bits - 1)), header.bits  # Pillow has spread them over 0..255
    return Decoded(grey, bits, False, "PNG", header.num_frames, is_colour, notes + colour_notes)


def decode_jpeg(data: bytes, *, max_pixels: int) -> Decoded:
    """JPEG: grey, colour or CMYK. One that ends early is refused, also where it was closed with an end marker."""
    frame = jpeg.read_frame(data)
    check_size(frame.width, frame.height, frame.num_channels, max_pixels)
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.load()
    pixels = np.asarray(image)
    # Missing blocks come out uniform, or in a progressive stream only coarse: only then is a second look needed.
    if frame.is_progressive or _is_uniform(jpeg.last_block(pixels)):
        again = JpegImagePlugin.JpegImageFile(io.BytesIO(jpeg.with_filler(data, frame)))
        if not np.array_equal(pixels, np.asarray(again)):
            raise UnreadableImageError("truncated JPEG: it ends before its pixels do")
    grey, bits, is_colour, notes = _grey(image)
    return Decoded(grey, bits, False, "JPEG", 1, is_colour, notes)


def _is_uniform(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[:1, :1]).all())


def decode_bmp(data: bytes, *, max_pixels: int) -> Decoded:
    """BMP, also palette and run-length ones."""
    if len(data) >= 34:
        _, width, height, _, _, compression = struct.unpack_from("<IiiHHI", data, 14)
        # Pillow fills what the runs leave out byte by byte: 18 s for a header that lies in a file of 4 kB.
        if compression in _RUN_LENGTH and abs(width * height) > _MOST_PIXELS_PER_BYTE * len(data):
            raise UnreadableImageError("truncated BMP: it ends before its pixels do")
    return _decode(data, "BMP", max_pixels)


def decode_gif(data: bytes, *, max_pixels: int) -> Decoded:
    """GIF; the first frame of an animated one."""
    return _decode(data, "GIF", max_pixels)


def decode_webp(data: bytes, *, max_pixels: int) -> Decoded:
    """WebP; the first frame of an animated one."""
    if data[12:16] == b"VP8X" and len(data) >= 30:  # Pillow takes the memory for the canvas when it opens the file
        width, height = (1 + int.from_bytes(data[place : place + 3], "little") for place in (24, 27))
        check_size(width, height, _BYTES_PER_PIXEL["RGBA"], max_pixels)
        if max(width, height) > _LARGEST_WEBP_SIDE:
            raise UnreadableImageError(f"broken WebP: no frame fills a canvas of {width} x {height}")
    return _decode(data, "WebP", max_pixels)


def raster_size(data: bytes, file_format: str | None) -> tuple[int, int]:
    """(width, height) in px by the header. Raises UnreadableImageError for a format that is not read."""
    match file_format:
        case "PNG":
            header = png.read_header(data)
            return header.width, header.height
        case "JPEG":
            frame = jpeg.read_frame(data)
            return frame.width, frame.height
        case "BMP" | "GIF" | "WebP":
            return _PLUGINS[file_format](io.BytesIO(data)).size
    raise UnreadableImageError("not an image that is read")


def _decode(data: bytes, file_format: str, max_pixels: int) -> Decoded:
    image = _PLUGINS[file_format](io.BytesIO(data))
    check_size(*image.size, _BYTES_PER_PIXEL.get(image.mode, 4), max_pixels)
    image.load()
    grey, bits, is_colour, notes = _grey(image)
    num_pages = int(getattr(image, "n_frames", 1))
    return Decoded(grey, bits, False, file_format, num_pages, is_colour, _page_notes(num_pages) + notes)


def _page_notes(num_pages: int) -> tuple[str, ...]:
    return (f"first of {num_pages} pages",) if num_pages > 1 else ()


def _grey(image: Image.Image) -> tuple[np.ndarray, int, bool, tuple[str, ...]]:
    """Grey (H, W) uint8, bits, whether in colour, notes, of an image of 8 bits or fewer."""
    mode = image.mode
    if mode == "1":
        return np.asarray(image).astype(np.uint8), 1, False, ()
    if mode in ("P", "PA"):
        entries = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        indices = np.asarray(image)
        return grey_of_palette(indices if indices.ndim == 2 else indices[..., 0], entries, 8)
    if mode == "CMYK":
        grey, is_colour, notes = grey_of_cmyk(np.asarray(image))
        return grey, 8, is_colour, notes
    if mode not in ("L", "LA", "RGB", "RGBA", "RGBX"):
        raise UnreadableImageError(f"pictures of mode {mode} are not read")
    pixels = np.asarray(image)
    has_filler = mode == "RGBX"
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels[..., : 3 if has_filler else None]
    grey, is_colour, notes = _grey_of_channels(pixels)
    return grey, 8, is_colour, notes


def _grey_of_channels(pixels: np.ndarray) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """(H, W, 1 to 4): grey, grey and alpha, RGB, RGB and alpha."""
    num_channels = pixels.shape[2]
    notes: tuple[str, ...] = ()
    if num_channels in (2, 4) and int(pixels[..., -1].min()) < np.iinfo(pixels.dtype).max:
        notes = ("transparency is ignored",)
    if num_channels < 3:
        return np.ascontiguousarray(pixels[..., 0]), False, notes
    grey, is_colour, colour_notes = grey_of_rgb(pixels[..., :3])
    return grey, is_colour, notes + colour_notes
