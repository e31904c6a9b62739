"""Whether a dictionary still fits: quantisation errors of new images against those of held-out old ones."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from texture_store.errors import DictionaryError

Verdict = Literal["fits", "does not fit", "undecided"]

_BLOCK_VALUES = 1 << 22
"""Values that are drawn at a time, 32 MiB of places."""


@dataclass(frozen=True)
class Drift:
    """How much worse words describe new images than old ones that they were not learnt from."""

    ratio: float
    """Mean error per image: new over held-out old."""
    low: float
    high: float
    """95 % bootstrap interval of the ratio over images, percentiles."""
    num_old: int
    num_new: int

    def verdict(self, limit: float = 0.05) -> Verdict:
        """`does not fit` if even the lower end is above 1 + limit, `fits` if the ratio itself is not, else `undecided`.

        Images differ by far more than the limit (on tiles of steels the interval of 28 against 50 images was 40 % wide
        at conv4_3), so an upper end within it would take thousands of them.
        """
        if self.low > 1 + limit:
            return "does not fit"
        return "fits" if self.ratio <= 1 + limit else "undecided"


def drift(
    old_errors: npt.NDArray[np.float64], new_errors: npt.NDArray[np.float64], *, seed: int = 0, resamples: int = 2000
) -> Drift:
    """Compare per-image quantisation errors (n,) of held-out old images with those (m,) of new ones.

    Images, not descriptors, are drawn again with replacement (Efron 1979), from both sides: the descriptors of an image
    are alike. Without any error on the old side the ratio is 1 if the new side has none either, else infinite.

    Raises DictionaryError for fewer than two images on a side, and for errors that are negative or not finite.
    """
    for side, errors in (("held-out", old_errors), ("new", new_errors)):
        if errors.ndim != 1 or len(errors) < 2:
            raise DictionaryError(f"{errors.size} {side} images: whether a dictionary fits takes two and more")
        if not np.isfinite(errors).all() or errors.min() < 0:
            raise DictionaryError(f"quantisation errors of {side} images are negative or not finite; encode them again")
    generator = np.random.default_rng(seed)
    old_means = _resampled_means(old_errors, generator, resamples)
    new_means = _resampled_means(new_errors, generator, resamples)
    # Percentiles that are values of the sample: between a finite and an infinite ratio there is nothing to interpolate.
    low, high = np.quantile(_ratios(new_means, old_means), (0.025, 0.975), method="inverted_cdf")
    ratio = _ratios(np.mean(new_errors), np.mean(old_errors))
    return Drift(float(ratio), float(low), float(high), len(old_errors), len(new_errors))


def _resampled_means(
    errors: npt.NDArray[np.float64], generator: np.random.Generator, resamples: int
) -> npt.NDArray[np.float64]:
    rows = max(_BLOCK_VALUES // len(errors), 1)
    means = [
        errors[generator.integers(len(errors), size=(min(rows, resamples - first), len(errors)))].mean(axis=1)
        for first in range(0, resamples, rows)
    ]
    return np.concatenate(means)


def _ratios(new: npt.ArrayLike, old: npt.ArrayLike) -> npt.NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(new, 0) & np.equal(old, 0), 1.0, np.divide(new, old))
