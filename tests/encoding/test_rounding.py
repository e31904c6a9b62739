import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from texture_store.encoding import rounding
from texture_store.errors import EncodingError

Floats = npt.NDArray[np.float32]

any_float = st.floats(width=32, allow_nan=True, allow_infinity=True)
# Normal values that stay clear of the top of the range.
normal = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
vectors = hnp.arrays(np.float32, st.integers(0, 20), elements=normal)
bit_counts = st.integers(1, 23)


def keep_mantissa_bits(values: Floats, bits: int) -> Floats:
    kept: Floats = rounding.keep_mantissa_bits(torch.from_numpy(values), bits).numpy()
    return kept


@given(vectors, bit_counts)
@settings(max_examples=100, deadline=None)
def test_rounding_errs_by_at_most_half_of_the_last_kept_bit(values: Floats, bits: int) -> None:
    error = np.abs(keep_mantissa_bits(values, bits).astype(np.float64) - values.astype(np.float64))
    limit = 0.0 if bits == 23 else 2.0 ** -(bits + 1)
    assert (error <= limit * np.abs(values.astype(np.float64))).all()


@given(hnp.arrays(np.float32, 8, elements=any_float), bit_counts)
@settings(max_examples=100, deadline=None)
def test_rounding_twice_is_rounding_once_and_leaves_no_other_bits(values: Floats, bits: int) -> None:
    rounded = keep_mantissa_bits(values, bits)
    np.testing.assert_array_equal(keep_mantissa_bits(rounded, bits), rounded)
    is_finite = np.isfinite(rounded)
    assert not (rounded.view(np.uint32)[is_finite] & np.uint32((1 << (23 - bits)) - 1)).any()


@given(vectors, bit_counts)
@settings(max_examples=100, deadline=None)
def test_rounding_keeps_order_and_treats_both_signs_alike(values: Floats, bits: int) -> None:
    rounded = keep_mantissa_bits(np.sort(values), bits)
    assert (np.diff(rounded.astype(np.float64)) >= 0).all()
    np.testing.assert_array_equal(keep_mantissa_bits(-values, bits), -keep_mantissa_bits(values, bits))


@given(hnp.arrays(np.float32, 8, elements=any_float))
def test_23_bits_change_nothing(values: Floats) -> None:
    np.testing.assert_array_equal(keep_mantissa_bits(values, 23).view(np.uint32), values.view(np.uint32))


@given(hnp.arrays(np.float32, 8, elements=normal))
@settings(max_examples=100, deadline=None)
def test_7_bits_are_the_rounding_of_torchs_bfloat16(values: Floats) -> None:
    expected = torch.from_numpy(values.copy()).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(keep_mantissa_bits(values, 7), expected)


def test_ties_go_to_the_even_neighbour() -> None:
    values = np.array([1 + 2**-3, 1 + 3 * 2**-3, 1 + 2**-3 + 2**-20], dtype=np.float32)
    np.testing.assert_array_equal(keep_mantissa_bits(values, 2), np.float32([1.0, 1.5, 1.25]))


@pytest.mark.parametrize("bits", [1, 12, 22])
def test_nan_infinity_and_zero_stay_what_they_are(bits: int) -> None:
    # A NaN whose payload lies in the dropped bits alone would become an infinity under plain rounding.
    values = np.array([0x7F800001, 0xFFFFFFFF, 0x7F800000, 0xFF800000, 0x80000000, 0], dtype=np.uint32).view(np.float32)
    np.testing.assert_array_equal(keep_mantissa_bits(values, bits).view(np.uint32), values.view(np.uint32))


def test_shape_is_kept_and_the_argument_is_not_changed() -> None:
    values = np.full((2, 3, 4), np.pi, dtype=np.float32)[:, ::2]
    before = values.copy()
    assert keep_mantissa_bits(values, 5).shape == values.shape
    np.testing.assert_array_equal(values, before)
    assert keep_mantissa_bits(np.array(np.pi, dtype=np.float32), 5).shape == ()


@pytest.mark.parametrize("bits", [-1, 0, 24])
def test_bit_counts_that_float32_does_not_have_are_refused(bits: int) -> None:
    with pytest.raises(EncodingError, match="mantissa bits"):
        keep_mantissa_bits(np.ones(3, dtype=np.float32), bits)


def test_other_types_are_refused() -> None:
    with pytest.raises(EncodingError, match="float64"):
        rounding.keep_mantissa_bits(torch.ones(3, dtype=torch.float64), 12)
