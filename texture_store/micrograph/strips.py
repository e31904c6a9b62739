"""Strips that an instrument drew over the bottom of a picture.

They are recognised by what they are drawn with, never by the size of the image: one flat background level over a box
with straight edges, and text on it, that is, many narrow strokes of high contrast.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TOLERANCES = (1, 12)
"""Grey levels within which a background counts as flat: in lossless files, and in JPEG, which rings beside text."""

_MIN_ROWS = 8
_MIN_WIDTH_SHARE = 0.4
_MIN_STEP = 0.25
"""Share of a box's columns that leave the background between the edge row and the row above. Dark regions of pictures
change by a few per cent from row to row."""
_MIN_BACKGROUND = 0.35
_STROKE_CONTRAST = 50


@dataclass(frozen=True)
class Strip:
    """Box of a strip; `right` and `bottom` are exclusive."""

    top: int
    left: int
    right: int
    bottom: int


@dataclass(frozen=True)
class _Zone:
    """The bottom rows of a picture, as seen with one background level."""

    levels: NDArray[np.uint8]
    flat: NDArray[np.bool_]
    """Where a pixel has the background level."""
    level: int


def find_strip(levels: NDArray[np.uint8], *, max_bottom: int, max_floating: int) -> Strip | None:
    """The strip at or near the bottom of `levels` (H, W), or None.

    Rows that would be cut are at most `max_bottom` for a strip that reaches the bottom edge and `max_floating` for one
    with picture below it.
    """
    height = len(levels)
    deepest = max(max_bottom, max_floating)
    first = max(0, height - deepest - 8)  # 8 rows of picture to see the edge against
    if deepest < _MIN_ROWS:
        return None
    for tolerance in _TOLERANCES:
        best: Strip | None = None
        for level in _background_levels(levels[first:], tolerance):
            for strip in _strips_on(levels[first:], level, tolerance):
                top, bottom = strip.top + first, strip.bottom + first
                if height - top > (max_bottom if bottom == height else max_floating):
                    continue
                if best is None or top < best.top:
                    best = Strip(top, strip.left, strip.right, bottom)
        if best is not None:
            return best
    return None


def _background_levels(zone: NDArray[np.uint8], tolerance: int) -> list[int]:
    """Levels that could be a background: black, white, and the commonest of the zone."""
    counts = np.bincount(zone.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * tolerance + 1, np.int64), mode="same")
    chosen: list[int] = []
    for level in [0, 255, *np.argsort(-near, kind="stable").tolist()]:
        if len(chosen) == 6:
            break
        if near[level] >= 0.02 * zone.size and all(abs(level - other) > 2 * tolerance for other in chosen):
            chosen.append(level)
    return chosen


def _strips_on(zone_levels: NDArray[np.uint8], level: int, tolerance: int) -> Iterator[Strip]:
    """Strips of one background level: one for each row that could be the top edge of one."""
    flat = (zone_levels >= max(0, level - tolerance)) & (zone_levels <= min(255, level + tolerance))
    zone = _Zone(zone_levels, flat, level)
    left, right = _longest_runs(flat)
    for row in np.flatnonzero(right - left >= _MIN_WIDTH_SHARE * flat.shape[1]).tolist():
        box = slice(int(left[row]), int(right[row]))
        if row > 0 and 1 - flat[row - 1, box].mean() >= _MIN_STEP:
            strip = _judge(zone, row, box)
            if strip is not None:
                yield strip


def _judge(zone: _Zone, row: int, box: slice) -> Strip | None:
    """The strip whose first background row is `row`, if it is one."""
    bottom = _bottom_edge(zone, row, box)
    if bottom - row < _MIN_ROWS:
        return None
    is_floating = bottom < len(zone.flat)
    if is_floating and 1 - zone.flat[bottom, box].mean() < _MIN_STEP:
        return None
    if not _has_text(zone, slice(row, bottom), box):
        return None
    top = _with_outline(zone, row, box)
    if is_floating:
        bottom += _outline_rows_below(zone, bottom, box)
    return Strip(top, box.start, box.stop, bottom)


def _bottom_edge(zone: _Zone, row: int, box: slice) -> int:
    """End (exclusive) of the rows from `row` on that are mostly background, or a drawn line across the box."""
    share = zone.flat[row:, box].mean(axis=1)
    belongs = share >= _MIN_BACKGROUND
    for gap in np.flatnonzero(~belongs).tolist():
        belongs[gap] = _is_line(zone, row + gap, box)
    ends = np.flatnonzero(~belongs)
    end = int(ends[0]) if ends.size else len(share)
    if end == len(share):
        return len(zone.flat)
    solid = np.flatnonzero(share[:end] >= 0.9)  # below a floating strip, picture as dark as its background may follow
    return row + int(solid[-1]) + 1 if solid.size else row


def _is_line(zone: _Zone, row: int, box: slice) -> bool:
    """Whether a row is drawn over the whole box in one level that is far from the background."""
    values = zone.levels[row, box]
    middle = int(np.median(values))
    return abs(middle - zone.level) > _STROKE_CONTRAST and bool(
        (np.abs(values.astype(np.int16) - middle) <= 12).mean() >= 0.9
    )


def _has_text(zone: _Zone, rows: slice, box: slice) -> bool:
    """Whether the box holds many narrow strokes of high contrast, as text does, and little else."""
    stroke = np.abs(zone.levels[rows, box].astype(np.int16) - zone.level) > _STROKE_CONTRAST
    share = stroke.mean()
    if not 0.004 <= share <= 0.5:
        return False
    starts = stroke[:, 1:] & ~stroke[:, :-1]
    per_row = starts.sum(axis=1)
    if np.count_nonzero(per_row >= 4) < 5:
        return False
    lengths = stroke.sum(axis=1)[per_row >= 4] / per_row[per_row >= 4]
    return bool(np.median(lengths) <= max(8.0, stroke.shape[1] / 40))


def _with_outline(zone: _Zone, row: int, box: slice) -> int:
    """First row of the strip with the line that may be drawn around it."""
    thickest = 3 + len(zone.flat) // 100
    for top in range(row, max(0, row - thickest), -1):
        if not _is_line(zone, top - 1, box):
            return top
    return row


def _outline_rows_below(zone: _Zone, bottom: int, box: slice) -> int:
    rows = 0
    while rows < 3 and bottom + rows < len(zone.flat) and _is_line(zone, bottom + rows, box):
        rows += 1
    return rows


def _longest_runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and exclusive end of the longest run of True in each row of (N, W)."""
    columns = np.arange(mask.shape[1], dtype=np.int32)
    last_false = np.maximum.accumulate(np.where(mask, np.int32(-1), columns), axis=1)
    lengths = columns - last_false
    end = lengths.argmax(axis=1)
    longest = lengths[np.arange(len(mask)), end]
    return end + 1 - longest, end + 1
