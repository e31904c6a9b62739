"""Grey values of a file to the scale that the network expects, 0..255."""

import numpy as np

from texture_store.errors import UnsupportedImageError

STANDARD_MEAN = 127.5
STANDARD_SPREAD = 51.0
"""Standardised pictures have the middle grey as mean and a fifth of the scale as standard deviation: 2.5 deviations
either way are kept, so that of normally distributed grey values 1.2 % are clipped. Contrast and brightness are set by
hand at the instrument, and otherwise tell more about the operator than about the material."""

LOW_RANGE = 1 / 8
"""A picture that uses less of its range is reported."""


def to_scale(
    grey: np.ndarray, *, bit_depth: int, is_float: bool, value_range: tuple[float, float] | None
) -> np.ndarray:
    """Linear grey scale: (H, W) of any real type -> (H, W) float32 in 0..255, clipped, not rounded.

    `value_range` (LO, HI) is shown as 0 and 255. Without it: 8-bit values are kept as they are; integers span their
    `bit_depth` significant bits, 0..2**bit_depth - 1. Signed integers span their whole type, so that a stored offset
    shifts all pictures of an archive alike; with fewer significant bits than their type they span 0..2**bit_depth - 1.

    Raises UnsupportedImageError for floats without a range, and for pixels that are not numbers.
    """
    if is_float and value_range is None:
        raise UnsupportedImageError("float grey values have no agreed range: declare one, such as --range 0:1")
    if is_float and np.isnan(grey).any():
        raise UnsupportedImageError(f"{np.count_nonzero(np.isnan(grey))} pixels are not numbers (NaN)")
    low, high = value_range if value_range is not None else integer_range(grey.dtype, bit_depth)
    if (low, high) == (0, 255) and grey.dtype == np.uint8:
        return grey.astype(np.float32)
    if grey.dtype.kind in "iu" and grey.dtype.itemsize <= 2:  # a table is exact and much faster than arithmetic
        codes = np.arange(2 ** (8 * grey.dtype.itemsize), dtype=f"u{grey.dtype.itemsize}")
        table = _scaled(codes.view(grey.dtype).astype(np.float64), low, high)
        return _looked_up(table, grey.view(codes.dtype))
    return _scaled(grey.astype(np.float64), low, high)


def _looked_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """table[codes], (H, W), in blocks: numpy widens indices to 8 bytes, twice the memory of the result."""
    picture = np.empty(codes.shape, table.dtype)
    rows = max(1, 2**18 // codes.shape[1])
    for top in range(0, len(codes), rows):
        np.take(table, codes[top : top + rows], out=picture[top : top + rows], mode="clip")
    return picture


def integer_range(dtype: np.dtype, bit_depth: int) -> tuple[float, float]:
    """Least and greatest grey value of an integer picture (see `to_scale`)."""
    info = np.iinfo(dtype)
    if info.min < 0 and bit_depth >= info.bits:
        return float(info.min), float(info.max)
    return 0.0, float(2**bit_depth - 1)


def uses_low_range(picture: np.ndarray) -> bool:
    """Whether a picture on the scale 0..255 uses under LOW_RANGE of it."""
    return bool(float(picture.max()) - float(picture.min()) < 255 * LOW_RANGE)


def standardize(picture: np.ndarray) -> np.ndarray:
    """(H, W) on the scale 0..255 -> float32 with mean STANDARD_MEAN and spread STANDARD_SPREAD, clipped to 0..255.

    A constant picture has no spread; it becomes STANDARD_MEAN everywhere.
    """
    if picture.max() == picture.min():
        return np.full(picture.shape, STANDARD_MEAN, np.float32)
    mean, spread = picture.mean(dtype=np.float64), picture.std(dtype=np.float64)
    gain = STANDARD_SPREAD / spread
    moved = picture * np.float32(gain) + np.float32(STANDARD_MEAN - mean * gain)
    return np.clip(moved, 0, 255, out=moved)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(over="ignore"):  # damaged floats reach 1e308; infinity is clipped like any other value
        return np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.float32)
