"""Grey values of any type as 256 levels in which drawn things (bars, text, marks) stand out."""

import numpy as np
from numpy.typing import NDArray

_PICTURE_SHARE = 0.78
_MAX_SAMPLES = 100_000


def to_levels(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The picture as uint8 (H, W); 8-bit pictures as they are.

    Of other types, the range of the upper 78 % of the rows (no bar is cut from them) takes the middle third of the
    levels, and what is darker or brighter takes the other two: text at 65535 beside a picture below 4096 must neither
    make the picture look flat nor lose its own contrast. Values that are not finite count as the lowest.
    """
    if grey.dtype == np.uint8:
        return np.ascontiguousarray(grey, np.uint8)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and counts as not finite
        values = grey.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min() if finite.any() else 0)
    upper = values[: max(1, int(_PICTURE_SHARE * len(values)))].ravel()
    low, high = np.percentile(upper[:: max(1, upper.size // _MAX_SAMPLES)], [0.5, 99.5]).tolist()
    least, most = float(values.min()), float(values.max())
    steps = [(least, 0.0), (low, 85.0), (high, 170.0), (most, 255.0)]
    knots = [knot for i, knot in enumerate(steps) if i == 0 or knot[0] > steps[i - 1][0]]
    places, heights = [knot[0] for knot in knots], [knot[1] for knot in knots]
    if grey.dtype.kind in "iu" and grey.dtype.itemsize <= 2:  # a table is exact, and much faster than interpolation
        codes = np.arange(2 ** (8 * grey.dtype.itemsize)).astype(f"u{grey.dtype.itemsize}")
        table = np.rint(np.interp(codes.view(grey.dtype.newbyteorder("=")), places, heights)).astype(np.uint8)
        native = np.ascontiguousarray(grey.astype(grey.dtype.newbyteorder("="), copy=False))
        levels: NDArray[np.uint8] = table[native.view(codes.dtype)]
        return levels
    return np.rint(np.interp(values, places, heights)).astype(np.uint8)
