"""Features in units of their own spread, for what compares rows by distance."""

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError, EncodingError

Matrix = npt.NDArray[np.floating]

CONSTANT = 1e-6
"""A column that spreads less than this share of its largest value is constant: float32 keeps 7 digits."""


def check_matrix(features: Matrix) -> None:
    """DimensionMismatchError for what is not a matrix (n, d), EncodingError for values that are not finite."""
    if features.ndim != 2:
        raise DimensionMismatchError(f"features {features.shape} are not a matrix; give (n, d)")
    if not np.isfinite(features).all():
        raise EncodingError("features hold values that are not finite; leave those images out")


def standardised(features: Matrix) -> npt.NDArray[np.float32]:
    """(n, d) -> (n, v) of mean 0 and standard deviation 1 (ddof 0) over the rows; constant columns are left out.

    A mean vector of VGG16 has columns around 1000 and columns around 1: without this the former are all that counts.
    At least one column comes back, of zeros where nothing varies. Raises as `check_matrix`.
    """
    check_matrix(features)
    if len(features) == 0:
        return np.zeros((0, 1), np.float32)
    spread = features.std(axis=0, dtype=np.float64)
    varies = spread > CONSTANT * np.abs(features).max(axis=0)
    if not varies.any():
        return np.zeros((len(features), 1), np.float32)
    centre = features[:, varies].mean(axis=0, dtype=np.float64)
    result: npt.NDArray[np.float32] = ((features[:, varies] - centre) / spread[varies]).astype(np.float32)
    return result
