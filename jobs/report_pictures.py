"""Pictures of a report: micrographs as the network sees them, read from the archive again, bounded in number."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from texture_store.archive.fetch import Fetched, fetch
from texture_store.errors import RejectedImageError, TextureStoreError
from texture_store.micrograph.reading import read_micrograph
from texture_store.report.previewed import describe_scale
from texture_store.report.report_content import Picture
from texture_store.report.report_page import PICTURE_PX
from texture_store.report.thumbnail import thumbnail
from texture_store.spec import PixelSpec
from texture_store.store.scale import LABELS_COLUMN

Advance = Callable[[int, int], None]


@dataclass
class PictureReader:
    """Reads what the network received of rows of a snapshot.

    An archive that cannot be read leaves pictures out: `problem` then says why, and nothing is tried again.
    """

    archive_url: str
    pixels: PixelSpec
    announce: Callable[[int], None] = lambda _total: None
    """Told how many there are, as far as that is known."""
    advance: Advance = lambda _done, _rejected: None
    problem: str | None = None
    _seen: dict[str, Picture] = field(default_factory=dict)

    def read(self, rows: pa.Table) -> list[Picture]:
        """One picture a row, in order."""
        known = [name for name in ("image_id", "path", "label", LABELS_COLUMN) if name in rows.column_names]
        names = rows.select(known).to_pylist()
        wanted = [number for number, one in enumerate(names) if one["image_id"] not in self._seen]
        if wanted and self.problem is None:
            self.announce(len(self._seen) + len(wanted))
            try:
                for fetched in fetch(rows.take(wanted), self.archive_url):
                    one = names[wanted[fetched.index]]
                    picture = _picture(fetched, one, self.pixels)
                    self._seen[one["image_id"]] = picture
                    self.advance(1, int(picture.pixels is None))
            except TextureStoreError as error:
                self.problem = str(error)
        return [self._seen.get(one["image_id"]) or _without(one, "the archive could not be read") for one in names]

    @property
    def num_read(self) -> int:
        """Images with a picture."""
        return sum(picture.pixels is not None for picture in self._seen.values())

    @property
    def num_missing(self) -> int:
        """Images that were asked for and cannot be shown."""
        return sum(picture.pixels is None for picture in self._seen.values())


def spread_evenly(number: int, most: int) -> npt.NDArray[np.int64]:
    """Up to `most` of `number` rows, spread evenly, the first and the last among them."""
    if min(number, most) < 1:
        return np.empty(0, np.int64)
    if most == 1:
        return np.array([number // 2], np.int64)
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(np.int64))


def shares_of(total: int, sizes: Sequence[int]) -> list[int]:
    """How many pictures each class gets of `total`: as equal as can be, at most its size; the first ones when few."""
    given = [0] * len(sizes)
    left = total
    while left and any(one < size for one, size in zip(given, sizes, strict=True)):
        for number, size in enumerate(sizes):
            if left and given[number] < size:
                given[number] += 1
                left -= 1
    return given


def _picture(fetched: Fetched, row: dict[str, Any], pixels: PixelSpec) -> Picture:
    if fetched.data is None:
        return _without(row, str(fetched.problem).removeprefix(f"{row['path']}: "))
    try:
        micrograph = read_micrograph(fetched.data, pixels, sidecar=fetched.sidecar, name=row["path"])
    except RejectedImageError as error:
        return _without(row, f"rejected: {error}")
    facts = micrograph.facts
    label = f"labelled {row['label']}" if row["label"] is not None else "without a label"
    alt = f"Micrograph {row['path']}, {label}, {facts['seen_width']} x {facts['seen_height']} px."
    return Picture(row["path"], thumbnail(micrograph.seen, PICTURE_PX, PICTURE_PX), alt, [_scale(facts, row)])


def _scale(facts: Any, row: dict[str, Any]) -> str:
    """How much of the specimen is seen: as the file says, else as the labels file does."""
    x, y, source = facts["um_per_px_x"], facts["um_per_px_y"], ""
    if x is None and (labelled := _number(row.get(LABELS_COLUMN))) > 0:
        x, y, source = labelled * facts["px_per_px_x"], labelled * facts["px_per_px_y"], " (labels file)"
    if x is None:
        return "scale unknown"
    width = x * facts["seen_width"]
    told = f"{width / 1000:.3g} mm" if width >= 1000 else f"{width:.3g} µm"
    return f"{told} wide, {describe_scale(x, y)} µm per px{source}"


def _number(text: str | None) -> float:
    """Of a text; 0 for what is none."""
    with contextlib.suppress(ValueError):
        value = float(text or "")
        return value if math.isfinite(value) else 0.0
    return 0.0


def _without(row: dict[str, Any], reason: str) -> Picture:
    return Picture(row["path"], None, "", [reason])
