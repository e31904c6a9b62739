import io
import logging
import struct

import numpy as np
import pytest
import tifffile

from texture_store.errors import ImageTooLargeError, RejectedImageError, UnreadableImageError, UnsupportedImageError
from texture_store.micrograph.decode import decode, picture_size

RNG = np.random.default_rng(7)
GREY8 = RNG.integers(0, 256, (150, 210), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (150, 210), dtype=np.uint16)
SMOOTH8 = np.add.outer(np.arange(150), np.arange(210)).astype(np.uint8) // 2 * 2


def tiff(*pages: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    layout = {key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    with tifffile.TiffWriter(file, **layout) as writer:
        for page in pages:
            writer.write(page, **{"photometric": "minisblack", "metadata": None, **options})
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_grey_values_of_every_type_come_back_in_that_type(dtype: str, byteorder: str) -> None:
    picture = (RNG.random((40, 50)) * 100).astype(dtype)
    decoded = decode(tiff(picture, byteorder=byteorder))
    np.testing.assert_array_equal(decoded.grey, picture)
    assert decoded.grey.dtype == np.dtype(dtype)
    assert decoded.bit_depth == 8 * picture.itemsize
    assert decoded.is_float == (dtype[0] == "f")
    assert (decoded.file_format, decoded.num_pages, decoded.is_colour, decoded.notes) == ("TIFF", 1, False, ())


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 16}, {"tile": (64, 64)}])
@pytest.mark.parametrize("picture", [GREY8, GREY16], ids=["8-bit", "16-bit"])
def test_lossless_compressions_in_strips_and_tiles_keep_every_value(
    compression: str | None, layout: dict[str, object], picture: np.ndarray
) -> None:
    np.testing.assert_array_equal(decode(tiff(picture, compression=compression, **layout)).grey, picture)


def test_horizontal_and_float_predictors_are_undone() -> None:
    np.testing.assert_array_equal(decode(tiff(GREY16, compression="zlib", predictor=True)).grey, GREY16)
    floats = RNG.random((40, 50), dtype=np.float32)
    np.testing.assert_array_equal(decode(tiff(floats, compression="lzw", predictor=True)).grey, floats)


@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 32}, {"tile": (64, 64)}])
def test_jpeg_in_tiff_is_read_to_the_accuracy_of_jpeg(layout: dict[str, object]) -> None:
    decoded = decode(tiff(SMOOTH8[:, :64], compression="jpeg", compressionargs={"level": 95}, **layout))
    assert np.abs(decoded.grey.astype(int) - SMOOTH8[:, :64]).max() < 30
    assert np.abs(decoded.grey.astype(int) - SMOOTH8[:, :64]).mean() < 3


def test_bigtiff_is_read() -> None:
    data = tiff(GREY16, bigtiff=True)
    assert data[2] == 43
    np.testing.assert_array_equal(decode(data).grey, GREY16)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_packed_samples_keep_their_bits(bits: int) -> None:
    picture = RNG.integers(0, 2**bits, (20, 24)).astype(np.uint8 if bits <= 8 else np.uint16)
    raw = "".join(f"{value:0{bits}b}" for value in picture.ravel())
    packed = bytes(int(raw[i : i + 8], 2) for i in range(0, len(raw), 8))
    decoded = decode(by_hand(picture.shape, bits, packed))
    np.testing.assert_array_equal(decoded.grey, picture)
    assert decoded.bit_depth == bits


def by_hand(shape: tuple[int, int], bits: int, pixels: bytes, **changes: int) -> bytes:
    """A little-endian TIFF of one strip, made from the specification, with tags that a writer would refuse."""
    height, width = shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: len(pixels)}
    tags |= {int(code[1:]): value for code, value in changes.items()}
    start = 8 + 2 + 12 * len(tags) + 4
    tags[273] = start
    entries = b"".join(struct.pack("<HHII", code, 4, 1, tags[code]) for code in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + pixels


def test_white_is_zero_is_inverted() -> None:
    np.testing.assert_array_equal(decode(tiff(GREY8, photometric="miniswhite")).grey, 255 - GREY8)
    np.testing.assert_array_equal(decode(tiff(GREY16, photometric="miniswhite")).grey, 65535 - GREY16)
    signed = GREY16.view(np.int16)
    np.testing.assert_array_equal(decode(tiff(signed, photometric="miniswhite")).grey, -1 - signed.astype(int))
    twelve = GREY16 >> 4
    tags = [(281, 3, 1, 4095, False)]
    np.testing.assert_array_equal(decode(tiff(twelve, photometric="miniswhite", extratags=tags)).grey, 4095 - twelve)
    with pytest.raises(UnsupportedImageError):
        decode(tiff(RNG.random((9, 9)), photometric="miniswhite"))


def test_missing_photometric_tag_means_that_0_is_black() -> None:
    data = bytearray(by_hand(GREY8.shape, 8, GREY8.tobytes()))
    tag = data.index((262).to_bytes(2, "little"), 8)
    data[tag : tag + 2] = (263).to_bytes(2, "little")  # Threshholding, which nobody reads
    np.testing.assert_array_equal(decode(bytes(data)).grey, GREY8)


def test_equal_channels_are_grey_exactly_and_planes_are_joined() -> None:
    for picture in (GREY8, GREY16):
        for planar in ("contig", "separate"):
            rgb = np.stack([picture] * 3, axis=-1 if planar == "contig" else 0)
            decoded = decode(tiff(rgb, photometric="rgb", planarconfig=planar))
            np.testing.assert_array_equal(decoded.grey, picture)
            assert not decoded.is_colour


def test_colour_becomes_luminance_and_is_flagged() -> None:
    rgb = RNG.integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    decoded = decode(tiff(rgb, photometric="rgb"))
    luminance = rgb.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(decoded.grey - luminance).max() <= 0.5 + 1e-9
    assert decoded.grey.dtype == np.uint16
    assert decoded.is_colour
    assert "luminance" in decoded.notes[0]


def test_zeiss_palette_gives_its_indices_where_the_ramp_has_overlay_colours() -> None:
    ramp = np.repeat((np.arange(256) * 257)[np.newaxis], 3, axis=0).astype(np.uint16)
    overlay = ramp.copy()
    overlay[:, 230:] = RNG.integers(0, 65536, (3, 26))
    for palette in (ramp, overlay, ramp >> 8 << 8, ramp >> 8):
        decoded = decode(tiff(GREY8, photometric="palette", colormap=palette))
        np.testing.assert_array_equal(decoded.grey, GREY8)
        assert (decoded.bit_depth, decoded.is_colour) == (8, False)
    assert "overlay colours" in decode(tiff(GREY8, photometric="palette", colormap=overlay)).notes[0]


def test_other_palettes_are_looked_up() -> None:
    turned = np.repeat(np.arange(255, -1, -1)[np.newaxis] * 257, 3, axis=0).astype(np.uint16)
    decoded = decode(tiff(GREY8, photometric="palette", colormap=turned))
    np.testing.assert_array_equal(decoded.grey, 255 - GREY8)
    assert not decoded.is_colour
    colours = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 257
    decoded = decode(tiff(GREY8, photometric="palette", colormap=colours))
    luminance = np.array([0.299, 0.587, 0.114]) @ (colours // 257)
    assert np.abs(decoded.grey - luminance[GREY8]).max() <= 0.5 + 1e-9
    assert decoded.is_colour


def test_first_page_is_read_and_said() -> None:
    decoded = decode(tiff(GREY8, 255 - GREY8, GREY8 // 2))
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert decoded.num_pages == 3
    assert decoded.notes == ("first of 3 pages",)


@pytest.mark.parametrize("subfile", [0, 1, 4])
def test_thumbnail_before_the_picture_is_skipped_whether_it_is_marked_or_not(subfile: int) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        small = GREY8[::4, ::4] > 99 if subfile == 4 else GREY8[::4, ::4]
        writer.write(small, subfiletype=subfile, metadata=None, photometric="minisblack")
        writer.write(GREY8, metadata=None)
    decoded = decode(file.getvalue())
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert decoded.notes == ("page 2 of 2 pages, the first full-size one",)
    assert picture_size(file.getvalue()) == (210, 150)


def test_reduced_page_larger_than_the_picture_is_not_the_picture() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(GREY8[:64, :64], metadata=None)
        writer.write(GREY8, subfiletype=1, metadata=None)
    np.testing.assert_array_equal(decode(file.getvalue()).grey, GREY8[:64, :64])


def test_alpha_and_further_detectors_are_left_out() -> None:
    pair = np.stack([GREY8, 255 - GREY8], axis=-1)
    decoded = decode(tiff(pair, extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert decoded.notes == ()
    decoded = decode(by_hand(GREY8.shape, 8, pair.tobytes(), t277=2))
    np.testing.assert_array_equal(decoded.grey, GREY8)
    assert decoded.notes == ("first of 2 channels",)


@pytest.mark.parametrize(
    "layout",
    [{}, {"compression": "lzw"}, {"compression": "zlib", "tile": (64, 64)}, {"compression": "jpeg"}],
)
def test_file_cut_anywhere_in_its_pixels_is_unreadable(layout: dict[str, object]) -> None:
    data = tiff(GREY8, **layout)
    for length in (len(data) // 3, len(data) - 60, len(data) - 2):
        with pytest.raises(UnreadableImageError):
            decode(data[:length])


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31, 2**31), (1, 2**32 - 1)])
def test_bomb_is_refused_from_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLargeError, match="limit"):
        decode(by_hand(size, 8, b"\0" * 100))


def test_limit_counts_bytes_as_well_as_pixels() -> None:
    data = tiff(GREY16)
    with pytest.raises(ImageTooLargeError, match=f"{GREY16.size - 1}"):
        decode(data, max_pixels=GREY16.size - 1)
    decode(data, max_pixels=GREY16.size)
    with pytest.raises(ImageTooLargeError, match="bytes"):
        decode(by_hand((16_000, 16_000), 64, b"\0" * 100, t339=3))


def test_tile_larger_than_the_limit_is_refused_although_the_picture_is_small() -> None:
    tiles = {"t322": 2**20, "t323": 2**20, "t324": 200, "t325": 100}
    with pytest.raises(RejectedImageError):
        decode(by_hand((10, 10), 8, b"\0" * 200, **tiles))


def test_jpeg_strip_that_claims_more_than_its_place_is_refused_before_decoding() -> None:
    data = bytearray(tiff(GREY8, compression="jpeg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    with pytest.raises(UnreadableImageError, match="larger than its place"):
        decode(bytes(data))


def test_pages_in_a_circle_end() -> None:
    data = bytearray(by_hand((10, 10), 8, b"\0" * 100))
    link = 8 + 2 + 12 * 9
    data[link : link + 4] = struct.pack("<I", 8)
    with pytest.raises(UnreadableImageError, match="circle"):
        decode(bytes(data))


def test_long_circle_of_pages_ends() -> None:
    entry = struct.pack("<HHHII", 1, 256, 4, 1, 1)
    pages = b"".join(entry + struct.pack("<I", 8 + 18 * ((i + 1) % 300)) for i in range(300))
    with pytest.raises(UnreadableImageError, match="circle"):
        decode(b"II*\0\x08\0\0\0" + pages)


def test_kinds_that_are_not_read_are_said() -> None:
    with pytest.raises(UnreadableImageError, match="compression 34712"):
        decode(by_hand((10, 10), 8, b"\0" * 100, t259=34712))
    with pytest.raises(UnsupportedImageError, match="photometric"):
        decode(by_hand((10, 10), 8, b"\0" * 100, t262=32803))
    with pytest.raises(UnsupportedImageError, match="not read"):
        decode(tiff(np.ones((8, 8), np.complex64)))


def test_odd_files_leave_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("tifffile").handlers.clear()
    for broken in (by_hand((10, 10), 8, b""), by_hand((10, 10), 8, b"\0" * 100, t258=77), tiff(GREY8)[:900]):
        with pytest.raises(RejectedImageError):
            decode(broken)
    assert capfd.readouterr() == ("", "")
