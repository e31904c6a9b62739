import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from texture_store.errors import DimensionMismatchError
from texture_store.explain.contrast import as_grey, at_contrast, deprocess

Floats = npt.NDArray[np.float64]


def _values(seed: int, tail: float = 1.0) -> Floats:
    """Noise; a power above 1 gives it tails that clipping cuts."""
    noise = np.random.default_rng(seed).standard_normal((40, 30))
    values: Floats = np.sign(noise) * np.abs(noise) ** tail
    return values


@given(st.integers(0, 1000), st.floats(0.3, 2.0), st.floats(5, 60))
def test_pictures_have_the_mean_and_the_contrast_after_clipping(seed: int, tail: float, contrast: float) -> None:
    picture = at_contrast(_values(seed, tail), contrast)
    assert picture.dtype == np.uint8
    # What rounding to whole levels may add: a twelfth of a level squared.
    assert picture.mean() == pytest.approx(127.5, abs=0.1)
    assert picture.std() == pytest.approx(np.hypot(contrast, np.sqrt(1 / 12)), abs=0.1)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_scale_and_offset_do_not_matter(seed: int, scale: float, offset: float) -> None:
    values = _values(seed)
    difference = at_contrast(values * scale + offset, 51).astype(int) - at_contrast(values, 51)
    assert np.abs(difference).max() <= 1


def test_without_clipping_it_is_a_straight_line() -> None:
    values = np.random.default_rng(0).random((40, 30))
    expected = 127.5 + 25.5 * (values - values.mean()) / values.std()
    assert np.abs(at_contrast(values, 25.5) - expected).max() <= 0.5 + 1e-9


def test_a_few_specks_have_what_contrast_they_can() -> None:
    values = np.zeros((40, 30))
    values[3, 4] = 1
    picture = at_contrast(values, 51)
    assert picture[3, 4] == 255
    assert 0 < picture.std() < 51


def test_equal_values_are_flat_grey() -> None:
    assert (at_contrast(np.full((4, 5), 0.1 + 0.2), 51) == 128).all()
    assert (at_contrast(np.full((4, 5, 3), 1e9), 51) == 128).all()


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((0, 3)), np.full((3, 3), np.nan), np.full((3, 3), np.inf)])
def test_what_is_no_picture_is_refused(values: Floats) -> None:
    with pytest.raises(DimensionMismatchError, match="finite"):
        at_contrast(values, 51)


def test_deprocess_is_the_keras_examples() -> None:
    x = np.random.default_rng(0).normal(128, 9, (16, 16, 3))
    x[0, 0] = 300
    found = deprocess(x)
    x -= x.mean()
    x /= x.std() + 1e-5
    x *= 0.1
    x += 0.5
    x = np.clip(x, 0, 1)
    x *= 255
    np.testing.assert_array_equal(found, np.clip(x, 0, 255).astype("uint8"))


def test_grey_is_the_mean_of_the_channels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_allclose(as_grey(picture)[1, 2], sum(int(level) for level in picture[1, 2]) / 3)
    np.testing.assert_array_equal(as_grey(picture[:, :, 0]), picture[:, :, 0])
