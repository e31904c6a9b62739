"""sql: query a store with DuckDB, for reading only."""

import csv
import itertools
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import click
import duckdb
from rich.table import Table
from rich.text import Text

from jobs.commands import JobCommand
from jobs.options import printable, store_option
from jobs.status import console_for_output
from texture_store.errors import StoreError, UsageError
from texture_store.store.reader import open_store

JOB = "sql"
BATCH = 1024
TABLE_ROWS = 1000
"""A table has to be in memory to know how wide its columns are; csv and json are written as rows come."""
LIST_ITEMS = 4
"""Of a vector, shown in a table."""


@dataclass(frozen=True)
class Answer:
    """Names of the columns, and the rows as they come."""

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def sql(store_url: str, query: str) -> Iterator[Answer]:
    """Run one query over the views of a store (`texture_store.store.views`); rows are read while the block runs.

    Raises UsageError for SQL that does not fit the store, StoreError when a file of it cannot be read.
    """
    store = open_store(store_url)
    with _one_line(), closing(store.duckdb(read_only=True)) as connection:
        statements = connection.extract_statements(query)
        if len(statements) != 1:
            raise UsageError(f"{len(statements)} SQL statements; give one")
        if duckdb.ExpectedResultType.QUERY_RESULT not in statements[0].expected_result_type:
            raise UsageError("this statement gives no rows; a store is only read, so give a SELECT")
        result = connection.execute(statements[0])
        yield Answer(_distinct(str(column[0]) for column in result.description or ()), _rows(result))


def _rows(result: Any) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(BATCH):
        yield from rows


def _distinct(names: Iterable[str]) -> list[str]:
    """A join may give two columns of one name, which would be one key in JSON."""
    found: list[str] = []
    for name in names:
        others = (f"{name}_{number}" for number in itertools.count(1))
        found.append(next(other for other in itertools.chain([name], others) if other not in found))
    return found


@contextmanager
def _one_line() -> Iterator[None]:
    """DuckDB's errors go over several lines, and those of files read through Python carry its traceback."""
    try:
        yield
    except duckdb.Error as error:
        message = str(error).split("\n\n")[0].strip()
        lines = message.splitlines() or [type(error).__name__]
        reason = lines[-1] if "Traceback (most recent call last)" in message else " ".join(lines)
        if isinstance(error, duckdb.ProgrammingError | duckdb.DataError | duckdb.NotSupportedError):
            raise UsageError(reason) from error
        raise StoreError(reason) from error


@click.command(
    JOB,
    cls=JobCommand,
    epilog='Example: texture-store sql --store s3://lab/store "select label, count(*) from images group by label"',
)
@store_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="Of the rows.",
)
@click.argument("query", metavar="SQL")
def command(*, store_url: str, form: str, query: str) -> None:
    """Query the views images, features, micrographs, rejected and feature_sets, at the current snapshots.

    features has one spec for each dataset, encoder and layer, the one that readers take when none is named;
    all_features has all. Join them on (dataset, image_id). vector is FLOAT[]: list_cosine_similarity and its like work.
    A query can read the store, and nothing else.
    """
    write = {"csv": _write_csv, "json": _write_json, "table": _write_table}[form]
    with sql(store_url, query) as answer:
        try:
            write(answer)
            sys.stdout.flush()
        except BrokenPipeError:  # such as `| head`: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_csv(answer: Answer) -> None:
    # Text of files that goes to a terminal must not command it; a file gets it as it is.
    safe = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, lineterminator="\n")

    def cells(row: Sequence[Any]) -> list[Any]:
        texts = ["" if value is None else json.dumps(_plain(value)) if _nested(value) else value for value in row]
        return [printable(str(text)) for text in texts] if safe else texts

    writer.writerow(cells(answer.columns))
    writer.writerows(map(cells, answer.rows))


def _write_json(answer: Answer) -> None:
    """One list of objects, a row a line; control characters are escaped by JSON itself."""
    click.echo("[", nl=False)
    comma = "\n"
    for row in answer.rows:
        click.echo(comma + json.dumps(dict(zip(answer.columns, map(_plain, row), strict=True))), nl=False)
        comma = ",\n"
    click.echo("\n]")


def _write_table(answer: Answer) -> None:
    table = Table(box=None, pad_edge=False)
    for column in answer.columns:
        table.add_column(Text(printable(column)), overflow="fold")
    left = 0
    for row in answer.rows:
        if table.row_count < TABLE_ROWS:
            table.add_row(*(Text(printable(_short(value)), justify=_side(value)) for value in row))
        else:
            left += 1
    console_for_output().print(table)
    if left:
        click.echo(f"and {left:,} more rows; --format csv or json gives all", err=True)


def _side(value: object) -> Any:
    return "right" if isinstance(value, int | float) and not isinstance(value, bool) else "left"


def _nested(value: object) -> bool:
    return isinstance(value, list | tuple | dict)


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple) and len(value) > LIST_ITEMS:
        return f"[{', '.join(_short(item) for item in value[:LIST_ITEMS])}, ... {len(value):,} values]"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    return str(value)


if __name__ == "__main__":
    command()
