"""CSV and Parquet as tables of text: `01` stays `01`, and an empty field is null."""

import csv
import gzip
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from texture_store.errors import LabelsError, ObjectNotFoundError
from texture_store.objects import open_parent

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".parquet")


def read_text_table(url: str, *, header: tuple[str, ...] | None = None) -> pa.Table:
    """The table in a CSV (comma, semicolon or tab; UTF-8) or Parquet file, every column as text.

    `header` names the columns of a CSV whose first line is data already. Raises LabelsError when it cannot be read.
    """
    data = read_bytes(url)
    if url.lower().endswith(".parquet"):
        return _parquet(url, data)
    text = csv_text(url, data)
    if not text.strip():
        raise LabelsError(f"{url}: an empty file")
    delimiter = _delimiter(text)
    names = header or tuple(name.strip() for name in first_row(text))
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise LabelsError(f"{url}: column {twice[0]} is there twice; rename one")
    columns = [name or f"unnamed {place}" for place, name in enumerate(names)]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=columns, skip_rows=0 if header else 1),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException as error:
        raise LabelsError(f"{url}: not a CSV table ({str(error).splitlines()[0]})") from error
    return table.select([column for column, name in zip(columns, names, strict=True) if name]).combine_chunks()


def read_bytes(url: str) -> bytes:
    """The bytes of a file that was named on the command line. Raises LabelsError when it is not there."""
    storage, name = open_parent(url)
    try:
        return storage.read(name)
    except ObjectNotFoundError as error:
        raise LabelsError(f"{storage.url_of(name)}: no such file") from error


def csv_text(url: str, data: bytes) -> str:
    """The text of a CSV file, without byte order mark. Raises LabelsError unless it is UTF-8."""
    try:
        if url.lower().endswith(".gz"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise LabelsError(f"{url}: not UTF-8 text; save it as UTF-8 CSV ({error})") from error


def first_row(text: str) -> list[str]:
    """The fields of the first line."""
    return next(csv.reader(io.StringIO(text), delimiter=_delimiter(text)), [])


def _delimiter(text: str) -> str:
    line = text.partition("\n")[0]
    return max(",;\t", key=line.count)  # the comma when none of them is there


def _parquet(url: str, data: bytes) -> pa.Table:
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise LabelsError(f"{url}: not a Parquet file ({str(error).splitlines()[0]})") from error
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        try:
            text = column.cast(pa.string())
        except pa.ArrowException as error:
            raise LabelsError(f"{url}: column {name} is of type {column.type}, which is not text") from error
        columns[name] = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    return pa.table(columns)
