"""Grey values of any type as 256 levels in which drawn things (bars, text, marks) stand out."""

import numpy as np
from numpy.typing import NDArray

_PICTURE_SHARE = 0.78
_MAX_SAMPLES = 100_000


def to_levels(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The picture as uint8 (H, W); 8-bit pictures as they are.

    Of other types, the range of the upper 78 % of the rows (no bar is cut from them) takes the middle two thirds of the
    levels, and what lies beyond is clipped: text at 65535 beside a picture below 4096 must not make the picture look
    flat. Values that are not finite count as the lowest.
    """
    if grey.dtype == np.uint8:
        return np.ascontiguousarray(grey)  # type: ignore[arg-type]
    values = grey.astype(np.float32)
    np.nan_to_num(values, copy=False, nan=-np.inf, posinf=np.finfo(np.float32).max, neginf=-np.inf)
    upper = values[: max(1, int(_PICTURE_SHARE * len(values)))].ravel()
    sample = upper[:: max(1, upper.size // _MAX_SAMPLES)]
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if sample.size == 0:
        return np.zeros(grey.shape, np.uint8)
    low, high = np.percentile(sample, [0.5, 99.5])
    unit = (high - low) / 170.0
    if not unit > 0:  # a flat picture: one level, all else far from it
        unit = max(abs(low), 1.0) * 1e-6
    np.clip(values, low - 43 * unit, high + 42 * unit, out=values)
    return np.rint((values - (low - 43 * unit)) / unit).clip(0, 255).astype(np.uint8)
