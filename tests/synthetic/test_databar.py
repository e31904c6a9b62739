import numpy as np
import pytest

from texture_store.synthetic.databar import add_databar

PICTURE = np.full((512, 512), 90, np.uint8)


@pytest.mark.parametrize(("um_per_px", "bar_um"), [(0.4, 20.0), (0.01, 0.5), (3.0, 200.0)])
def test_the_scale_bar_is_as_long_as_a_round_length(um_per_px: float, bar_um: float) -> None:
    pixels, num_rows = add_databar(PICTURE, um_per_px=um_per_px, sample="powder 1")
    inside = pixels[-num_rows + 1 : -1, 1:-1] == 255  # without the frame
    longest = max(
        max((len(run) for run in "".join("x" if white else " " for white in row).split()), default=0) for row in inside
    )
    assert longest == pytest.approx(bar_um / um_per_px, abs=1.5)


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_the_strip_goes_under_the_picture(size: int) -> None:
    picture = np.full((size, size), 90, np.uint8)
    pixels, num_rows = add_databar(picture, um_per_px=0.4, sample="powder 1")
    assert pixels.shape == (size + num_rows, size)
    np.testing.assert_array_equal(pixels[:size], picture)
    strip = pixels[size:]
    assert np.mean(strip == 0) > 0.5
    assert num_rows <= 0.2 * pixels.shape[0]  # more is never cut
