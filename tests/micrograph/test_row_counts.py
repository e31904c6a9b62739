"""Marked pixels of each row, against numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from texture_store.micrograph.row_counts import count_in_rows


@given(arrays.arrays(np.bool_, st.tuples(st.integers(0, 5), st.integers(0, 70))))
def test_counts_are_those_of_numpy(mask: np.ndarray):
    expected = np.count_nonzero(mask, axis=1)
    for view in (mask, mask[::2], np.asfortranarray(mask)):
        found = count_in_rows(view)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected[::2] if len(view) != len(mask) else expected)
