import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from texture_store.errors import DimensionMismatchError, EncodingError
from texture_store.evaluation.standardised import standardised

RNG = np.random.default_rng(0)


def test_columns_are_those_of_scikit_learn() -> None:
    features = (RNG.gamma(2.0, 1.0, (50, 6)) * [1e-6, 1, 1e3, 1, 1, 1e6]).astype(np.float32)
    expected = StandardScaler().fit_transform(features.astype(np.float64))
    np.testing.assert_allclose(standardised(features), expected, atol=1e-5)


def test_constant_columns_are_left_out_also_where_rounding_stirs_them() -> None:
    features = RNG.random((20, 4)).astype(np.float32)
    features[:, 1] = 7
    features[:, 2] = 1000
    features[::2, 2] = np.nextafter(np.float32(1000), np.float32(2000))
    np.testing.assert_array_equal(standardised(features), standardised(features[:, [0, 3]]))


def test_equal_rows_are_one_column_of_zeros() -> None:
    np.testing.assert_array_equal(standardised(np.ones((3, 4))), np.zeros((3, 1)))
    assert standardised(np.ones((0, 4))).shape == (0, 1)


@pytest.mark.parametrize(("features", "error"), [
    (np.zeros(3), DimensionMismatchError),
    (np.array([[np.nan]]), EncodingError),
    (np.array([[np.inf]]), EncodingError),
])  # fmt: skip
def test_what_is_no_finite_matrix_is_refused(features, error) -> None:
    with pytest.raises(error):
        standardised(features)
