import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from texture_store.micrograph.decode import decode

TWELVE = np.random.default_rng(3).integers(0, 4096, (40, 50)).astype(np.uint16)


def tiff(picture: np.ndarray, *tags: tuple[int, int, int, object, bool], **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, picture, extratags=tags, metadata=None, photometric="minisblack", **options)
    return file.getvalue()


def png_with_sbit(picture: np.ndarray, bits: int) -> bytes:
    data = imagecodecs.png_encode(picture)
    body = b"sBIT" + bytes([bits])
    return data[:33] + struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


@pytest.mark.parametrize("tag", [281, 341])
def test_declared_largest_value_of_all_ones_gives_the_bits(tag: int) -> None:
    decoded = decode(tiff(TWELVE, (tag, 3, 1, 4095, False)))
    assert decoded.bit_depth == 12
    assert decoded.notes == ("12 significant bits of 16",)


@pytest.mark.parametrize("value", [0, 3172, 4094, 4096, 65535])
def test_largest_value_that_may_be_a_statistic_is_not_believed(value: int) -> None:
    assert decode(tiff(TWELVE, (281, 3, 1, value, False))).bit_depth == 16


def test_declaration_that_a_pixel_contradicts_is_not_believed() -> None:
    picture = TWELVE.copy()
    picture[0, 0] = 4096
    decoded = decode(tiff(picture, (281, 3, 1, 4095, False)))
    assert decoded.bit_depth == 16
    assert "not believed" in decoded.notes[0]


def test_ome_significant_bits_are_believed() -> None:
    ome = b'<OME><Image><Pixels Type="uint16" SignificantBits="14" SizeX="50"/></Image></OME>'
    assert decode(tiff(TWELVE, description=ome)).bit_depth == 14


def test_sbit_of_a_png_that_follows_the_specification_leaves_the_full_range() -> None:
    for scaled in (TWELVE << 4, (TWELVE << 4) | (TWELVE >> 8)):
        decoded = decode(png_with_sbit(scaled, 12))
        np.testing.assert_array_equal(decoded.grey, scaled)
        assert decoded.bit_depth == 16


def test_sbit_counts_where_the_samples_were_not_scaled() -> None:
    decoded = decode(png_with_sbit(TWELVE, 12))
    assert decoded.bit_depth == 12
    np.testing.assert_array_equal(decoded.grey, TWELVE)
