"""The instrument's info strip (the databar), so that it never enters a feature.

Order of belief: what the user asks for, the vendor's own tag, the picture itself (`strips`).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from texture_store.errors import ImageTooSmallError
from texture_store.micrograph.levels import to_levels
from texture_store.micrograph.marks import has_marks
from texture_store.micrograph.strips import find_strip

MAX_CUT = 0.20
"""Largest share of the rows that is ever cut for a bar at the bottom edge."""

MAX_FLOATING_CUT = 0.22
"""The same for a bar with picture below it: Zeiss data zones on 768 rows were measured to begin as high as row 607, so
that 20.96 % of the rows lie at or under their edge. The NFFA set's own crop of such images cuts 21.9 %."""


@dataclass(frozen=True)
class Databar:
    """What was found. Rows and columns count from 0 at the top left; ends are exclusive.

    `method` is `none`, `vendor`, `rows`, `bottom` or `floating`. Rows from `top` on are cut, also the picture rows
    below a floating bar; the box is that of the bar itself. All are None when there is no bar. `has_marks` says that
    the kept picture itself carries drawn marks, such as a scale bar in a corner.
    """

    method: str
    top: int | None = None
    left: int | None = None
    right: int | None = None
    bottom: int | None = None
    has_marks: bool = False

    def kept_rows(self, height: int) -> int:
        """Number of picture rows that remain of `height`."""
        return height if self.top is None else self.top


def find_databar(grey: NDArray[np.generic], *, policy: str = "auto", vendor_rows: int | None = None) -> Databar:
    """The databar of a micrograph.

    Args:
        grey: (H, W), any real dtype.
        policy: `auto`, `none`, or the number of rows to cut from the bottom.
        vendor_rows: rows of the bar by the file's own metadata. `auto` believes them if they are at most 20 % of the
            height and have a flat background, because tags survive when another program crops the picture.

    Raises ImageTooSmallError if a fixed number of rows is more than 20 % of this image, and ValueError for an array
    that is not (H, W).
    """
    if grey.ndim != 2:
        raise ValueError(f"a grey picture has 2 axes, this array has {grey.ndim}: give one page and one channel")
    height, width = grey.shape
    if min(height, width) == 0:
        return Databar("none")
    levels = to_levels(grey)
    bar = _choose(levels, policy, vendor_rows)
    return replace(bar, has_marks=has_marks(levels[: bar.kept_rows(height)]))


def _choose(levels: NDArray[np.uint8], policy: str, vendor_rows: int | None) -> Databar:
    height, width = levels.shape
    if policy == "none":
        return Databar("none")
    if policy != "auto":
        rows = int(policy)
        if rows > MAX_CUT * height:
            raise ImageTooSmallError(
                f"cutting {rows} of {height} rows as databar is more than {MAX_CUT:.0%} of the image: "
                "use --databar auto, or fewer rows"
            )
        return Databar("rows", height - rows, 0, width, height) if rows else Databar("none")
    if vendor_rows and 0 < vendor_rows <= MAX_CUT * height and _has_flat_background(levels[height - vendor_rows :]):
        return Databar("vendor", height - vendor_rows, 0, width, height)
    strip = find_strip(levels, max_bottom=int(MAX_CUT * height), max_floating=int(MAX_FLOATING_CUT * height))
    if strip is None:
        return Databar("none")
    method = "bottom" if strip.bottom == height else "floating"
    return Databar(method, strip.top, strip.left, strip.right, strip.bottom)


def _has_flat_background(rows: NDArray[np.uint8]) -> bool:
    """Whether a third of the pixels lie within 9 neighbouring levels; the background of a bar is over half of it."""
    counts = np.bincount(rows.ravel(), minlength=256)
    return bool(np.convolve(counts, np.ones(9, np.int64)).max() >= rows.size / 3)
