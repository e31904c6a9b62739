"""From the signal to grey values: beam width, counting noise, brightness and contrast."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

NUM_ADJUSTMENTS = 4
"""Clipping at 0 and 255 moves mean and contrast, so that they are set again; after four times they are within 0.5."""


@dataclass(frozen=True)
class Exposure:
    """How a picture is taken. Drawn without looking at the powder."""

    mean_grey: float
    """Mean of the grey values, 0..255."""
    contrast: float
    """Standard deviation of the grey values."""
    beam_px: float
    """Standard deviation of the beam's profile, px."""
    electrons: float
    """Counted per pixel where the signal is 1: fewer mean more noise."""


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Settings as an operator leaves them: never twice the same, and the same for every powder.

    That makes mean grey and contrast useless for telling powders apart; what is left is texture.
    """
    return Exposure(
        mean_grey=rng.uniform(92.0, 128.0),
        contrast=rng.uniform(38.0, 52.0),
        beam_px=rng.uniform(0.55, 0.8),
        electrons=rng.uniform(180.0, 320.0),
    )


def expose(signal: npt.NDArray[np.float32], exposure: Exposure, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 picture of a signal (H, W) float32 >= 0."""
    blurred = gaussian_filter(signal, exposure.beam_px)
    # The counts are Poisson distributed; at 20 and more of them a normal distribution is as good and ten times as fast.
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    counted = blurred + noise * np.sqrt(blurred / np.float32(exposure.electrons))
    spread = max(float(counted.std()), 1e-6)
    grey = (counted - counted.mean()) * np.float32(exposure.contrast / spread) + np.float32(exposure.mean_grey)
    for _ in range(NUM_ADJUSTMENTS):
        clipped = np.clip(grey, 0.0, 255.0)
        gain = exposure.contrast / max(float(clipped.std()), 1e-6)
        grey = (grey - np.float32(clipped.mean())) * np.float32(gain) + np.float32(exposure.mean_grey)
    return np.asarray(np.rint(np.clip(grey, 0.0, 255.0)), dtype=np.uint8)
