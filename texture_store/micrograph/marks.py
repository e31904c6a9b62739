"""Marks that were drawn inside a picture, such as a scale bar or a box of text in a corner.

They are reported, never cut: the picture goes on around them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from texture_store.micrograph.row_counts import count_in_rows

_MIN_CONTRAST = 50
"""Grey levels (of 256) between a drawn edge and the picture beside it."""
_MIN_EDGE_SHARE = 0.6
"""Share of a segment with that contrast: the picture beside a mark may have its level here and there."""
_MIN_LENGTH_SHARE = 0.05
_MIN_LENGTH_PX = 24
_MAX_THICK_SHARE = 0.2
_END_TOLERANCE_PX = 4


def has_marks(levels: NDArray[np.uint8]) -> bool:
    """Whether a picture holds a drawn line, bar or box: (H, W) uint8.

    What is looked for are two straight horizontal edges, one above the other, of the picture's own extreme level, that
    begin and end at the same columns. Texture has straight edges by chance, but not such pairs of them.
    """
    height, width = levels.shape
    length = max(_MIN_LENGTH_PX, int(_MIN_LENGTH_SHARE * width))
    if height < 8 or width < 2 * length:
        return False
    lowest, highest, _, _ = cv2.minMaxLoc(levels)
    step = np.asarray(cv2.absdiff(levels[1:], levels[:-1])) >= _MIN_CONTRAST
    return any(_has_box(levels, step, int(level), length) for level in (highest, lowest))


def _has_box(levels: NDArray[np.uint8], step: NDArray[np.bool_], level: int, length: int) -> bool:
    tolerance = 24
    drawn = cv2.inRange(levels, max(0, level - tolerance), min(255, level + tolerance))
    if not 0 < cv2.countNonZero(drawn) < drawn.size // 2:
        return False
    is_drawn = drawn.view(np.bool_)
    tops = _segments(is_drawn[1:], step, length)  # row i: an edge between rows i and i + 1
    bottoms = _segments(is_drawn[:-1], step, length)
    if not (tops and bottoms):
        return False
    thickest = int(_MAX_THICK_SHARE * len(levels))
    return any(
        0 < below[0] - above[0] <= thickest
        and abs(above[1] - below[1]) <= _END_TOLERANCE_PX
        and abs(above[2] - below[2]) <= _END_TOLERANCE_PX
        for above in tops
        for below in bottoms
    )


def _segments(drawn: NDArray[np.bool_], step: NDArray[np.bool_], length: int) -> list[tuple[int, int, int]]:
    """(row, start, end) of runs of at least `length` drawn px most of which are an edge."""
    rows = np.flatnonzero(count_in_rows(drawn & step) >= _MIN_EDGE_SHARE * length)
    if not len(rows):
        return []
    kernel = np.ones((1, length), np.uint8)
    unbroken = cv2.erode(drawn[rows].view(np.uint8), kernel, anchor=(0, 0), borderValue=0)
    found = []
    for row in rows[unbroken.any(axis=1)].tolist():
        ends = np.flatnonzero(np.diff(np.concatenate(([0], drawn[row].view(np.int8), [0]))))
        for start, end in ends.reshape(-1, 2).tolist():
            if end - start >= length and step[row, start:end].mean() >= _MIN_EDGE_SHARE:
                found.append((row, start, end))
    return found
