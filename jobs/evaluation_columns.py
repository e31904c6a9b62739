"""Columns of the labels file as evaluate takes them: by the names that the user knows, as text or numbers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import META_PREFIX
from texture_store.archive.labels import matches, parse_condition
from texture_store.errors import UsageError
from texture_store.evaluation.columns import Column, linear_matrix, parse_column

_OWN = ("label", "specimen")


def names_of(table: pa.Table) -> dict[str, str]:
    """Name that the user knows -> column of a snapshot's table. `label` and `specimen` are the index's own."""
    meta = [name for name in table.column_names if name.startswith(META_PREFIX)]
    return {name.removeprefix(META_PREFIX): name for name in meta} | {name: name for name in ("path", *_OWN)}


def column_of(table: pa.Table, name: str, option: str) -> pa.ChunkedArray:
    """The column (n,) of a snapshot's table that the user means. UsageError, with `option`, when there is none."""
    names = names_of(table)
    if name not in names:
        raise UsageError(f"{option} {name}: no such column; there are {', '.join(sorted(set(names) - {'path'}))}")
    return table.column(names[name])


def parsed(table: pa.Table, name: str, option: str) -> Column:
    """Likewise, as numbers with NaN if it holds numbers, else as text with None."""
    return parse_column(column_of(table, name, option).to_pylist())


def selected(table: pa.Table, where: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n,) which rows meet all conditions `COLUMN=VALUE` or `COLUMN!=VALUE`. UsageError or LabelsError."""
    mask = matches(table, [parse_condition(text) for text in where], names_of(table))
    return np.asarray(mask.to_numpy(zero_copy_only=False), bool)


def targets(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """(n,) numbers to predict, NaN where there is none. UsageError for a column that holds anything else."""
    column = parsed(table, name, "--label-column")
    if column.dtype.kind != "f":
        first = next(value for value in column if value is not None and parse_column([value]).dtype.kind != "f")
        raise UsageError(
            f"--task regression: column {name} holds {first!r}, which is not a number; name another --label-column, or"
            " leave it out by --where"
        )
    return np.asarray(column, np.float64)


def beside_features(table: pa.Table, names: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """(n, c) columns to stand beside the features; None without names.

    A column of numbers is one of them; any other has one for each of its values, 0 or 1.
    """
    columns = [parsed(table, name, "--with-columns") for name in names]
    return linear_matrix(columns) if columns else None
