"""Pictures of one mean and RMS contrast, so that activations compare.

Shape suffixes: H and W rows and columns in px, C colour channels (none or 3).
"""

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError

MEAN_GREY = 127.5
COMPARED_CONTRAST = 51.0
"""RMS contrast at which activations are compared: a fifth of the range, as real micrographs have."""

_ROUNDS = 50
_CLOSE = 1e-3

Pixels = npt.NDArray[np.uint8]


def at_contrast(values_HWC: npt.NDArray[np.floating], contrast: float) -> Pixels:
    """The values as grey levels 0..255 with mean 127.5 and standard deviation `contrast` after clipping, uint8.

    Takes floating (H, W) or (H, W, 3); mean and deviation are over all values. Clipping takes some contrast away,
    which a greater gain gives back; where no gain can (a few bright specks), the picture has less. Equal values give
    level 128 everywhere. Raises DimensionMismatchError for other arrays and values that are not finite.
    """
    if values_HWC.ndim not in (2, 3) or not values_HWC.size or not np.isfinite(values_HWC).all():
        raise DimensionMismatchError(f"a picture is finite (H, W) or (H, W, 3), not {values_HWC.shape}")
    centred = values_HWC.astype(np.float64)
    centred -= centred.mean()
    spread = float(centred.std())
    if spread <= 1e-12 * max(float(np.abs(values_HWC).max()), 1.0):
        return np.full(values_HWC.shape, 128, np.uint8)
    shape = centred / spread
    gain, offset = contrast, MEAN_GREY
    clipped = shape
    for _ in range(_ROUNDS):
        clipped = np.clip(offset + gain * shape, 0, 255)
        mean, deviation = float(clipped.mean()), float(clipped.std())
        if abs(mean - MEAN_GREY) < _CLOSE and abs(deviation - contrast) < _CLOSE:
            break
        offset += MEAN_GREY - mean
        gain = min(gain * contrast / max(deviation, 1e-9), 100 * contrast)
    return np.round(clipped).astype(np.uint8)


def deprocess(values_HWC: npt.NDArray[np.floating]) -> Pixels:
    """What the Keras example makes of its result: (x - mean) / (sd + 1e-5) * 0.1 + 0.5, clipped to 0..1, times 255."""
    values = values_HWC.astype(np.float64)
    values = (values - values.mean()) / (values.std() + 1e-5) * 0.1 + 0.5
    levels: Pixels = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return levels


def as_grey(picture: Pixels) -> npt.NDArray[np.float64]:
    """float64 (H, W): the mean of the channels of a picture (H, W, 3), which is its part that a grey picture can have.

    A picture (H, W) stays as it is.
    """
    return picture.astype(np.float64) if picture.ndim == 2 else picture.mean(axis=2, dtype=np.float64)
