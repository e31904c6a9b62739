import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texture_store.errors import UnsupportedImageError
from texture_store.micrograph.intensity import STANDARD_MEAN, STANDARD_SPREAD, standardize, to_scale, uses_low_range

RNG = np.random.default_rng(2)


def full_type(dtype: str) -> np.ndarray:
    info = np.iinfo(dtype)
    values = RNG.integers(info.min, info.max, (30, 40), dtype=dtype, endpoint=True)
    values[0, :2] = info.min, info.max
    return values


def test_8_bit_values_are_kept_as_they_are() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    scaled = to_scale(every, bit_depth=8, is_float=False, value_range=None)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, every)


@pytest.mark.parametrize("dtype", ["u2", "u4", "i1", "i2", "i4"])
def test_integers_span_their_type(dtype: str) -> None:
    grey, info = full_type(dtype), np.iinfo(dtype)
    scaled = to_scale(grey, bit_depth=info.bits, is_float=False, value_range=None)
    defined = (grey.astype(np.float64) - info.min) / (float(info.max) - info.min) * 255
    np.testing.assert_allclose(scaled, defined, atol=2e-5)
    assert (scaled[0, 0], scaled[0, 1]) == (0, 255)


def test_16_bit_copy_of_8_bit_values_gives_them_back() -> None:
    every = np.arange(256, dtype=np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(to_scale(every * 257, bit_depth=16, is_float=False, value_range=None), every)


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 1), ("u1", 4), ("u2", 12), ("u4", 20), ("i2", 12)])
def test_fewer_significant_bits_span_the_scale(dtype: str, bits: int) -> None:
    grey = RNG.integers(0, 2**bits, (20, 30)).astype(dtype)
    scaled = to_scale(grey, bit_depth=bits, is_float=False, value_range=None)
    np.testing.assert_allclose(scaled, grey / (2**bits - 1) * 255, atol=2e-5)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f2", "f4", "f8"])
def test_declared_range_is_shown_as_0_and_255_and_clipped(dtype: str) -> None:
    grey = np.array([[0, 20, 45, 70, 120]]).astype(dtype)
    is_float = dtype[0] == "f"
    scaled = to_scale(grey, bit_depth=8 * grey.itemsize, is_float=is_float, value_range=(20, 70))
    np.testing.assert_allclose(scaled, [[0, 0, 127.5, 255, 255]], atol=1e-5)


def test_floats_without_a_range_or_with_nan_are_refused() -> None:
    with pytest.raises(UnsupportedImageError, match="--range"):
        to_scale(np.zeros((4, 4), np.float32), bit_depth=32, is_float=True, value_range=None)
    with pytest.raises(UnsupportedImageError, match="1 pixels are not numbers"):
        to_scale(np.array([[0.5, np.nan]]), bit_depth=64, is_float=True, value_range=(0, 1))
    infinite = to_scale(np.array([[-np.inf, np.inf]]), bit_depth=64, is_float=True, value_range=(0, 1))
    np.testing.assert_array_equal(infinite, [[0, 255]])


def test_small_differences_on_a_large_offset_are_kept() -> None:
    grey = np.array([[1e6, 1e6 + 0.25, 1e6 + 1]])
    scaled = to_scale(grey, bit_depth=64, is_float=True, value_range=(1e6, 1e6 + 1))
    np.testing.assert_allclose(scaled, [[0, 63.75, 255]], atol=1e-5)


def test_low_range_is_under_an_eighth_of_the_scale() -> None:
    assert uses_low_range(np.array([[100.0, 131.8]]))
    assert not uses_low_range(np.array([[100.0, 131.9]]))
    assert uses_low_range(np.array([[7.0]]))


def test_standardized_picture_has_the_fixed_mean_and_spread() -> None:
    picture = RNG.uniform(60, 90, (50, 60)).astype(np.float32)  # uniform: within 1.8 deviations, so nothing is clipped
    result = standardize(picture)
    assert result.dtype == np.float32
    assert result.mean(dtype=np.float64) == pytest.approx(STANDARD_MEAN, abs=1e-3)
    assert result.std(dtype=np.float64) == pytest.approx(STANDARD_SPREAD, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(gain=st.floats(0.05, 1), offset=st.floats(0, 100))
def test_standardized_picture_does_not_depend_on_gain_and_offset(gain: float, offset: float) -> None:
    picture = np.random.default_rng(0).normal(70, 20, (30, 30))
    moved = (picture * gain + offset).astype(np.float32)
    np.testing.assert_allclose(standardize(moved), standardize(picture.astype(np.float32)), atol=5e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 254.9, 255.0])
def test_constant_picture_becomes_the_mean(value: float) -> None:
    np.testing.assert_array_equal(standardize(np.full((9, 9), value, np.float32)), np.float32(STANDARD_MEAN))


def test_one_odd_pixel_gives_finite_values_in_the_scale() -> None:
    picture = np.full((100, 100), 100, np.float32)
    picture[3, 4] = 100.001
    result = standardize(picture)
    assert np.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 255
