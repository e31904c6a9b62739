"""One Parquet file of a table: written whole and only if absent, read back with its schema checked.

Vectors (fixed-size lists) have no nulls, no dictionary and no statistics, BYTE_STREAM_SPLIT and zstd level 1: on packed
Gram of real micrographs 0.34 of the full float32 matrix, zstd 3 alone 0.35, plain 0.50; zstd 6 gains nothing after it.
"""

import hashlib
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field
from pydantic.dataclasses import dataclass

from texture_store.errors import EncodingError, ObjectExistsError, SchemaMismatchError
from texture_store.objects import Storage
from texture_store.store.sealing import CHECKSUM_KEY, UNSEALED, is_parquet_whole, seal_parquet

ROW_GROUP_BYTES = 32 * 1024 * 1024
"""Of vectors in a row group: one image is read from a file of 1 MB vectors in 0.03 s with 16 rows a group, in 1.6 s
with all rows in one group."""

SET_ASIDE = "run verify --repair, which sets it aside, and then the job again"
"""What to do about a damaged file."""

_ID = "image_id"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A table file that was written or adopted.

    Not a pydantic model: with slots it is a sixth of the size, and a store of a million images has 300,000 of them.
    """

    path: str
    """Relative to STORE."""
    rows: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    adopted: bool = False
    """Whether the file was there already: then its rows count, not those that were to be written."""


def write_table(storage: Storage, path: str, table: pa.Table) -> FileRecord:
    """Create a table file, or adopt the one that exists under this name; nothing is ever overwritten.

    Whoever calls reads the rows of an adopted file (`read_image_ids`): they may be others than those of `table`.

    Raises:
        EncodingError: NaN or infinity in a vector, a null where none is allowed, or an image twice.
        SchemaMismatchError: what exists under the name is not a file of this table.
    """
    check_rows(table, path)
    data = parquet_bytes(table)
    try:
        storage.create(path, data)
    except ObjectExistsError:
        return adopt_table(storage, path, table.schema)
    return FileRecord(path=path, rows=table.num_rows, bytes=len(data), sha256=_sha256(data))


def adopt_table(storage: Storage, path: str, schema: pa.Schema | None) -> FileRecord:
    """The record of a file that exists. Raises SchemaMismatchError when it is damaged or not one of this table."""
    data = storage.read(path)
    rows = parse_table(data, storage.url_of(path), schema, columns=[]).num_rows
    return FileRecord(path=path, rows=rows, bytes=len(data), sha256=_sha256(data), adopted=True)


def read_table(storage: Storage, path: str, schema: pa.Schema | None = None) -> pa.Table:
    """A whole table file. Raises SchemaMismatchError when it is not Parquet, or not of this schema (None: any)."""
    return parse_table(storage.read(path), storage.url_of(path), schema)


def read_image_ids(storage: Storage, path: str) -> list[str]:
    """The image_id of each row, in the file's order."""
    table = parse_table(storage.read(path), storage.url_of(path), None, columns=[_ID])
    ids: list[str] = table[_ID].to_pylist()
    return ids


def read_numbers(storage: Storage, path: str, column: str) -> npt.NDArray[np.int64]:
    """One column of integers, without the others being decoded."""
    table = parse_table(storage.read(path), storage.url_of(path), None, columns=[column])
    return np.asarray(table[column].to_numpy(), np.int64)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as Parquet, with a checksum of the whole file in its footer (see `sealing`).

    The same table and the same pyarrow give the same bytes.
    """
    vectors = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    plain = [field.name for field in table.schema if not pa.types.is_nested(field.type) and field.name != _ID]
    floats = [field.name for field in table.schema if _is_float_list(field.type)]
    row_bytes = sum(4 * table.schema.field(name).type.list_size for name in vectors)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=plain,
        column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in floats},
        write_statistics=[_ID] if _ID in table.column_names else False,
    ) as writer:
        writer.add_key_value_metadata({CHECKSUM_KEY: UNSEALED})
        writer.write_table(table, row_group_size=max(1, ROW_GROUP_BYTES // row_bytes) if row_bytes else None)
    return seal_parquet(memoryview(sink.getvalue()))


def check_rows(table: pa.Table, name: str) -> None:
    """Refuse rows that no reader should meet; they come from a mistake in a program, never from an image.

    Raises EncodingError for NaN or infinity in vectors and descriptors, nulls where none are allowed, and an
    image_id twice.
    """
    for field in table.schema:
        if not field.nullable and table[field.name].null_count:
            raise EncodingError(f"{name}: null in column {field.name}; nothing was written")
    if _ID in table.column_names and pc.count_distinct(table[_ID]).as_py() != table.num_rows:
        raise EncodingError(f"{name}: an image_id is there twice; nothing was written")
    for column in (field.name for field in table.schema if _is_float_list(field.type)):
        for chunk in table[column].chunks:
            values = chunk.flatten()
            if values.null_count or not np.isfinite(values.to_numpy(zero_copy_only=False)).all():
                raise EncodingError(f"{name}: NaN or infinity in column {column}; nothing was written")


def parse_table(data: bytes, name: str, schema: pa.Schema | None, columns: list[str] | None = None) -> pa.Table:
    """A table from the bytes of its file. Raises SchemaMismatchError, with `name` in it."""
    if is_parquet_whole(data) is False:
        raise SchemaMismatchError(f"{name}: damaged, its checksum does not hold; {SET_ASIDE}")
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            found = file.schema_arrow
            if schema is not None and not _is_same(found, schema):
                raise SchemaMismatchError(f"{name}: {_difference(found, schema)}")
            if columns is None or set(columns) <= set(found.names):
                return _without_checksum(file.read(columns=columns))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SchemaMismatchError(f"{name}: not a readable Parquet file ({reason}); {SET_ASIDE}") from error
    raise SchemaMismatchError(f"{name}: has no column {', '.join(columns)}; it is not a table of this store")


def _without_checksum(table: pa.Table) -> pa.Table:
    if not table.column_names:  # giving it other metadata would lose its number of rows
        return table
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != CHECKSUM_KEY.encode()}
    return table.replace_schema_metadata(metadata or None)


def _is_float_list(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_float32(kind.value_type))


def _is_same(found: pa.Schema, wanted: pa.Schema) -> bool:
    return found.equals(wanted) and _version(found) == _version(wanted)


def _version(schema: pa.Schema) -> tuple[bytes, bytes]:
    metadata = schema.metadata or {}
    return metadata.get(b"table", b""), metadata.get(b"version", b"")


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    (found_table, found_version), (table, version) = _version(found), _version(wanted)
    if (found_table, found_version) != (table, version):
        has = f"{found_table.decode(errors='replace') or 'no'} table, version {found_version.decode(errors='replace')}"
        return f"{has}; wanted {table.decode()}, version {version.decode()}: upgrade texture_store, or check the URL"
    names = {field.name for field in found if field not in list(wanted)}
    names |= {field.name for field in wanted if field not in list(found)}
    return f"columns differ from the schema ({', '.join(sorted(names)) or 'their order'}); delete it and run again"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
