import io
import pickle

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from texture_store.errors import RejectedImageError, UnreadableImageError
from texture_store.micrograph.decode import decode, format_of
from texture_store.micrograph.decoded import one_line
from texture_store.micrograph.vendor import read_vendor

BEGINNINGS = [b"", b"\0", b"II", b"II*\0", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"]


@pytest.mark.parametrize("data", BEGINNINGS)
def test_beginnings_of_images_are_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        decode(data)


def test_empty_file_and_files_of_other_kinds_are_named_as_such() -> None:
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        decode(b"")
    for data in (b"<html>404</html>", b"%PDF-1.7", bytes(5000), b"path,label\na,b\n"):
        with pytest.raises(UnreadableImageError, match="not an image"):
            decode(data)


def test_format_is_decided_by_the_bytes() -> None:
    for name in ("TIFF", "PNG", "JPEG", "BMP", "GIF", "WebP"):
        file = io.BytesIO()
        Image.new("RGB", (40, 40), (9, 9, 9)).save(file, name)
        assert format_of(file.getvalue()) == name
        assert decode(file.getvalue()).file_format == name


def test_message_of_a_decoder_becomes_one_printable_line() -> None:
    assert one_line("a\n\tb\x1b[31m \x00c\u2028d") == "a b [31m c d"
    assert len(one_line("x" * 10_000)) == 160


def seeds() -> dict[str, bytes]:
    rng = np.random.default_rng(5)
    grey = (np.add.outer(np.arange(48), np.arange(40)) * 2 + rng.integers(0, 9, (48, 40))).astype(np.uint8)
    found: dict[str, bytes] = {}
    for name, image, options in (
        ("png", Image.fromarray(grey), {}),
        ("png-palette", Image.fromarray(grey).convert("P"), {}),
        ("jpeg", Image.fromarray(grey), {}),
        ("jpeg-progressive", Image.fromarray(grey).convert("RGB"), {"progressive": True}),
        ("bmp", Image.fromarray(grey).convert("P"), {}),
        ("gif", Image.fromarray(grey), {}),
        ("webp", Image.fromarray(grey).convert("RGB"), {}),
        ("webp-lossless", Image.fromarray(grey).convert("RGB"), {"lossless": True}),
    ):
        file = io.BytesIO()
        image.save(file, name.split("-")[0], **options)
        found[name] = file.getvalue()
    fei = "[Scan]\nPixelWidth=1e-9\n[Image]\nResolutionX=40\nResolutionY=40\n[PrivateFei]\nDatabarHeight=8\n\0"
    ramp = np.repeat(np.arange(256, dtype=np.uint16)[np.newaxis] * 257, 3, axis=0)
    for name, options in (
        ("tiff", {}),
        ("tiff-lzw", {"compression": "lzw", "predictor": True}),
        ("tiff-deflate-tiles", {"compression": "zlib", "tile": (16, 16)}),
        ("tiff-jpeg", {"compression": "jpeg"}),
        ("tiff-big", {"bigtiff": True}),
        ("tiff-palette", {"photometric": "palette", "colormap": ramp}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, grey, extratags=[(34682, 2, len(fei), fei, False)], **options)
        found[name] = file.getvalue()
    return found


SEEDS = seeds()
LIMIT = 10**6


def decodes_or_is_rejected(data: bytes) -> None:
    read_vendor(data)
    rejection = None
    try:
        decoded = decode(data, max_pixels=LIMIT)
    except RejectedImageError as error:
        rejection = error
    if rejection is None:
        assert decoded.grey.ndim == 2
        assert 0 < decoded.grey.size <= LIMIT
        assert decoded.grey.dtype.isnative
        assert decoded.grey.flags.c_contiguous
    else:
        assert str(rejection)
        assert str(rejection).isprintable()
        assert isinstance(pickle.loads(pickle.dumps(rejection)), type(rejection))


@pytest.mark.parametrize("name", SEEDS)
def test_every_seed_is_whole(name: str) -> None:
    assert decode(SEEDS[name]).grey.shape == (48, 40)


@pytest.mark.parametrize("name", SEEDS)
def test_files_cut_at_any_length_give_a_picture_or_a_rejection(name: str) -> None:
    data = SEEDS[name]
    for length in range(0, len(data), max(1, len(data) // 60)):
        decodes_or_is_rejected(data[:length])


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_files_with_flipped_bytes_give_a_picture_or_a_rejection(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(SEEDS[name])
    for where, value in changes:
        data[int(where**3 * len(data))] = value  # most changes in the header
    decodes_or_is_rejected(bytes(data))


SIGNATURES = [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"BM", b"GIF89a", b"\xff\xd8\xff"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=400))
def test_noise_after_a_signature_gives_a_picture_or_a_rejection(start: bytes, rest: bytes) -> None:
    decodes_or_is_rejected(start + rest)
