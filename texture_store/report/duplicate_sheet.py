"""A sheet of duplicates as PNG: the copies of each set side by side, and whether labels or groups contradict."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from texture_store.report import canvas
from texture_store.report.canvas import INK, PROBLEM, QUIET, WARNING
from texture_store.report.thumbnail import thumbnail

PICTURE_PX = 256
"""Pictures are drawn no larger; of 128, 64 ... px, as small native pictures are, by whole factors."""
MAX_COPIES = 4
"""Of a set that are drawn: as many as stand side by side."""
_GAP_PX = 24
_PITCH_PX = PICTURE_PX + _GAP_PX
_BAR_PX = 5
_LINE_PX = 16
_UNREAD_PX = 128
"""Height at least of a tile without a picture."""
_GREY = "#d0d7de"


@dataclass(frozen=True)
class Copy:
    """One image of a set."""

    path: str
    label: str | None
    group: str | None
    seen: np.ndarray | None
    """(h, w) uint8: what the network receives, perhaps smaller; None when it cannot be read."""
    reason: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True)
class CopySet:
    """Images that are one picture."""

    what: str
    """Such as `identical files`."""
    copies: Sequence[Copy]
    """The first 4 are drawn."""
    labels_differ: bool
    groups_differ: bool


def duplicate_sheet(
    sets: Sequence[CopySet], *, title: str, lines: Sequence[str], label_name: str, group_name: str | None
) -> bytes:
    """The sheet as PNG, the same bytes for the same input; sets in their order, two of two images beside each other.

    `lines` stand under the title. `label_name` and `group_name` are the columns' names; without a group's name nothing
    is said about groups. All texts may be untrusted.
    """
    rows = list(_rows(sets))
    headings = [_heading_px([one for _, one in row]) for row in rows]
    heights = [_picture_px([one for _, one in row]) for row in rows]
    caption = _LINE_PX * (2 if group_name is None else 3) + 6
    bottom = caption + _GAP_PX
    top = 44 + _LINE_PX * len(lines) + 16
    width = _GAP_PX + MAX_COPIES * _PITCH_PX
    sheet = _Sheet(canvas.blank(width, top + sum(headings) + sum(heights) + bottom * len(rows)), label_name, group_name)
    sheet.write(_GAP_PX, 26, title, width - 2 * _GAP_PX, size=14, weight="bold")
    for number, line in enumerate(lines):
        sheet.write(_GAP_PX, 52 + _LINE_PX * number, line, width - 2 * _GAP_PX, colour=QUIET)
    number = 0
    for row, heading, height in zip(rows, headings, heights, strict=True):
        for column, one in row:
            number += 1
            x = _GAP_PX + column * _PITCH_PX
            canvas.draw_box(sheet.axes, x - 13, top, _BAR_PX, heading + height + caption, sheet.colour(one))
            sheet.heading(one, number, x, top)
            for place, copy in enumerate(one.copies[:MAX_COPIES]):
                left, upper = x + place * _PITCH_PX, top + heading
                sheet.picture(copy, left, upper, height)
                sheet.caption(one, copy, left, upper + height)
        top += heading + height + bottom
    return canvas.png(sheet.axes)


def _rows(sets: Sequence[CopySet]) -> Iterator[list[tuple[int, CopySet]]]:
    """(column, set) of those that fit beside each other."""
    row: list[tuple[int, CopySet]] = []
    taken = 0
    for one in sets:
        if row and taken + _columns(one) > MAX_COPIES:
            yield row
            row, taken = [], 0
        row.append((taken, one))
        taken += _columns(one)
    if row:
        yield row


def _columns(one: CopySet) -> int:
    """A heading takes the room of two pictures."""
    return max(2, min(len(one.copies), MAX_COPIES))


def _heading_px(sets: Sequence[CopySet]) -> int:
    """Of a row: a line for what they are, one or two for what differs."""
    lines = max(1 + max(1, one.labels_differ + one.groups_differ) for one in sets)
    return lines * _LINE_PX + 6


def _picture_px(sets: Sequence[CopySet]) -> int:
    copies = [copy for one in sets for copy in one.copies[:MAX_COPIES]]
    return max(_UNREAD_PX if copy.seen is None else _drawn_size(copy.seen)[1] for copy in copies)


def _drawn_size(seen: np.ndarray) -> tuple[int, int]:
    """(width, height) in px of the sheet."""
    rows, columns = seen.shape
    factor = PICTURE_PX / max(rows, columns)
    factor = float(int(factor)) if factor >= 1 else factor
    return max(1, round(columns * factor)), max(1, round(rows * factor))


@dataclass(frozen=True)
class _Sheet:
    axes: Axes
    label_name: str
    group_name: str | None

    def groups_differ(self, one: CopySet) -> bool:
        return one.groups_differ and self.group_name is not None

    def colour(self, one: CopySet) -> str:
        return PROBLEM if one.labels_differ else WARNING if self.groups_differ(one) else _GREY

    def heading(self, one: CopySet, number: int, x: float, y: float) -> None:
        width = _columns(one) * _PITCH_PX - _GAP_PX
        self.write(x, y + _LINE_PX / 2, f"{number}. {one.what}", width, size=9, weight="bold")
        said = []
        if one.labels_differ:
            said.append((f"LABELS DIFFER ({self.label_name}): at most one is right", PROBLEM))
        if self.groups_differ(one):
            said.append((f"GROUPS DIFFER ({self.group_name}): folds by group do not keep them together", WARNING))
        for place, (text, colour) in enumerate(said, start=1):
            self.write(x, y + _LINE_PX * (place + 0.5), text, width, colour=colour, weight="bold")
        if not said:
            names = self.label_name if self.group_name is None else f"{self.label_name} or {self.group_name}"
            self.write(x, y + _LINE_PX * 1.5, f"no difference in {names}", width, colour=QUIET)

    def picture(self, copy: Copy, x: float, y: float, height: int) -> None:
        if copy.seen is not None:
            small = thumbnail(copy.seen, PICTURE_PX, PICTURE_PX)
            canvas.draw_picture(self.axes, small, x, y, *_drawn_size(copy.seen))
            return
        canvas.draw_box(self.axes, x, y, PICTURE_PX, height, _GREY)
        self.write(x + 10, y + 20, "cannot be read", PICTURE_PX - 20, size=9, weight="bold")
        reason = textwrap.wrap(canvas.plain(copy.reason), 38, max_lines=5, placeholder=" ...")
        for number, line in enumerate(reason):
            self.write(x + 10, y + 42 + 14 * number, line, PICTURE_PX - 20)

    def caption(self, one: CopySet, copy: Copy, x: float, y: float) -> None:
        lines = [(copy.path, INK), (_named(self.label_name, copy.label), PROBLEM if one.labels_differ else QUIET)]
        if self.group_name is not None:
            lines.append((_named(self.group_name, copy.group), WARNING if one.groups_differ else QUIET))
        for number, (text, colour) in enumerate(lines):
            self.write(x, y + _LINE_PX * (number + 0.75), text, PICTURE_PX, colour=colour)

    def write(
        self, x: float, y: float, text: str, width: float, *, size: float = 8, colour: str = INK, weight: str = "normal"
    ) -> None:
        text = canvas.shortened(text, width, size=size, weight=weight)
        canvas.write(self.axes, x, y, text, size=size, colour=colour, weight=weight)


def _named(name: str, value: str | None) -> str:
    return f"no {name}" if value is None or not value.strip() else f"{name}: {value}"
