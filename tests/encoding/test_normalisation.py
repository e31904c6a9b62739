import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from texture_store.encoding.normalisation import NORMALISATIONS, Normalisation, normalise
from texture_store.errors import DimensionMismatchError, UsageError

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

any_value = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def vlad_vectors(draw: st.DrawFn) -> tuple[Float32s, int]:
    num_words = draw(st.integers(1, 5))
    shape = (draw(st.integers(0, 4)), num_words * draw(st.integers(1, 4)))
    return draw(hnp.arrays(np.float32, shape, elements=any_value)), num_words


def _published_vlad(descriptors: Float64s, words: Float64s) -> Float64s:
    """VLAD with component-wise L2 and global L2, from the description of DeCost's group's code, word by word."""
    nearest = np.argmin(cdist(descriptors, words), axis=1)
    blocks = []
    for number, word in enumerate(words):
        residual = np.zeros_like(word)
        for descriptor in descriptors[nearest == number]:
            residual += descriptor - word
        length = np.linalg.norm(residual)
        blocks.append(residual / length if length > 0 else residual)
    vector = np.concatenate(blocks)
    return vector / np.linalg.norm(vector)


def test_intra_is_the_published_procedure() -> None:
    generator = np.random.default_rng(0)
    descriptors = np.maximum(generator.standard_normal((3, 500, 12)), 0) * np.logspace(0, 3, 12)
    words = np.concatenate([descriptors[0, :6], [np.full(12, -1e6)]])  # the last one stays empty
    raw, expected = [], []
    for of_image in descriptors:
        nearest = cdist(of_image, words).argmin(axis=1)
        raw.append([(of_image[nearest == k] - words[k]).sum(axis=0) for k in range(7)])
        expected.append(_published_vlad(of_image, words))
    vectors = np.reshape(raw, (3, 7 * 12)).astype(np.float32)
    np.testing.assert_allclose(normalise(vectors, 7), expected, rtol=0, atol=1e-7)
    assert not normalise(vectors, 7)[:, -12:].any()


def test_values_by_hand() -> None:
    vectors = np.float32([[3, 4, 0, 0, 0, -16]])
    by_hand: dict[Normalisation, list[float]] = {
        "none": [3, 4, 0, 0, 0, -16],
        "intra": [0.6 / 2**0.5, 0.8 / 2**0.5, 0, 0, 0, -1 / 2**0.5],
        "signed-sqrt": [(3 / 23) ** 0.5, (4 / 23) ** 0.5, 0, 0, 0, -((16 / 23) ** 0.5)],
        "l2": [3 / 281**0.5, 4 / 281**0.5, 0, 0, 0, -16 / 281**0.5],
    }
    assert set(by_hand) == set(NORMALISATIONS)
    for how, expected in by_hand.items():
        np.testing.assert_allclose(normalise(vectors, 3, how), [expected], rtol=1e-6)


def test_intra_is_the_default() -> None:
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    np.testing.assert_array_equal(normalise(vectors, 2), normalise(vectors, 2, "intra"))


@given(vlad_vectors(), st.sampled_from(NORMALISATIONS[1:]))
@settings(max_examples=100, deadline=None)
def test_vectors_come_out_with_length_1_or_as_zeros_and_keep_their_signs(
    case: tuple[Float32s, int], how: Normalisation
) -> None:
    vectors, num_words = case
    normalised = normalise(vectors, num_words, how)
    assert normalised.dtype == np.float32
    assert normalised.shape == vectors.shape
    is_zero = ~vectors.any(axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(normalised.astype(np.float64), axis=1), np.where(is_zero, 0, 1), atol=1e-6
    )
    assert (normalised * np.sign(vectors) >= 0).all()


@given(vlad_vectors())
@settings(max_examples=100, deadline=None)
def test_intra_gives_every_word_that_has_residuals_the_same_length(case: tuple[Float32s, int]) -> None:
    vectors, num_words = case
    blocks = vectors.reshape(len(vectors), num_words, vectors.shape[1] // num_words)
    lengths = np.linalg.norm(normalise(vectors, num_words).reshape(blocks.shape).astype(np.float64), axis=2)
    has_residuals = blocks.any(axis=2)
    share = 1 / np.sqrt(np.maximum(has_residuals.sum(axis=1, keepdims=True), 1))
    np.testing.assert_allclose(lengths, np.where(has_residuals, share, 0), atol=1e-6)


@given(vlad_vectors(), st.sampled_from(NORMALISATIONS[1:]), st.integers(-10, 10))
@settings(max_examples=100, deadline=None)
def test_scaling_all_residuals_changes_nothing(case: tuple[Float32s, int], how: Normalisation, power: int) -> None:
    vectors, num_words = case
    vectors = np.where(np.abs(vectors) < 1e-30, 0, vectors.clip(-1e30, 1e30)).astype(np.float32)
    scaled = normalise(vectors * np.float32(4.0**power), num_words, how)
    np.testing.assert_allclose(scaled, normalise(vectors, num_words, how), rtol=0, atol=1e-7)


def test_rows_do_not_depend_on_each_other() -> None:
    # More than one block of rows.
    vectors = np.random.default_rng(0).standard_normal((140, 16384)).astype(np.float32)
    for how in NORMALISATIONS:
        np.testing.assert_array_equal(normalise(vectors, 32, how)[129:130], normalise(vectors[129:130], 32, how))


def test_the_argument_is_not_changed() -> None:
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    before = vectors.copy()
    for how in NORMALISATIONS:
        normalise(vectors, 2, how)
    np.testing.assert_array_equal(vectors, before)


def test_what_is_not_finite_stays_visible_in_its_own_row_alone() -> None:
    vectors = np.ones((2, 4), np.float32)
    vectors[1, 2] = np.nan
    for how in NORMALISATIONS:
        normalised = normalise(vectors, 2, how)
        assert np.isfinite(normalised[0]).all()
        assert np.isnan(normalised[1]).any()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown normalisation L2; there are none intra signed-sqrt l2"):
        normalise(np.zeros((1, 4), np.float32), 2, "L2")  # type: ignore[arg-type]


@pytest.mark.parametrize("num_words", [0, -2, 3, 8])
def test_widths_that_the_words_do_not_divide_are_refused(num_words: int) -> None:
    with pytest.raises(UsageError, match=f"4 values are not the residuals of {num_words} words"):
        normalise(np.zeros((1, 4), np.float32), num_words)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(DimensionMismatchError):
        normalise(np.zeros(4, np.float32), 2)


def test_normalisation_imports_without_torch_scipy_and_scikit_learn() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn'): sys.modules[name] = None\n"
        "import texture_store.encoding.normalisation"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
