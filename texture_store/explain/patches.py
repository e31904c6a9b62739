"""Real pictures for a filter: the images of highest mean activation, and where in them it is highest.

Images are ranked by the mean, which is the feature that a forest sees. The single highest activation picks dust and
scratches instead.
"""

from dataclasses import dataclass

import numpy as np

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.explain.heat_map import enlarge
from texture_store.explain.positions import RECEPTIVE_FIELDS_PX, STRIDES, Box
from texture_store.spec import LAYERS, Layer

MIN_PATCH_SIDE_PX = 64
"""Less shows no structure to the eye, though the first layers look at 5 and 14 px only."""

DEFAULT_SIDES_PX: dict[Layer, int] = {
    layer: max(MIN_PATCH_SIDE_PX, round(RECEPTIVE_FIELDS_PX[layer] / STRIDES[layer]) * STRIDES[layer])
    for layer in LAYERS
}
"""The receptive field in whole strides, at least 64 px: 64, 64, 64, 64, 96 and 192 px."""

EDGE_POSITIONS = 3
"""Outermost positions in which no patch lies, as zero padding speaks there and not the material.

Measured on 13 SEM micrographs (512x512, caffe weights): the outermost ring of positions is 1.8 times as active as the
mean of the map at conv3_3 and 2.0 times at conv4_3 (median over filters), rings further in than the third are as active
as the middle, and half of all filters have their highest activation at conv4_3 in the outer three rings, which are 18 %
of the map.
"""


@dataclass(frozen=True)
class Patch:
    """A square of the seen picture, in px."""

    left: int
    top: int
    side: int
    mean_activation: float
    """Over the positions in it, each weighted by the part of its cell that the patch covers."""

    @property
    def box(self) -> Box:
        """left, top, right, bottom in px of the seen picture."""
        return self.left, self.top, self.left + self.side, self.top + self.side

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Its part of the seen picture (H, W): (side, side)."""
        return picture[self.top : self.top + self.side, self.left : self.left + self.side]


def highest_rows(means: np.ndarray, filter_number: int, count: int) -> np.ndarray:
    """The images of highest mean activation of a filter: int64 (at most `count`,) rows of `means`, the highest first.

    `means` are the features `mean` of one layer, float (N, D). Equal ones come by row. Rows that are not a number are
    left out.

    Raises DimensionMismatchError unless `means` is (N, D), and UsageError for a filter that it does not have.
    """
    if means.ndim != 2:
        raise DimensionMismatchError(f"mean features are (images, filters), not {means.shape}")
    if not 0 <= filter_number < means.shape[1]:
        raise UsageError(f"there is no filter {filter_number} among these {means.shape[1]}; count from 0")
    values = means[:, filter_number]
    order = np.argsort(-values, kind="stable")  # NaN last
    return order[: int((~np.isnan(values)).sum())][: max(count, 0)]


def best_patch(
    activation: np.ndarray,
    layer: Layer,
    height: int,
    width: int,
    *,
    side: int | None = None,
    margin: int | None = None,
) -> Patch:
    """The square of highest mean activation in a seen picture of height x width px; it lies inside the picture.

    `activation` is a filter's map, float (h, w). `side` is in px and at most that of the picture; the default is that
    of DEFAULT_SIDES_PX, or half the picture, but not under 64 px. `margin` is in px from the edge, the default is
    EDGE_POSITIONS strides; a patch for which that leaves no room has the widest margin that does. So the patch may be
    less active than the whole picture, where it is the edge that makes the mean.

    All places are tried, pixel by pixel. Among equal ones the one whose middle half has the highest mean, then whose
    middle quarter has, and so on: a lone structure lies in the middle and not in a corner. Then the first by row and
    column.

    Raises DimensionMismatchError when the map is not one of such a picture, UsageError for a side under 1 px and a
    margin under 0.
    """
    if (side is not None and side < 1) or (margin is not None and margin < 0):
        raise UsageError("a patch has a side of 1 px and more and a margin of 0 px and more; change them")
    shorter = min(height, width)
    if side is None:
        side = min(DEFAULT_SIDES_PX[layer], max(MIN_PATCH_SIDE_PX, shorter // 2))
    if margin is None:
        margin = EDGE_POSITIONS * STRIDES[layer]
    whole = side = min(side, shorter)
    margin = min(margin, (shorter - side) // 2)
    values = enlarge(activation, layer, height, width, smooth=False).astype(np.float64)
    values = values[margin : height - margin, margin : width - margin]
    sums, rounding = _integral(values), _ROUNDING * np.abs(values).sum()
    means = _box_means(sums, side)
    tops, lefts = np.nonzero(means >= means.max() - rounding / side**2)
    mean_activation = float(means[tops[0], lefts[0]])
    while len(tops) > 1 and side > 1:
        side //= 2
        inset = (whole - side) // 2
        nested = _box_means(sums, side)[tops + inset, lefts + inset]
        best = nested >= nested.max() - rounding / side**2
        tops, lefts = tops[best], lefts[best]
    return Patch(margin + int(lefts[0]), margin + int(tops[0]), whole, mean_activation)


_ROUNDING = 1e-12
"""Of the sum of a whole picture: sums of boxes that are closer are equal but for the rounding of differences."""


def _integral(values: np.ndarray) -> np.ndarray:
    """Sums over all rows above and columns left of each corner: (H, W) to (H + 1, W + 1)."""
    return np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _box_means(sums: np.ndarray, side: int) -> np.ndarray:
    """The mean of each square of that side, by the row and column it begins at."""
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(boxes / side**2)
