"""Exact duplicates: which rows are the same picture, and whether labels or folds come between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from texture_store.evaluation.missing import missing

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Crossing:
    """What comes between the rows of one picture."""

    labels: bool
    """They are labelled differently: one label at least is wrong."""
    groups: bool
    """They are of different groups, or of none: folds by group do not keep them together."""


def equal_rows(keys: npt.NDArray[Any]) -> list[Rows]:
    """Sets of two rows or more that have the same key, such as a hash; each ascending, in the order of the first.

    keys (n,); a missing one equals none.
    """
    rows: dict[str, list[int]] = {}
    for row, (key, absent) in enumerate(zip(keys, missing(keys), strict=True)):
        if not absent:
            rows.setdefault(str(key), []).append(row)
    return [np.array(same, dtype=np.intp) for same in rows.values() if len(same) > 1]


def connected_rows(pairs: npt.NDArray[np.integer], num_rows: int) -> list[Rows]:
    """Sets of rows that pairs (m, 2) connect, directly or over others; each ascending, in the order of the first."""
    if not len(pairs):
        return []
    edges = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(num_rows, num_rows))
    number, component = connected_components(edges, directed=False)
    sizes = np.bincount(component, minlength=number)
    order = np.argsort(component, kind="stable")
    sets = np.split(order, np.cumsum(sizes)[:-1])
    return [rows.astype(np.intp) for rows in sorted(sets, key=lambda rows: int(rows[0])) if len(rows) > 1]


def crossing(rows: Rows, labels: npt.NDArray[Any], groups: npt.NDArray[Any]) -> Crossing:
    """What comes between `rows` of one picture; labels (n,) and groups (n,) may be missing.

    Images without a label do not contradict; images without a group are groups of their own.
    """
    without_label, without_group = missing(labels[rows]), missing(groups[rows])
    known = {str(label) for label in labels[rows][~without_label]}
    num_groups = len({str(group) for group in groups[rows][~without_group]}) + int(without_group.sum())
    return Crossing(len(known) > 1, num_groups > 1)
