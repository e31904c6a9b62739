import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from texture_store.encoding.packing import num_channels, pack_gram, unpack_gram, weight_off_diagonals
from texture_store.errors import DimensionMismatchError
from texture_store.spec import LAYERS, NUM_CHANNELS, vector_width

Floats = npt.NDArray[np.floating]

finite = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@st.composite
def packed_arrays(draw: st.DrawFn) -> Floats:
    channels = draw(st.integers(1, 12))
    lead = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    return draw(hnp.arrays(np.float32, (*lead, channels * (channels + 1) // 2), elements=finite))


@given(packed_arrays())
@settings(max_examples=50, deadline=None)
def test_unpacking_gives_a_symmetric_matrix_that_packs_to_the_same_values(packed: Floats) -> None:
    full = unpack_gram(packed)
    assert full.dtype == packed.dtype
    np.testing.assert_array_equal(full, np.swapaxes(full, -1, -2))
    np.testing.assert_array_equal(pack_gram(full), packed)


def test_the_order_is_that_of_numpy_triu_indices() -> None:
    full = np.array([[1, 2, 3], [2, 4, 5], [3, 5, 6]], dtype=np.float32)
    np.testing.assert_array_equal(pack_gram(full), [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(unpack_gram(np.array([1, 2, 3, 4, 5, 6], dtype=np.float32)), full)


@given(packed_arrays())
@settings(max_examples=50, deadline=None)
def test_weighted_triangles_have_the_norm_of_the_full_matrix(packed: Floats) -> None:
    weighted = weight_off_diagonals(packed).astype(np.float64)
    expected = np.sum(unpack_gram(packed).astype(np.float64) ** 2, axis=(-1, -2))
    np.testing.assert_allclose(np.sum(weighted**2, axis=-1), expected, rtol=1e-5)
    assert weight_off_diagonals(packed).dtype == packed.dtype


def test_the_inner_product_of_weighted_triangles_is_that_of_the_full_matrices() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.standard_normal((2, 64 * 65 // 2))
    expected = np.sum(unpack_gram(one) * unpack_gram(other))
    assert weight_off_diagonals(one) @ weight_off_diagonals(other) == pytest.approx(expected, rel=1e-12)


@given(st.integers(1, 5000))
def test_num_channels_inverts_the_width_of_a_triangle(channels: int) -> None:
    assert num_channels(channels * (channels + 1) // 2) == channels


@given(st.integers(-3, 200_000).filter(lambda width: width not in {d * (d + 1) // 2 for d in range(1, 700)}))
def test_a_width_that_is_no_triangle_is_refused(width: int) -> None:
    with pytest.raises(DimensionMismatchError, match=str(width)):
        num_channels(width)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 0), (4, 3, 2)])
def test_packing_refuses_what_is_not_square(shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatchError):
        pack_gram(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("function", [unpack_gram, weight_off_diagonals])
@pytest.mark.parametrize("shape", [(), (2,), (3, 5)])
def test_unpacking_and_weighting_refuse_what_is_no_triangle(function: object, shape: tuple[int, ...]) -> None:
    assert callable(function)
    with pytest.raises(DimensionMismatchError):
        function(np.zeros(shape, dtype=np.float32))


def test_full_gram_matrices_have_the_sizes_of_the_papers_table_1() -> None:
    table_1 = {"conv1_2": 4096, "conv2_2": 16384, "conv3_3": 65536, "conv4_3": 262144, "conv5_3": 262144}
    for layer in LAYERS[1:]:
        packed = np.zeros(vector_width("gram", layer), dtype=np.float32)
        assert unpack_gram(packed).size == table_1[layer]
        assert num_channels(packed.size) == NUM_CHANNELS[layer]


def test_packing_and_rounding_import_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None;"
        "import texture_store.encoding.packing, texture_store.encoding.rounding;"
        "assert not any(name.startswith('torch') for name in sys.modules if sys.modules[name])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
