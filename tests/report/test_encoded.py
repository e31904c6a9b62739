import numpy as np

from texture_store.report.encoded import decoded, jpeg_bytes, png_bytes

GREY = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))


def test_png_keeps_every_value() -> None:
    colour = np.stack([GREY, GREY[:, ::-1], GREY // 2], axis=2)
    for picture in (GREY, colour):
        back = decoded(png_bytes(picture))
        assert back.dtype == np.uint8
        np.testing.assert_array_equal(back, picture)


def test_jpeg_keeps_a_picture_about() -> None:
    back = decoded(jpeg_bytes(GREY))
    assert back.shape == GREY.shape
    assert np.abs(back.astype(int) - GREY).mean() < 3
