"""Um per px of what the network saw, and where that is known from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas import META_PREFIX
from texture_store.objects import Storage
from texture_store.store.catalog import CommittedFile
from texture_store.store.scan import Rows, scan

LABELS_COLUMN = META_PREFIX + "um_per_px"
"""Column of the labels file with the scale of the file as it is."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scales:
    """For n images; NaN and None where the scale is not known."""

    x: Floats
    """(n,) um per px, after cut and resize."""
    y: Floats
    source: npt.NDArray[np.object_]
    """(n,) `file` (the instrument's metadata), `labels` or None."""

    def near(self, um_per_px: float, tolerance: float) -> npt.NDArray[np.bool_]:
        """(n,) whether both axes are within a relative tolerance of a scale."""
        return (np.abs(self.x / um_per_px - 1) <= tolerance) & (np.abs(self.y / um_per_px - 1) <= tolerance)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the scale is known."""
        return np.isfinite(self.x) & np.isfinite(self.y)


class _Facts(NamedTuple):
    um_per_px_x: Floats
    um_per_px_y: Floats
    px_per_px_x: Floats
    px_per_px_y: Floats


def read_scales(storage: Storage, files: Sequence[CommittedFile], members: pa.Table) -> Scales:
    """The scales of `members` (rows of a snapshot); `CommittedFile.rows` are rows of it.

    What the file itself says comes first. Else the labels' um per px counts, times the file pixels per pixel that the
    network saw.
    """
    facts = _Facts(*(np.full(members.num_rows, np.nan) for _ in _Facts._fields))

    def consume(rows: Rows, table: pa.Table) -> None:
        for name, values in zip(_Facts._fields, facts, strict=True):
            values[rows] = pc.fill_null(table.column(name), np.nan).to_numpy()

    scan(storage, files, _Facts._fields, consume, whole=False, complete=False)
    x, y = facts.um_per_px_x, facts.um_per_px_y
    source = np.full(members.num_rows, None, object)
    source[np.isfinite(x) & np.isfinite(y)] = "file"
    if LABELS_COLUMN in members.column_names:
        labelled = _positive_numbers(members.column(LABELS_COLUMN))
        take = ~np.isfinite(x) & np.isfinite(labelled) & np.isfinite(facts.px_per_px_x)
        x, y = x.copy(), y.copy()
        x[take] = labelled[take] * facts.px_per_px_x[take]
        y[take] = labelled[take] * facts.px_per_px_y[take]
        source[take] = "labels"
    return Scales(x, y, source)


def _positive_numbers(column: pa.ChunkedArray) -> Floats:
    """Text as numbers; NaN for what is none, or not above 0."""
    import pandas as pd

    numbers = pd.to_numeric(column.to_pandas(), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers) & (numbers > 0), numbers, np.nan)
