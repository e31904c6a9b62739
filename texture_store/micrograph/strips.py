"""Strips that an instrument drew over the bottom of a picture.

They are recognised by what they are drawn with, never by the size of the image: one flat background level over a box
with straight edges, and text on it, that is, many narrow strokes of high contrast.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from texture_store.micrograph.row_counts import count_in_rows

_RINGING = 12
_TOLERANCES = (1, _RINGING, 28)
"""Grey levels within which a background counts as flat: in lossless files, and in JPEG, which rings beside text, most
strongly at low quality."""

_MIN_ROWS = 8
_MIN_WIDTH_SHARE = 0.4
_MIN_STEP = 0.25
"""Share of a box's columns that leave the background between the edge row and the row above. Dark regions of pictures
change by a few per cent from row to row."""
_MIN_BACKGROUND = 0.35
_STROKE_CONTRAST = 50
_MIN_STROKES = 4


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
    near: NDArray[np.bool_]
    """Where it is within the ringing of JPEG of it: between dense text hardly a pixel has the level itself."""
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
    backgrounds = _background_levels(levels[first:])
    for tolerance in _TOLERANCES:
        best: Strip | None = None
        for level in backgrounds:
            for strip in _strips_on(levels[first:], level, tolerance):
                top, bottom = strip.top + first, strip.bottom + first
                if height - top > (max_bottom if bottom == height else max_floating):
                    continue
                if best is None or top < best.top:
                    best = Strip(top, strip.left, strip.right, bottom)
        if best is not None:
            return best
    return None


def _background_levels(zone: NDArray[np.uint8]) -> list[int]:
    """Levels that could be a background: black, white, and the commonest of the zone."""
    counts = _level_counts(zone)
    near = np.convolve(counts, np.ones(3, np.int64), mode="same")
    chosen: list[int] = []
    for level in [0, 255, *np.argsort(-near, kind="stable").tolist()]:
        if len(chosen) == 6:
            break
        if near[level] >= 0.02 * zone.size and all(abs(level - other) > 4 for other in chosen):
            chosen.append(level)
    return chosen


def _level_counts(zone: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels of each of the 256 levels, as np.bincount in a tenth of its time."""
    counts = np.zeros(256, np.int64)
    rows = max(1, 2**24 // zone.shape[1])  # calcHist answers in float32, which counts that far
    for top in range(0, len(zone), rows):
        counts += cv2.calcHist([zone[top : top + rows]], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return counts


def _strips_on(zone_levels: NDArray[np.uint8], level: int, tolerance: int) -> Iterator[Strip]:
    """Strips of one background level: one for each row that could be the top edge of one."""
    flat = _within(zone_levels, level, tolerance)
    rows = _possible_tops(flat)
    if not len(rows):
        return
    closed = _without_gaps(flat[rows])
    wide = _may_hold_run(closed, _MIN_WIDTH_SHARE * flat.shape[1])
    rows, closed = rows[wide], closed[wide]
    if not len(rows):
        return
    zone = _Zone(zone_levels, flat, _within(zone_levels, level, max(tolerance, _RINGING)), level)
    left, right = _longest_runs(closed)
    for i, row in enumerate(rows.tolist()):
        if right[i] - left[i] < _MIN_WIDTH_SHARE * flat.shape[1]:
            continue
        columns = int(left[i]) + np.flatnonzero(flat[row, left[i] : right[i]])  # closing reaches over the sides
        box = slice(int(columns[0]), int(columns[-1]) + 1)
        if 1 - flat[row - 1, box].mean() >= _MIN_STEP:
            strip = _judge(zone, row, box)
            if strip is not None:
                yield strip


def _possible_tops(flat: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows that have enough background, and over enough of it another level, to be the top edge of some box."""
    rows: NDArray[np.int64] = 1 + np.flatnonzero(count_in_rows(flat[1:]) >= 0.8 * _MIN_WIDTH_SHARE * flat.shape[1])
    if not len(rows):
        return rows
    step = count_in_rows(flat[rows] & ~flat[rows - 1])
    has_step: NDArray[np.int64] = rows[step >= 0.8 * _MIN_STEP * _MIN_WIDTH_SHARE * flat.shape[1]]
    return has_step


def _may_hold_run(mask: NDArray[np.bool_], length: float) -> NDArray[np.bool_]:
    """Rows of (N, W) that may have a run of True as long as `length`: most that have none are told here, quickly.

    Such a run covers a whole block of half its length, wherever it begins.
    """
    block = max(1, int(length) // 2)
    blocks = mask[:, : mask.shape[1] // block * block].reshape(len(mask), -1, block)
    return np.asarray(np.any(np.all(blocks, axis=2), axis=1))


def _within(levels: NDArray[np.uint8], level: int, tolerance: int) -> NDArray[np.bool_]:
    inside = cv2.inRange(levels, max(0, level - tolerance), min(255, level + tolerance))
    return np.asarray(inside, np.uint8).view(np.bool_)


def _judge(zone: _Zone, row: int, box: slice) -> Strip | None:
    """The strip whose first background row is `row`, if it is one."""
    bottom = _bottom_edge(zone, row, box)
    if bottom - row < _MIN_ROWS:
        return None
    is_floating = bottom < len(zone.flat)
    if is_floating and 1 - zone.flat[bottom, box].mean() < _MIN_STEP:
        return None
    inside = slice(row, bottom)
    if not (_has_sides(zone, inside, box) and _is_one_level(zone, inside, box) and _has_text(zone, inside, box)):
        return None
    top = _over_ringing(zone, _above_text(zone, row, box), box)
    top -= _outline_rows(zone, top - 1, -1, box)
    return Strip(top, box.start, box.stop, bottom + _outline_rows(zone, bottom, 1, box))


def _has_sides(zone: _Zone, rows: slice, box: slice) -> bool:
    """Whether the box ends at the sides of the image, or at straight vertical edges."""
    width = zone.flat.shape[1]
    for inner, outer, gap in ((box.start, box.start - 1, box.start), (box.stop - 1, box.stop, width - box.stop)):
        if gap > 0.02 * width and not (zone.flat[rows, inner].mean() >= 0.9 and zone.flat[rows, outer].mean() <= 0.5):
            return False
    return True


def _above_text(zone: _Zone, row: int, box: slice) -> int:
    """First background row of the strip, where `row` may be one that lies under a line of its text.

    Rows under text differ from the row above like an edge does; but over text there is clean background again.
    """
    reach = max(_MIN_ROWS, len(zone.flat) // 4)
    share = zone.near[: row + 1, box].mean(axis=1)
    while row > 0:
        over = row - 1
        while over >= 0 and share[over] >= 0.97:
            over -= 1
        if row - over > reach // 2:  # not a margin: the picture itself is as dark, or as bright, up there
            return row
        row = over + 1
        while over >= max(0, row - reach) and _MIN_BACKGROUND <= share[over] < 0.97:
            over -= 1
        if over < 0 or share[over] < 0.97 or np.median(_strokes(zone, slice(over + 1, row), box)[1]) < _MIN_STROKES:
            return row
        row = over + 1
    return row


def _over_ringing(zone: _Zone, row: int, box: slice) -> int:
    """The strip's first row, where JPEG (blocks of 8 rows) made the topmost background rows uneven."""
    over = row
    while over > 0 and _share_near(zone, over - 1, box, max(_TOLERANCES)) >= 0.9:
        over -= 1
    return over if row - over < 8 else row


def _share_near(zone: _Zone, row: int, box: slice, tolerance: int) -> float:
    """Share of a row's pixels that are within `tolerance` of the background."""
    return float((np.abs(zone.levels[row, box].astype(np.int16) - zone.level) <= tolerance).mean())


def _is_one_level(zone: _Zone, rows: slice, box: slice) -> bool:
    """Whether the background is one level, as drawn, not merely a narrow range of levels, as in a smooth picture."""
    distance = np.abs(zone.levels[rows, box].astype(np.int16) - zone.level)
    return bool((distance <= 2).mean() >= 0.4)


def _bottom_edge(zone: _Zone, row: int, box: slice) -> int:
    """End (exclusive) of the rows from `row` on that are mostly background, or a drawn line between such rows."""
    share = zone.flat[row:, box].mean(axis=1)
    end = last = 0  # rows are counted from `row`; `last` is the end of the rows that are background
    while end < len(share):
        if share[end] >= _MIN_BACKGROUND:
            end += 1
            last = end
        elif end - last < _thickest_line(zone) and _line_level(zone, row + end, box) is not None:
            end += 1
        else:
            break
    if end == len(share):
        return len(zone.flat)
    solid = np.flatnonzero(share[:last] >= 0.9)  # below a floating strip, picture as dark as its background may follow
    return row + int(solid[-1]) + 1 if solid.size else row


def _thickest_line(zone: _Zone) -> int:
    return 3 + len(zone.flat) // 100


def _line_level(zone: _Zone, row: int, box: slice) -> int | None:
    """Level of a row that is drawn over the whole box in one level far from the background; None for other rows."""
    values = zone.levels[row, box]
    level = int(np.median(values))
    if abs(level - zone.level) <= _STROKE_CONTRAST:
        return None
    return level if (np.abs(values.astype(np.int16) - level) <= 12).mean() >= 0.9 else None


def _has_text(zone: _Zone, rows: slice, box: slice) -> bool:
    """Whether the box holds many narrow strokes of high contrast, as text does, and little else."""
    stroke, per_row = _strokes(zone, rows, box)
    if not 0.004 <= stroke.mean() <= 0.5:
        return False
    has_many = per_row >= _MIN_STROKES
    if np.count_nonzero(has_many) < 5:
        return False
    lengths = stroke.sum(axis=1)[has_many] / per_row[has_many]
    return bool(np.median(lengths) <= max(8.0, stroke.shape[1] / 40))


def _strokes(zone: _Zone, rows: slice, box: slice) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Pixels that are drawn on the background, and how many runs of them each row has."""
    stroke = np.abs(zone.levels[rows, box].astype(np.int16) - zone.level) > _STROKE_CONTRAST
    return stroke, (stroke[:, 1:] & ~stroke[:, :-1]).sum(axis=1)


def _outline_rows(zone: _Zone, row: int, step: int, box: slice) -> int:
    """Rows that the line drawn around a strip takes, from `row` on upwards (step -1) or downwards (step 1).

    JPEG leaves rows of ringing between line and background. Where more rows than a line has are as flat, they are dark
    or empty picture, and the line is taken as one row thick.
    """
    level: int | None = None
    lines = taken = 0
    for count in range(1, _thickest_line(zone) + 5):
        if not 0 <= row < len(zone.flat):
            break
        here = _line_level(zone, row, box)
        if here is not None:
            if level is not None and abs(here - level) > 2 + 10 * (count > lines + 1):
                break
            level, lines, taken = here, lines + 1, count
        elif lines or _share_near(zone, row, box, 60) < 0.7:
            break
        row += step
    return taken if lines <= _thickest_line(zone) else 1


def _without_gaps(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with horizontal gaps closed that are as narrow as the lines between the cells of a bar."""
    if not len(mask):
        return mask
    width = 5 + 2 * (mask.shape[1] // 512)
    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, np.ones((1, width), np.uint8))
    return np.asarray(closed, np.uint8).view(np.bool_)


def _longest_runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and exclusive end of the longest run of True in each row of (N, W)."""
    if not len(mask):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    columns = np.arange(mask.shape[1], dtype=np.int32)
    last_false = np.maximum.accumulate(np.where(mask, np.int32(-1), columns), axis=1)
    lengths = columns - last_false
    end = lengths.argmax(axis=1)
    longest = lengths[np.arange(len(mask)), end]
    return end + 1 - longest, end + 1
