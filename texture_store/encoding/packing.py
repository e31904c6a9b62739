"""Symmetric matrices as their upper triangle: how Gram vectors are kept, and how to get the matrices back.

Row-major, diagonal included, the order of `numpy.triu_indices`: entries (0, 0), (0, 1) ... (0, D-1), (1, 1) ...
Needs numpy alone, so that readers do without the rest.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError

Floats = npt.NDArray[np.floating]


def num_channels(width: int) -> int:
    """D of a packed triangle of `width` = D (D + 1) / 2 values. Raises DimensionMismatchError when there is none."""
    channels = (math.isqrt(8 * width + 1) - 1) // 2 if width > 0 else 0
    if channels < 1 or channels * (channels + 1) // 2 != width:
        raise DimensionMismatchError(f"{width} values are not the upper triangle of a matrix; is this a Gram vector?")
    return channels


def pack_gram(full: Floats) -> Floats:
    """The upper triangle (..., D (D + 1) / 2) of symmetric matrices (..., D, D), same type.

    Raises DimensionMismatchError.
    """
    if full.ndim < 2 or full.shape[-1] != full.shape[-2] or full.shape[-1] < 1:
        raise DimensionMismatchError(f"a Gram matrix has shape (..., D, D), not {full.shape}")
    rows, columns = _triangle(full.shape[-1])
    return full[..., rows, columns]


def unpack_gram(packed: Floats) -> Floats:
    """The symmetric matrices (..., D, D) of packed triangles (..., D (D + 1) / 2), same type.

    Raises DimensionMismatchError.
    """
    if packed.ndim < 1:
        raise DimensionMismatchError("a packed Gram matrix is a vector, not a single value")
    channels = num_channels(packed.shape[-1])
    rows, columns = _triangle(channels)
    full = np.empty((*packed.shape[:-1], channels, channels), dtype=packed.dtype)
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full


def weight_off_diagonals(packed: Floats) -> Floats:
    """Packed triangles with off-diagonal entries times sqrt(2), same type.

    Each of them stands for two entries of the matrix, so inner products and distances of these vectors are those of the
    full matrices (Frobenius). Raises DimensionMismatchError.
    """
    if packed.ndim < 1:
        raise DimensionMismatchError("a packed Gram matrix is a vector, not a single value")
    rows, columns = _triangle(num_channels(packed.shape[-1]))
    return packed * np.where(rows == columns, 1.0, math.sqrt(2)).astype(packed.dtype)


@lru_cache(maxsize=8)
def _triangle(channels: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows, columns = np.triu_indices(channels)
    return rows, columns
