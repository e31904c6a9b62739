"""Near duplicates: the same field of view saved twice, in another coding, brighter, or cropped.

Features propose pairs, pixels decide. Features alone cannot: two micrographs of one specimen may be nearer to each
other than a micrograph is to its own crop.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from texture_store.errors import DimensionMismatchError, EncodingError

_untyped: Any = cv2
"""For functions that OpenCV's annotations lack, or get wrong."""

Picture = npt.NDArray[np.uint8]
Pairs = npt.NDArray[np.intp]

NUM_NEIGHBOURS = 10
"""Measured on 237 micrographs of four archives, each with three copies (re-encoded, brighter, cropped by a tenth): of
the 711 pairs 97.8 % are found, with 4.5 pairs an image to look at."""
SIDE_PX = 320
"""Pictures are compared no larger than this."""
MAX_KEYPOINTS = 500
MIN_CONTRAST = 0.015
MAX_EDGE = 20
"""Thresholds of SIFT. OpenCV's own (0.04 and 10), and 10 for MIN_INLIERS, missed 7 of 120 copies, mostly smooth ones
of fibres and particles; these miss 2."""
RATIO = 0.8
"""Lowe 2004: a keypoint's nearest descriptor must be this much nearer than the second."""
MIN_INLIERS = 8
"""An affine map has 3 points for free."""
REPROJECTION_PX = 3.0
MIN_SCALE, MAX_SCALE = 0.4, 2.5
"""Of the affine map: copies are not of another magnification altogether."""
MIN_OVERLAP = 0.5
"""Share of the smaller picture that both show; neighbouring fields of view that overlap less are different ones."""
MIN_CORRELATION = 0.8
"""Of the copies that are found (as above) 99 % have 0.89 and more. The median over blocks: a common databar or
shading does not count."""
BLOCKS = 6
"""A side."""
KEPT_SIGNATURES = 1024
"""About 0.7 GB."""


@dataclass(frozen=True)
class Signature:
    """What is compared of one picture."""

    small: npt.NDArray[np.float32]
    """(h, w) at most 320 px a side."""
    points: npt.NDArray[np.float32]
    """(k, 2) x and y of the keypoints in it, px."""
    descriptors: npt.NDArray[np.float32]
    """(k, 128) SIFT."""


@dataclass(frozen=True)
class Match:
    """Two pictures of the same field of view."""

    correlation: float
    """Of the grey values where they overlap: the median over blocks, -1..1."""
    overlap: float
    """Share of the first picture that the second shows too, 0..1."""
    keypoints: int
    """Points that lie on each other."""


@dataclass(frozen=True)
class NearDuplicate:
    """A confirmed pair of rows."""

    row: int
    other: int
    match: Match


@dataclass(frozen=True)
class Candidates:
    """Pairs that features propose."""

    pairs: Pairs
    """(m, 2) rows, the smaller first, sorted."""
    distances: npt.NDArray[np.float64]
    """(m,) of standardised features."""
    cut: float
    """Largest distance that was proposed."""


def candidate_pairs(features: npt.NDArray[np.floating]) -> Candidates:
    """Pairs of rows of features (n, d) that are near enough to be looked at.

    Columns are standardised; a pair is proposed when one row is among the other's 10 nearest and no farther away than
    rows are from their 10th nearest (the median over the dataset: half of the rows may have copies before it moves).

    Raises DimensionMismatchError for what is not a matrix, EncodingError for values that are not finite.
    """
    if features.ndim != 2:
        raise DimensionMismatchError(f"features {features.shape} are not a matrix; give (n, d)")
    if not np.isfinite(features).all():
        raise EncodingError("features hold values that are not finite; leave those images out")
    neighbours = min(NUM_NEIGHBOURS, len(features) - 1)
    if neighbours < 1:
        return Candidates(np.empty((0, 2), np.intp), np.empty(0), 0.0)
    spread = features.std(axis=0, dtype=np.float64)
    varies = spread > 1e-6 * np.abs(features).max(axis=0)
    standard = ((features[:, varies] - features[:, varies].mean(axis=0)) / spread[varies]).astype(np.float32)
    if not varies.any():
        standard = np.zeros((len(features), 1), np.float32)
    index = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(standard)
    distances, rows = index.kneighbors()
    cut = float(np.median(distances[:, -1]))
    near = distances <= cut
    first = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)[near]
    pairs = np.sort(np.stack([first, rows[near]], axis=1), axis=1).astype(np.intp)
    pairs, chosen = np.unique(pairs, axis=0, return_index=True)
    return Candidates(pairs, distances[near][chosen].astype(np.float64), cut)


def signature(picture: Picture) -> Signature:
    """(H, W) uint8, databar cut -> its keypoints (SIFT, Lowe 2004) and a small picture."""
    height, width = picture.shape
    factor = min(1.0, SIDE_PX / max(height, width))
    small = cv2.resize(
        picture, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    values = small.astype(np.float32)
    spread = float(values.std())
    # A dark or flat picture has as much texture as another once its contrast is the same.
    levels = np.clip(128 + 48 * (values - values.mean()) / max(spread, 1e-3), 0, 255).astype(np.uint8)
    sift = _untyped.SIFT_create(nfeatures=MAX_KEYPOINTS, contrastThreshold=MIN_CONTRAST, edgeThreshold=MAX_EDGE)
    keypoints, descriptors = sift.detectAndCompute(levels, None)
    if descriptors is None:
        descriptors = np.empty((0, 128), np.float32)
    points = np.array([point.pt for point in keypoints], dtype=np.float32).reshape(-1, 2)
    lengths = np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-12)
    return Signature(values, points, (descriptors / lengths).astype(np.float32))


def same_view(one: Signature, other: Signature) -> Match | None:
    """How two pictures show the same field of view, or None when they do not."""
    if min(len(one.points), len(other.points)) < MIN_INLIERS:
        return None
    places, clear = _nearest_descriptors(other.descriptors, one.descriptors)
    if int(clear.sum()) < MIN_INLIERS:
        return None
    transform, inliers = _untyped.estimateAffine2D(
        other.points[clear], one.points[places[clear]], ransacReprojThreshold=REPROJECTION_PX
    )
    if transform is None or int(inliers.sum()) < MIN_INLIERS:
        return None
    scales = np.linalg.svd(transform[:, :2], compute_uv=False)
    if not (scales.min() > MIN_SCALE and scales.max() < MAX_SCALE):
        return None
    height, width = one.small.shape
    moved = _untyped.warpAffine(other.small, transform, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones_like(other.small), transform, (width, height), flags=cv2.INTER_NEAREST) > 0
    overlap = float(inside.mean())
    share = max(overlap, overlap * one.small.size / (other.small.size * abs(np.linalg.det(transform[:, :2]))))
    correlation = _correlation(one.small, moved, inside)
    if share < MIN_OVERLAP or correlation < MIN_CORRELATION:
        return None
    return Match(correlation, overlap, int(inliers.sum()))


def _nearest_descriptors(
    asked: npt.NDArray[np.float32], among: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """For each of `asked` the nearest of `among`, and whether it is clearly nearer than the second nearest."""
    # Descriptors have one length: the largest product is the smallest distance.
    products = asked @ among.T
    rows = np.arange(len(asked))
    places = products.argmax(axis=1)
    best = products[rows, places]
    products[rows, places] = -1.0
    second = products.max(axis=1)
    return places, (1 - best) < RATIO**2 * (1 - second)


def _correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]) -> float:
    one, other = (_untyped.GaussianBlur(values, (0, 0), 1.0) for values in (one, other))
    found = []
    for rows in np.array_split(np.arange(one.shape[0]), BLOCKS):
        for columns in np.array_split(np.arange(one.shape[1]), BLOCKS):
            block = np.ix_(rows, columns)
            if inside[block].mean() < 0.9:
                continue
            a, b = (values[block][inside[block]].astype(np.float64) for values in (one, other))
            a, b = a - a.mean(), b - b.mean()
            lengths = float(np.sqrt((a @ a) * (b @ b)))
            found.append(float(a @ b) / lengths if lengths > 0 else 0.0)
    return float(np.median(found)) if found else -1.0


def confirmed_pairs(
    pairs: Pairs, picture_of: Callable[[int], Picture | None], *, advance: Callable[[int], None] = lambda _: None
) -> list[NearDuplicate]:
    """The pairs (m, 2) whose pictures show the same field of view.

    `picture_of(row)` gives the picture, (H, W) uint8 with the databar cut, or None when it cannot be had; it is asked
    again for a row that has not been needed for a while. `advance` is told how many more pairs were looked at.
    """
    kept: OrderedDict[int, Signature | None] = OrderedDict()

    def signature_of(row: int) -> Signature | None:
        if row not in kept:
            picture = picture_of(row)
            kept[row] = None if picture is None else signature(picture)
            if len(kept) > KEPT_SIGNATURES:
                kept.popitem(last=False)
        kept.move_to_end(row)
        return kept[row]

    found = []
    for one, other in pairs.tolist():
        first, second = signature_of(one), signature_of(other)
        match = None if first is None or second is None else same_view(first, second)
        if match is not None:
            found.append(NearDuplicate(one, other, match))
        advance(1)
    return found
