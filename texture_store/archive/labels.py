"""The labels file: what is known about each image, joined by path. All of it is text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from texture_store.archive.text_table import read_text_table
from texture_store.errors import LabelsError, UsageError

DEFAULT_LABEL_COLUMN = "label"
DEFAULT_GROUP_COLUMN = "specimen"


@dataclass(frozen=True)
class Labels:
    """Labels by path. Values are text exactly as written; null where nothing was."""

    source: str
    """URL of the file."""
    table: pa.Table
    """path, label, specimen, and the file's other columns under their own names."""
    names: dict[str, str]
    """Name in the file -> column of a snapshot (label, specimen, meta_<name>, path)."""

    @property
    def meta_columns(self) -> list[str]:
        """The file's other columns."""
        return list(self.table.column_names[3:])


class Condition(NamedTuple):
    """`COLUMN=VALUE` or `COLUMN!=VALUE`."""

    column: str
    value: str
    equal: bool


def read_labels(url: str, *, label_column: str | None = None, group_column: str | None = None) -> Labels:
    """Labels of a CSV or Parquet file with a column `path`, relative to the archive.

    `label_column` and `group_column` (what specimen an image is of) must exist when named; else `label` and `specimen`
    are taken if they are there. Raises LabelsError.
    """
    return labels_of(read_text_table(url), source=url, label_column=label_column, group_column=group_column)


def labels_of(
    table: pa.Table, *, source: str, label_column: str | None = None, group_column: str | None = None
) -> Labels:
    """Labels of a table of text that has a column `path`. Raises LabelsError."""
    has = f"it has {', '.join(table.column_names) or 'no columns'}"
    for name in ("path", label_column, group_column):
        if name is not None and name not in table.column_names:
            raise LabelsError(f"{source}: no column {name}; {has}")
    label = label_column or (DEFAULT_LABEL_COLUMN if DEFAULT_LABEL_COLUMN in table.column_names else None)
    group = group_column or (DEFAULT_GROUP_COLUMN if DEFAULT_GROUP_COLUMN in table.column_names else None)
    table = table.filter(pc.is_valid(table["path"]))
    paths = pc.replace_substring_regex(table["path"], pattern=r"^(\./)+", replacement="")
    _check_unique(paths, source)
    others = [name for name in table.column_names if name not in ("path", label, group)]
    nothing = pa.nulls(table.num_rows, pa.string())
    columns = [paths, table[label] if label else nothing, table[group] if group else nothing]
    names = {name: f"meta_{name}" for name in others} | {"path": "path"}
    names |= {name: column for name, column in ((group, "specimen"), (label, "label")) if name}
    columns += [table[name] for name in others]
    # Other columns may be called label or specimen too, when some other column was named as the label.
    return Labels(source, pa.Table.from_arrays(columns, names=["path", "label", "specimen", *others]), names)


def parse_condition(text: str) -> Condition:
    """A condition as written on the command line. Raises UsageError."""
    column, equals, value = text.partition("=")
    equal = not column.endswith("!")
    column = column.removesuffix("!")
    if not equals or not column:
        raise UsageError(f"--where {text}: write it as COLUMN=VALUE or COLUMN!=VALUE")
    return Condition(column, value, equal)


def matches(table: pa.Table, conditions: Sequence[Condition], names: dict[str, str]) -> pa.Array:
    """Which rows of a snapshot's table meet all conditions, compared as text; a value that is missing equals "".

    Of several `COLUMN=VALUE` on one column any counts: all of them hold of no row. Raises LabelsError for a column that
    is not there.
    """
    mask = pa.array(np.ones(table.num_rows, bool))
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        column = names.get(condition.column)
        if column is None:
            raise LabelsError(
                f"--where: no column {condition.column}; there are {', '.join(sorted(names)) or 'no labels'}"
            )
        if condition.equal:
            wanted.setdefault(column, []).append(condition.value)
        else:
            mask = pc.and_(mask, pc.not_equal(pc.fill_null(table[column], ""), condition.value))
    for column, values in wanted.items():
        mask = pc.and_(mask, pc.is_in(pc.fill_null(table[column], ""), value_set=pa.array(values, pa.string())))
    return mask


def _check_unique(paths: pa.ChunkedArray, source: str) -> None:
    counts = pc.value_counts(paths)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(twice):
        raise LabelsError(f"{source}: {twice[0].as_py()} is there more than once; each path needs one row")
