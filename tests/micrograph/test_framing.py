import pytest
from hypothesis import given
from hypothesis import strategies as st

from texture_store.errors import ImageTooSmallError, UnknownScaleError
from texture_store.micrograph.framing import Framing, framing
from texture_store.spec import PixelSpec


def frame(width: int, height: int, um: float | None = None, um_y: float | None = None, **settings: object) -> Framing:
    spec = PixelSpec.model_validate(settings)
    return framing(width, height, spec, um_per_px_x=um, um_per_px_y=um if um_y is None else um_y)


def test_stretch_uses_the_whole_picture() -> None:
    view = frame(645, 484)
    assert view == Framing(0, 0, 645, 484, 512, 512)
    assert (view.px_per_px_x, view.px_per_px_y) == (645 / 512, 484 / 512)
    assert view.enlarged  # 484 rows become 512
    assert not frame(1280, 960).enlarged


@given(
    width=st.integers(32, 5000), height=st.integers(32, 5000), to=st.tuples(st.integers(32, 999), st.integers(32, 999))
)
def test_crop_is_the_largest_centred_rectangle_of_the_targets_aspect(
    width: int, height: int, to: tuple[int, int]
) -> None:
    view = frame(width, height, size=f"{to[0]}x{to[1]}", fit="crop")
    assert view.width == width or view.height == height
    assert 0 <= view.left <= width - view.width
    assert 0 <= view.top <= height - view.height
    assert abs((width - view.width) - 2 * view.left) <= 1
    assert abs((height - view.height) - 2 * view.top) <= 1
    # the same px per px on both axes, but for rounding to whole pixels
    assert abs(view.width - view.height * to[0] / to[1]) <= max(0.5, 0.5 * to[0] / to[1]) + 1e-6


def test_native_leaves_the_pixels_alone_unless_they_are_too_few() -> None:
    assert frame(1024, 700, size="native") == Framing(0, 0, 1024, 700, 1024, 700)
    assert frame(32, 32, size="native").seen_height == 32
    with pytest.raises(ImageTooSmallError, match="32 px"):
        frame(31, 400, size="native")


def test_physical_scale_shrinks_to_it() -> None:
    view = frame(1000, 800, 0.01, size=None, um_per_px=0.025)
    assert (view.seen_width, view.seen_height) == (400, 320)
    assert 0.01 * view.px_per_px_x == pytest.approx(0.025)


def test_oblong_pixels_become_square_at_a_physical_scale() -> None:
    view = frame(1000, 800, 0.01, 0.02, size=None, um_per_px=0.04)
    assert (view.seen_width, view.seen_height) == (250, 400)
    assert 0.01 * view.px_per_px_x == pytest.approx(0.04)
    assert 0.02 * view.px_per_px_y == pytest.approx(0.04)


def test_picture_that_has_the_scale_already_is_not_resampled() -> None:
    assert frame(300, 200, 0.1 + 1e-9, size=None, um_per_px=0.1) == Framing(0, 0, 300, 200, 300, 200)


def test_unknown_or_coarser_scale_is_refused() -> None:
    for um, um_y in ((None, None), (0.05, 0.2), (0.11, 0.11)):
        with pytest.raises(UnknownScaleError):
            frame(1000, 1000, um, um_y, size=None, um_per_px=0.1)


def test_picture_that_gets_under_128_px_is_refused() -> None:
    assert frame(512, 256, 0.05, size=None, um_per_px=0.1).seen_height == 128
    with pytest.raises(ImageTooSmallError, match="127"):
        frame(512, 254, 0.05, size=None, um_per_px=0.1)
    with pytest.raises(ImageTooSmallError):
        frame(5120, 5120, 1e-300, size=None, um_per_px=0.1)
