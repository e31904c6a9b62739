import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from texture_store.micrograph.resize import area_weights, resize
from texture_store.spec import Resize

RNG = np.random.default_rng(4)
PICTURE = (RNG.random((61, 83)) * 255).astype(np.float32)
sides = st.integers(1, 90)


def exact_weights(num_from: int, num_to: int) -> np.ndarray:
    """The definition: overlap of new pixel j with old pixel i, over the width of a new pixel."""
    step = num_from / num_to
    j, i = np.arange(num_to)[:, np.newaxis], np.arange(num_from)
    return np.maximum(0, np.minimum((j + 1) * step, i + 1) - np.maximum(j * step, i)) / step


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 83), height=st.integers(1, 61))
def test_area_is_the_mean_over_what_a_pixel_covers(width: int, height: int) -> None:
    defined = exact_weights(61, height) @ PICTURE.astype(np.float64) @ exact_weights(83, width).T
    np.testing.assert_allclose(resize(PICTURE, width, height, method="area"), defined, atol=1e-4)


def test_area_keeps_slivers_of_a_large_picture() -> None:
    # 1/1279 px, which OpenCV leaves out
    picture = (RNG.random((3, 1280)) * 255).astype(np.float32)
    defined = picture.astype(np.float64) @ exact_weights(1280, 1279).T
    np.testing.assert_allclose(resize(picture, 1279, 3, method="area"), defined, atol=1e-4)


def test_area_by_a_whole_factor_is_the_mean_of_blocks() -> None:
    blocks = PICTURE[:60, :80].astype(np.float64).reshape(15, 4, 16, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(PICTURE[:60, :80], 16, 15, method="area"), blocks, atol=1e-4)


@given(num_from=st.integers(1, 3000), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_area_weights_sum_to_one_and_use_every_pixel_alike(num_from: int, share: float) -> None:
    num_to = max(1, round(share * num_from))
    weights = area_weights(num_from, num_to)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), num_to / num_from, atol=1e-5)


@pytest.mark.parametrize("size", [(40, 30), (83, 20), (11, 61), (82, 60)])
def test_bilinear_is_pillows_antialiased_triangle(size: tuple[int, int]) -> None:
    pillow = np.asarray(Image.fromarray(PICTURE).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize(PICTURE, *size, method="bilinear"), pillow)


@pytest.mark.parametrize("size", [(40, 30), (200, 150), (40, 150), (512, 512)])
def test_nearest_takes_the_pixel_under_the_centre_also_for_enlarging(size: tuple[int, int]) -> None:
    rows = ((np.arange(size[1]) + 0.5) * 61 / size[1]).astype(int)
    columns = ((np.arange(size[0]) + 0.5) * 83 / size[0]).astype(int)
    np.testing.assert_array_equal(resize(PICTURE, *size, method="nearest"), PICTURE[np.ix_(rows, columns)])
    pillow = Image.fromarray(PICTURE.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize(PICTURE.astype(np.uint8).astype(np.float32), *size, method="nearest"), pillow)


@pytest.mark.parametrize("method", ["area", "bilinear"])
def test_enlarging_is_pillows_bicubic(method: Resize) -> None:
    pillow = np.asarray(Image.fromarray(PICTURE).resize((200, 150), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize(PICTURE, 200, 150, method=method), pillow)


@pytest.mark.parametrize("method", ["area", "bilinear"])
def test_mixed_axes_shrink_one_and_enlarge_the_other(method: Resize) -> None:
    wider = resize(PICTURE, 200, 20, method=method)
    less_high = resize(PICTURE, 83, 20, method=method)
    np.testing.assert_array_equal(
        wider, np.asarray(Image.fromarray(less_high).resize((200, 20), Image.Resampling.BICUBIC))
    )


@settings(max_examples=60, deadline=None)
@given(width=sides, height=sides, method=st.sampled_from(["area", "bilinear", "nearest"]), value=st.integers(0, 255))
def test_constant_pictures_stay_constant(width: int, height: int, method: Resize, value: int) -> None:
    result = resize(np.full((37, 53), value, np.float32), width, height, method=method)
    assert result.shape == (height, width)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, value, atol=1e-3)


@pytest.mark.parametrize("method", ["area", "bilinear", "nearest"])
def test_same_size_gives_the_same_values(method: Resize) -> None:
    np.testing.assert_array_equal(resize(PICTURE, 83, 61, method=method), PICTURE)


@pytest.mark.parametrize("method", ["area", "bilinear", "nearest"])
def test_views_of_a_picture_are_resized_like_copies(method: Resize) -> None:
    view = PICTURE[3:50, 7:70]
    np.testing.assert_array_equal(resize(view, 20, 30, method=method), resize(view.copy(), 20, 30, method=method))
