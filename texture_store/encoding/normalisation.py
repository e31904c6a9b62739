"""Normalised VLAD, from raw residual sums.

Needs numpy alone, so that readers do without the rest.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError, UsageError

Normalisation = Literal["none", "intra", "signed-sqrt", "l2"]

NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)

_BLOCK_BYTES = 16 << 20


def normalise(
    vectors: npt.NDArray[np.float32], num_words: int, how: Normalisation = "intra"
) -> npt.NDArray[np.float32]:
    """VLAD vectors float32 (n, K D) of raw residual sums, normalised: float32 (n, K D).

    - `intra`: each word's part to length 1, then the whole (Arandjelović and Zisserman 2013; DeCost et al. 2017 and
      their published code), so that a texture that bursts into one word does not drown the others;
    - `signed-sqrt`: sign(x) sqrt(|x|), then the whole to length 1 (Jégou et al. 2012);
    - `l2`: the whole to length 1 (Jégou et al. 2010);
    - `none`: the vectors as they are, not copied.

    What is zero stays zero: an empty word, residuals that cancel, an image without any. Lengths are those of float64.
    Raises UsageError for another name and for a width that `num_words` (K) does not divide, DimensionMismatchError for
    other arrays.
    """
    if how not in NORMALISATIONS:
        raise UsageError(f"unknown normalisation {how}; there are {' '.join(NORMALISATIONS)}")
    if vectors.ndim != 2:
        raise DimensionMismatchError(f"VLAD vectors are (n, K D), not {vectors.shape}")
    if num_words < 1 or vectors.shape[1] % num_words:
        raise UsageError(f"{vectors.shape[1]} values are not the residuals of {num_words} words; is this VLAD?")
    if how == "none":
        return vectors
    normalised = np.empty(vectors.shape, np.float32)
    rows = max(_BLOCK_BYTES // (8 * max(vectors.shape[1], 1)), 1)
    for first in range(0, len(vectors), rows):
        block = vectors[first : first + rows].astype(np.float64)
        if how == "intra":
            block = _to_length_1(block.reshape(len(block), num_words, -1)).reshape(block.shape)
        elif how == "signed-sqrt":
            block = np.sign(block) * np.sqrt(np.abs(block))
        normalised[first : first + rows] = _to_length_1(block)
    return normalised


def _to_length_1(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Along the last axis; in float64 the square of no float32 is out of range."""
    lengths = np.sqrt(np.sum(np.square(vectors), axis=-1, keepdims=True))
    return vectors / np.where(lengths == 0, 1.0, lengths)
