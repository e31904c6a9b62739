import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from texture_store.report.scale_bar import PixelShape, length_text, nice_length, pixel_shape, show_micrograph


def axes_of(picture: np.ndarray, shape: PixelShape) -> Axes:
    figure = Figure(figsize=(4, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    show_micrograph(axes, picture, shape)
    figure.canvas.draw()
    return axes


@given(st.floats(1e-7, 1e9))
def test_lengths_are_the_longest_of_1_2_5_that_fit(longest: float) -> None:
    length = nice_length(longest)
    assert longest / 2.5 < length <= longest
    mantissa = float(f"{length:e}".split("e")[0])
    assert mantissa in (1, 2, 5)


@pytest.mark.parametrize("length", [1e-3, 5e-3, 0.2, 1, 2, 5, 10, 50, 1000, 2000])
def test_a_length_that_fits_exactly_is_taken(length: float) -> None:
    assert nice_length(length) == length
    assert nice_length(math.nextafter(length, 0)) < length


@pytest.mark.parametrize(
    ("length", "text"),
    [(20, "20 µm"), (1, "1 µm"), (0.5, "500 nm"), (0.002, "2 nm"), (1e-3, "1 nm"), (2000, "2000 µm"), (2e-4, "0.2 nm")],
)
def test_lengths_under_a_um_are_in_nm(length: float, text: str) -> None:
    assert length_text(length) == text


def test_um_decide_the_shape_of_a_pixel_where_both_are_known() -> None:
    facts = {"um_per_px_x": 0.2, "um_per_px_y": 0.1, "px_per_px_x": 1.3, "px_per_px_y": 0.9}
    assert pixel_shape(facts) == PixelShape(0.5, 0.2)
    for unknown in (None, float("nan"), float("inf"), 0.0, -1.0, "0.1", np.nan):
        shape = pixel_shape(facts | {"um_per_px_y": unknown})
        assert shape == PixelShape(0.9 / 1.3, None)
    assert pixel_shape({}) == PixelShape(1.0, None)
    assert pixel_shape({"um_per_px_x": np.float64(1), "um_per_px_y": 1}) == PixelShape(1.0, 1.0)


def test_a_picture_that_was_stretched_is_shown_unstretched() -> None:
    """645 x 484 px of file were seen as 512 x 512."""
    shape = pixel_shape({"px_per_px_x": 645 / 512, "px_per_px_y": 484 / 512})
    extent = axes_of(np.zeros((512, 512), np.uint8), shape).get_window_extent()
    np.testing.assert_allclose(extent.width / extent.height, 645 / 484, rtol=1e-6)


@given(width=st.integers(32, 2000), um=st.floats(1e-4, 1e3))
def test_the_bar_has_its_length_and_takes_at_most_a_third_of_the_width(width: int, um: float) -> None:
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    show_micrograph(axes, np.zeros((40, width), np.uint8), PixelShape(1.0, um))
    (bar,) = (artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar))
    length_px = bar.size_bar.get_children()[0].get_width()
    number, unit = bar.txt_label.get_children()[0].get_text().split()
    length_um = float(number) * {"µm": 1, "nm": 1e-3}[unit]
    np.testing.assert_allclose(length_px * um, length_um, rtol=1e-9)
    assert width / 7.5 <= length_px <= width / 3 + 1e-9


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_the_drawn_bar_is_as_long_as_it_says_on_any_background(grey: int) -> None:
    """4 x 4 inches at 100 dpi show 200 px of 0.3 um: 20 um are 133 px of the drawing."""
    axes = axes_of(np.full((200, 200), grey, np.uint8), PixelShape(1.0, 0.3))
    drawn = np.asarray(axes.figure.canvas.buffer_rgba())[..., 0].astype(int)  # type: ignore[attr-defined]
    plate = round(0.35 * grey)
    on_plate = np.abs(drawn - plate) <= 2
    # From plate to plate, so that a white background is no bar.
    lengths = [np.diff(np.flatnonzero(row)).max() - 1 for row in on_plate[300:] if row[200:].sum() > 4]
    assert abs(max(lengths) - 20 / 0.3 * 2) <= 1.5


def test_without_a_scale_there_is_no_bar() -> None:
    assert not axes_of(np.zeros((64, 64), np.uint8), PixelShape(0.8, None)).artists


@pytest.mark.parametrize(("height", "width", "aspect"), [(100, 1000, 1.0), (1000, 100, 1.0), (512, 512, 0.75)])
def test_the_bar_is_half_as_thick_as_its_text_in_flat_and_tall_pictures(height: int, width: int, aspect: float) -> None:
    axes = axes_of(np.zeros((height, width), np.uint8), PixelShape(aspect, 1.0))
    (bar,) = (artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar))
    thickness = bar.size_bar.get_children()[0].get_window_extent().height
    np.testing.assert_allclose(thickness, 0.5 * 8 * 100 / 72, rtol=0.01)
