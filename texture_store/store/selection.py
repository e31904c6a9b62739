"""Which images of a snapshot are sampled: those whose paths have the lowest hashes.

A path alone decides its hash, so a copied, reordered or re-run archive samples the same images; and an image that an
archive gains pushes out at most the ones above it.
"""

from collections.abc import Collection, Set
from dataclasses import replace

import numpy as np
import pyarrow as pa

from texture_store.encoding.sampling import path_share
from texture_store.store.snapshots import Snapshot

MIN_IMAGES = 250
"""A share that gives fewer takes this many, or all there are: words need many pictures, and so does judging them."""
MAX_IMAGES = 1024
"""With 256 descriptors of each at most 262,144 of a layer (512 MiB at conv5_3), however large the archive."""
MIN_NEW_IMAGES = 200
"""So many new images, or all there are, are compared with the dictionary's own."""


def sampled(snapshot: Snapshot, share: float) -> Snapshot:
    """The images that a dictionary is learnt from: a share (0..1] of all, but MIN_IMAGES to MAX_IMAGES of them."""
    shares = _shares(snapshot)
    return _lowest(snapshot, shares, _count(shares, share, MIN_IMAGES))


def sampled_new(snapshot: Snapshot, known: Set[str], share: float) -> Snapshot:
    """Of the images that are not `known` (image_ids): those that `sampled` takes, and at least MIN_NEW_IMAGES."""
    shares = _shares(snapshot)
    is_new = np.array([image_id not in known for image_id in snapshot.table["image_id"].to_pylist()], bool)
    if not is_new.any():
        return _kept(snapshot, is_new)
    taken = _lowest_mask(shares, _count(shares, share, MIN_IMAGES)) & is_new
    lowest_new = np.zeros_like(is_new)
    lowest_new[is_new] = _lowest_mask(shares[is_new], _count(shares[is_new], share, MIN_NEW_IMAGES))
    return _kept(snapshot, taken | lowest_new)


def union(snapshot: Snapshot, parts: Collection[Snapshot]) -> Snapshot:
    """The images of `snapshot` that any of its parts has."""
    wanted = {image_id for part in parts for image_id in part.table["image_id"].to_pylist()}
    return _kept(snapshot, np.array([i in wanted for i in snapshot.table["image_id"].to_pylist()], bool))


def _count(shares: np.ndarray, share: float, at_least: int) -> int:
    return min(max(int((shares < share).sum()), min(at_least, len(shares))), MAX_IMAGES)


def _shares(snapshot: Snapshot) -> np.ndarray:
    return np.array([path_share(path) for path in snapshot.table["path"].to_pylist()], np.float64)


def _lowest(snapshot: Snapshot, shares: np.ndarray, count: int) -> Snapshot:
    return _kept(snapshot, _lowest_mask(shares, count))


def _lowest_mask(shares: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(len(shares), bool)
    mask[np.argsort(shares, kind="stable")[:count]] = True
    return mask


def _kept(snapshot: Snapshot, mask: np.ndarray) -> Snapshot:
    return replace(snapshot, table=snapshot.table.filter(pa.array(mask)))
