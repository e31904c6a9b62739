"""VLAD dictionaries: k-means words of descriptors, how well they describe others, and how they move.

Shape suffixes: N descriptors, M of them at a time, D channels, K words.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from texture_store.errors import DictionaryError, DimensionMismatchError

MAX_ITERATIONS = 300
"""Lloyd iterations of a start (scikit-learn's own limit)."""

_BLOCK_BYTES = 16 << 20

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Words:
    """A fitted dictionary, words in order of their descriptors: most first, equals by their values."""

    words_KD: Float32s
    """float32 (K, D)"""
    counts_K: npt.NDArray[np.int64]
    """int64 (K,): descriptors of the fit sample that are nearest to the word."""
    word_errors_K: Float64s
    """float64 (K,): mean squared distance of these descriptors; 0 for a word without any."""
    iterations: tuple[int, ...]
    """Lloyd iterations of each start."""
    inertia: tuple[float, ...]
    """Sum of squared distances to the nearest word after each start; the words are those of the first least one."""


@dataclass(frozen=True)
class WordMove:
    """A word of an old dictionary and the one that took its place in a new one."""

    old: int
    new: int
    distance: float
    """Of the two words, relative to the old dictionary's rms quantisation error."""


def fit_words(descriptors_ND: Float32s, num_words: int = 32, *, seed: int, starts: int = 4) -> Words:
    """k-means words of descriptors float32 (N, D): Lloyd's iterations from k-means++ starts, the best of `starts`.

    Same descriptors in the same order, same seed: same bits, on any number of processors. The fit runs in one thread,
    since the order in which several add up their parts depends on timing.

    Takes the descriptors, one copy of them and some 50 MiB: measured 1.25 GiB for 262,144 x 512 (0.5 GiB) and 0.34 GiB
    for 262,144 x 64, libraries included.

    Words that lose all their descriptors on the way are put on the descriptor farthest from its word.

    Raises DictionaryError for fewer (different) descriptors than words and for values that are not finite,
    DimensionMismatchError for other arrays.
    """
    _check_sample(descriptors_ND, num_words)
    seeds = np.random.SeedSequence(seed).generate_state(starts)
    candidates: list[Float32s] = []
    iterations, inertia = [], []
    with threadpool_limits(limits=1):
        for start_seed in seeds:
            # Any other tolerance has scikit-learn take the variance of all descriptors, in a third copy of them. On
            # real ones an end without one takes a sixth more iterations.
            fit = KMeans(num_words, n_init=1, max_iter=MAX_ITERATIONS, tol=0, random_state=int(start_seed))
            fit.fit(descriptors_ND)
            candidates.append(fit.cluster_centers_)
            iterations.append(int(fit.n_iter_))
            # Not scikit-learn's own, a float32 sum.
            inertia.append(float(squared_errors(descriptors_ND, fit.cluster_centers_).sum()))
    words_KD = candidates[int(np.argmin(inertia))]
    counts_K = np.bincount(_nearest(descriptors_ND, words_KD)[0], minlength=num_words)
    words_KD = np.ascontiguousarray(words_KD[np.lexsort((*words_KD.T[::-1], -counts_K))])
    nearest_N, errors_N = _nearest(descriptors_ND, words_KD)
    counts_K = np.bincount(nearest_N, minlength=num_words)
    sums_K = np.bincount(nearest_N, errors_N, minlength=num_words)
    return Words(words_KD, counts_K, sums_K / np.maximum(counts_K, 1), tuple(iterations), tuple(inertia))


def squared_errors(descriptors_ND: Float32s, words_KD: Float32s) -> Float64s:
    """Squared distances float64 (N,) of descriptors (N, D) to the nearest of the words (K, D).

    Raises DimensionMismatchError.
    """
    return _nearest(descriptors_ND, words_KD)[1]


def image_errors(
    descriptors_ND: Float32s, image_of_N: npt.NDArray[np.int64], num_images: int, words_KD: Float32s
) -> Float64s:
    """Quantisation error of each image, float64 (num_images,): the mean of its descriptors' squared_errors.

    `image_of_N` says to which image a descriptor belongs; an image without any has NaN. Raises DimensionMismatchError.
    """
    if image_of_N.shape != descriptors_ND.shape[:1]:
        raise DimensionMismatchError(f"{len(descriptors_ND)} descriptors belong to {image_of_N.shape} images")
    if len(image_of_N) and not 0 <= image_of_N.min() <= image_of_N.max() < num_images:
        raise DimensionMismatchError(f"descriptors belong to images that are not among the {num_images}")
    sums = np.bincount(image_of_N, squared_errors(descriptors_ND, words_KD), minlength=num_images)
    counts = np.bincount(image_of_N, minlength=num_images)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def match_words(old_KD: Float32s, new_KD: Float32s, *, scale: float) -> list[WordMove]:
    """Which new word took the place of which old one: the pairs with the least sum of distances (Kuhn 1955).

    `scale` is the old dictionary's rms quantisation error (root of its mean squared error); at 0, words that moved at
    all have moved infinitely far. Of dictionaries of different sizes the smaller one is matched as a whole; what the
    other has in excess is in no pair. In the order of the old words.

    Raises DimensionMismatchError for dictionaries of different layers.
    """
    _check_words(old_KD, new_KD.shape[-1])
    _check_words(new_KD, old_KD.shape[-1])
    distances = cdist(old_KD.astype(np.float64), new_KD.astype(np.float64))
    moves = []
    for old, new in zip(*linear_sum_assignment(distances), strict=True):
        distance = float(distances[old, new])
        moves.append(WordMove(int(old), int(new), distance / scale if scale > 0 else np.inf if distance > 0 else 0.0))
    return moves


def _nearest(descriptors_ND: Float32s, words_KD: Float32s) -> tuple[npt.NDArray[np.intp], Float64s]:
    """The nearest word of each descriptor, the lowest of equals, and the squared distance to it; in blocks."""
    if descriptors_ND.ndim != 2:
        raise DimensionMismatchError(f"descriptors are (N, D), not {descriptors_ND.shape}")
    num_descriptors, channels = descriptors_ND.shape
    _check_words(words_KD, channels)
    words64_KD = words_KD.astype(np.float64)
    centre_D = words64_KD.mean(axis=0)
    centred_DK = (words64_KD - centre_D).T
    offsets_K = np.sum(np.square(centred_DK), axis=0) / 2
    nearest_N = np.empty(num_descriptors, np.intp)
    errors_N = np.empty(num_descriptors, np.float64)
    rows = max(_BLOCK_BYTES // (8 * max(channels, len(words_KD))), 1)
    for first in range(0, num_descriptors, rows):
        block = slice(first, first + rows)
        block_MD = descriptors_ND[block].astype(np.float64)
        nearest_N[block] = np.argmax((block_MD - centre_D) @ centred_DK - offsets_K, axis=1)
        residuals_MD = block_MD - words64_KD[nearest_N[block]]
        errors_N[block] = np.einsum("md,md->m", residuals_MD, residuals_MD)
    return nearest_N, errors_N


def _check_words(words_KD: Float32s, channels: int) -> None:
    if words_KD.ndim != 2 or len(words_KD) < 1 or words_KD.shape[1] != channels:
        raise DimensionMismatchError(
            f"words of descriptors with {channels} channels are (K, {channels}), not {words_KD.shape}; is this the "
            "dictionary of another layer?"
        )


def _check_sample(descriptors_ND: Float32s, num_words: int) -> None:
    if num_words < 1:
        raise DictionaryError(f"a dictionary of {num_words} words; ask for one and more")
    if descriptors_ND.ndim != 2:
        raise DictionaryError(f"a sample of descriptors is (N, D), not {descriptors_ND.shape}")
    if not len(descriptors_ND):
        raise DictionaryError("the sample holds no descriptor; sample more images")
    if len(descriptors_ND) < num_words:
        raise DictionaryError(f"{len(descriptors_ND)} descriptors cannot make {num_words} words; sample more images")
    different: set[bytes] = set()
    rows = max(_BLOCK_BYTES // (4 * max(descriptors_ND.shape[1], 1)), 1)
    for first in range(0, len(descriptors_ND), rows):
        block_MD = descriptors_ND[first : first + rows]
        if not np.isfinite(block_MD).all():
            raise DictionaryError("the sample holds descriptors that are not finite; sample the images again")
        if len(different) < num_words:
            different.update(row.tobytes() for row in block_MD + np.float32(0))  # adding 0 makes -0 and 0 the same
    if len(different) < num_words:
        raise DictionaryError(
            f"{len(different)} different descriptors cannot make {num_words} words; are the sampled images blank?"
        )
