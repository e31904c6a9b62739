"""Which images and which of their descriptors a dictionary is learnt from.

Everything is decided by hashes of names: a sample does not depend on order, workers, retries or where a copy of the
archive lies.

Needs numpy alone, so that readers do without the rest.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError

DESCRIPTORS_PER_IMAGE = 256
"""Descriptors that are kept of an image at one layer."""

_HELD_OUT_SHARE = 1 / 3
"""Many, since the comparison with new images is as good as the smaller side of it."""

# One salt for each use of a path, so that one choice says nothing about another.
_SAMPLED_SALT = b"texture-store sampled image\n"
_HELD_OUT_SALT = b"texture-store held-out image\n"
_POSITIONS_SALT = b"texture-store sampled positions\n"


def path_share(path: str) -> float:
    """A number in [0, 1), uniform over paths: the images with a share below t are a sample of the share t."""
    return _share(_SAMPLED_SALT, path)


def held_out(path: str) -> bool:
    """Whether an image only judges dictionaries and none is fitted on it: one in three, whatever its path_share."""
    return _share(_HELD_OUT_SALT, path) < _HELD_OUT_SHARE


def sample_positions(num_positions: int, count: int, *, key: str) -> npt.NDArray[np.int64]:
    """min(count, num_positions) different positions of 0 .. num_positions - 1, ascending, each set equally likely.

    Each position gets 64 random bits from the Philox generator that the SHA-256 of `key` seeds, and the `count` lowest
    are taken: a smaller sample is part of a larger one. Philox' integers stay the same over releases of numpy (its
    compatibility guarantee), which `Generator.choice` does not promise; 262,144 positions take 4 ms, where a SHA-256 of
    each would take 0.2 s.

    Raises DimensionMismatchError for a negative number.
    """
    if num_positions < 0 or count < 0:
        raise DimensionMismatchError(f"cannot sample {count} of {num_positions} positions")
    if count >= num_positions:
        return np.arange(num_positions, dtype=np.int64)
    digest = hashlib.sha256(_POSITIONS_SALT + key.encode("utf-8", "surrogatepass")).digest()
    bits = np.random.Philox(key=int.from_bytes(digest[:16], "big")).random_raw(num_positions)
    return np.sort(np.argpartition(bits, count)[:count]).astype(np.int64)


def _share(salt: bytes, path: str) -> float:
    digest = hashlib.sha256(salt + path.encode("utf-8", "surrogatepass")).digest()
    # 53 bits: all that a float64 below 1 can tell apart in even steps.
    return float((int.from_bytes(digest[:8], "big") >> 11) / 2**53)
