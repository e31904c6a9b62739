import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from texture_store.errors import ImageTooLargeError, UnreadableImageError
from texture_store.micrograph.decode import decode, picture_size

RNG = np.random.default_rng(11)
GREY8 = RNG.integers(0, 256, (70, 90), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (70, 90), dtype=np.uint16)
SMOOTH8 = (np.add.outer(np.arange(70), np.arange(90)) + 20).astype(np.uint8)
COLOUR8 = RNG.integers(0, 256, (70, 90, 3), dtype=np.uint8)


def encode(picture: np.ndarray | Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, file_format, **options)
    return file.getvalue()


def palette_image(entries: np.ndarray) -> Image.Image:
    image = Image.frombytes("P", (90, 70), (GREY8 % len(entries)).tobytes())
    image.putpalette(entries.astype(np.uint8).tobytes())
    return image


def luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float64) @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
def test_grey_in_8_bits_is_exact(file_format: str) -> None:
    data = encode(GREY8, file_format)
    decoded = decode(data)
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert (decoded.file_format, decoded.bit_depth, decoded.is_colour, decoded.num_pages) == (file_format, 8, False, 1)
    assert picture_size(data) == (90, 70)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_keeps_them(bits: int) -> None:
    values = GREY8[:, :88] >> (8 - bits)
    rows = [np.packbits(np.unpackbits(row[:, np.newaxis], axis=1)[:, -bits:].ravel()).tobytes() for row in values]
    decoded = decode(png(88, 70, bits, 0, b"".join(b"\0" + row for row in rows)))
    np.testing.assert_array_equal(decoded.grey, values)
    assert decoded.bit_depth == bits


def png(width: int, height: int, bits: int, colour_type: int, scanlines: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(scanlines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_png_in_16_bits_keeps_all_of_them_in_grey_colour_and_with_alpha() -> None:
    grey_rgb = np.stack([GREY16] * 3, axis=-1)
    opaque = np.full((70, 90, 1), 65535, np.uint16)
    with_alpha = np.concatenate([grey_rgb, opaque], axis=-1)
    for picture in (GREY16, grey_rgb, with_alpha):
        decoded = decode(imagecodecs.png_encode(picture))
        np.testing.assert_array_equal(decoded.grey, GREY16)
        assert (decoded.bit_depth, decoded.is_colour, decoded.notes) == (16, False, ())
    colour = RNG.integers(0, 65536, (70, 90, 3), dtype=np.uint16)
    decoded = decode(imagecodecs.png_encode(colour))
    assert np.abs(decoded.grey - luminance(colour)).max() <= 0.5 + 1e-9
    assert decoded.is_colour


def test_transparency_is_ignored_and_said() -> None:
    for picture in (np.stack([GREY8, 255 - GREY8], -1), np.stack([GREY8, GREY8, GREY8, 255 - GREY8], -1)):
        decoded = decode(encode(picture, "PNG"))
        np.testing.assert_array_equal(decoded.grey, GREY8)
        assert decoded.notes == ("transparency is ignored",)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF"])
def test_palette_of_grey_levels_is_looked_up_exactly(file_format: str) -> None:
    levels = np.sort(RNG.choice(256, 40, replace=False))
    decoded = decode(encode(palette_image(np.repeat(levels[:, np.newaxis], 3, axis=1)), file_format))
    np.testing.assert_array_equal(decoded.grey, levels[GREY8 % 40])
    assert not decoded.is_colour


def test_palette_of_colours_becomes_luminance() -> None:
    entries = RNG.integers(0, 256, (64, 3))
    decoded = decode(encode(palette_image(entries), "PNG"))
    assert np.abs(decoded.grey - luminance(entries)[GREY8 % 64]).max() <= 0.5 + 1e-9
    assert decoded.is_colour


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_colour_is_luminance_and_equal_channels_are_grey(file_format: str) -> None:
    decoded = decode(encode(COLOUR8, file_format))
    assert np.abs(decoded.grey - luminance(COLOUR8)).max() <= 0.5 + 1e-9
    assert decoded.is_colour
    assert "colour in" in decoded.notes[0]
    decoded = decode(encode(np.stack([GREY8] * 3, axis=-1), file_format))
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert not decoded.is_colour


def test_share_of_coloured_pixels_is_named() -> None:
    rgb = np.stack([GREY8] * 3, axis=-1)
    rgb[:7] = [200, 30, 30]
    assert decode(encode(rgb, "PNG")).notes == ("colour in 10 % of the pixels, read as luminance",)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_in_grey_colour_and_cmyk(mode: str, progressive: bool) -> None:
    image = Image.fromarray(SMOOTH8).convert("RGB")
    data = encode(image.convert(mode), "JPEG", quality=95, progressive=progressive)
    decoded = decode(data)
    assert np.abs(decoded.grey.astype(int) - SMOOTH8).max() <= 4
    assert (decoded.file_format, decoded.is_colour) == ("JPEG", False)
    assert picture_size(data) == (90, 70)


def test_grey_from_lossy_webp_is_not_called_colour() -> None:
    decoded = decode(encode(Image.fromarray(SMOOTH8).convert("RGB"), "WEBP", quality=90))
    assert np.abs(decoded.grey.astype(int) - SMOOTH8).max() <= 8
    assert (decoded.file_format, decoded.is_colour, decoded.notes) == ("WebP", False, ())
    decoded = decode(encode(Image.fromarray(COLOUR8), "WEBP", lossless=True))
    assert np.abs(decoded.grey - luminance(COLOUR8)).max() <= 0.5 + 1e-9
    assert decoded.is_colour


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP"])
def test_first_frame_of_an_animation_is_read_and_said(file_format: str) -> None:
    mode, options = ("RGB", {"lossless": True}) if file_format == "WEBP" else ("L", {})
    frames = [Image.fromarray(picture).convert(mode) for picture in (GREY8, 255 - GREY8)]
    decoded = decode(encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options))
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert decoded.num_pages == 2
    assert decoded.notes == ("first of 2 pages",)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_cut_file_is_unreadable(file_format: str) -> None:
    data = encode(Image.fromarray(GREY8).convert("RGB" if file_format == "WEBP" else "L"), file_format)
    for length in (30, len(data) // 2, len(data) - 20):
        with pytest.raises(UnreadableImageError):
            decode(data[:length])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_cut_jpeg_that_was_closed_with_an_end_marker_is_unreadable(share: float, options: dict[str, object]) -> None:
    picture = COLOUR8 if "subsampling" in options else GREY8
    data = encode(picture, "JPEG", quality=90, **options)
    closed = data[: int(share * len(data))].rstrip(b"\xff") + b"\xff\xd9"
    Image.open(io.BytesIO(closed)).load()  # Pillow gives half a picture
    with pytest.raises(UnreadableImageError, match="ends before its pixels do"):
        decode(closed)


def test_uniform_jpeg_is_whole() -> None:
    for progressive in (False, True):
        flat = encode(np.full((64, 64), 128, np.uint8), "JPEG", progressive=progressive)
        assert (decode(flat).grey == 128).all()


def test_damaged_png_pixels_are_noticed() -> None:
    data = bytearray(encode(GREY8, "PNG"))
    data[data.index(b"IDAT") + 500] ^= 1
    with pytest.raises(UnreadableImageError, match="check sum"):
        decode(bytes(data))


def test_bombs_are_refused_from_their_headers() -> None:
    huge_png = png(50_000, 50_000, 8, 0, b"\0" * 10)
    jpeg = bytearray(encode(GREY8, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    bmp = bytearray(encode(GREY8, "BMP"))
    bmp[18:26] = struct.pack("<ii", 100_000, 100_000)
    gif = bytearray(encode(GREY8, "GIF"))
    gif[6:10] = struct.pack("<HH", 65_000, 65_000)
    for data in (huge_png, bytes(jpeg), bytes(bmp), bytes(gif)):
        with pytest.raises(ImageTooLargeError, match="limit"):
            decode(data)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_limit_of_pixels_holds_for_every_format(file_format: str) -> None:
    data = encode(Image.fromarray(GREY8).convert("RGB" if file_format == "WEBP" else "L"), file_format)
    assert decode(data, max_pixels=GREY8.size).grey.shape == GREY8.shape
    with pytest.raises(ImageTooLargeError):
        decode(data, max_pixels=GREY8.size - 1)
