"""What goes through the stream comes back as it was, with its arrays beside the pickled rest."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jobs.packed import each_unpacked, packed, unpacked

arrays = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.float32]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
values = st.recursive(
    st.none() | st.integers() | st.text() | arrays,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    """By numpy's definition for arrays, type and bits, and Python's for all else."""
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return left == right


@given(values)
@settings(max_examples=200, deadline=None)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert same(value, unpacked(packed(value), 0))


@given(st.lists(values, min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_cells_of_a_joined_column_come_back_too(some: list[object]) -> None:
    """Ray Data joins blocks, and cuts them."""
    joined = pa.concat_arrays([packed(value) for value in some])
    for column in (pa.chunked_array([joined]), pa.chunked_array([packed(value) for value in some])):
        assert all(map(same, some, each_unpacked(column)))
        assert all(map(same, some[1:], each_unpacked(column.slice(1))))


def test_arrays_lie_where_the_cell_lies() -> None:
    value = {"vectors": np.arange(1000, dtype=np.float32), "facts": ["a"]}
    cells = packed(value)
    back = unpacked(cells, 0)["vectors"]
    data = cells.buffers()[2]
    assert data.address <= back.ctypes.data < data.address + data.size
    assert back.ctypes.data % 64 == data.address % 64
    assert data.size < 4 * 1000 + 64 * 4 + len(pickle.dumps(value, protocol=5)) - 4 * 1000
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


def test_an_array_that_is_a_view_of_others_values_comes_back_too() -> None:
    whole = np.arange(12).reshape(3, 4)
    for back, expected in zip(unpacked(packed([whole[:, ::2], whole.T]), 0), (whole[:, ::2], whole.T), strict=True):
        np.testing.assert_array_equal(back, expected)
