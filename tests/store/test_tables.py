import dataclasses
import hashlib
import io

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas import MICROGRAPHS, REJECTED, features_schema, fold_vectors_schema
from tests.made_store import list_array
from texture_store.errors import EncodingError, ObjectNotFoundError, SchemaMismatchError
from texture_store.objects import open_storage
from texture_store.store import tables
from texture_store.store.tables import FileRecord, parquet_bytes, read_image_ids, read_table, write_table

PATH = "features/dataset=steel/spec=s0/encoder=mean/layer=input/a.parquet"


def make_features(vectors: np.ndarray, ids: list[str] | None = None) -> pa.Table:
    schema = features_schema(vectors.shape[1])
    ids = ids or [f"image{i}" for i in range(len(vectors))]
    flat = pa.array(vectors.astype(np.float32).reshape(-1))
    columns = [
        pa.array(ids),
        pa.array([f"{i}.tif" for i in ids]),
        pa.array([4] * len(ids), pa.int32()),
        pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def vectors_of(table: pa.Table) -> np.ndarray:
    width = table.schema.field("vector").type.list_size
    return np.concatenate([chunk.flatten().to_numpy().reshape(-1, width) for chunk in table["vector"].chunks])


ROWS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def check_write_read_adopt(url: str) -> None:
    storage = open_storage(url)
    table = make_features(ROWS)
    record = write_table(storage, PATH, table)
    data = storage.read(PATH)
    assert record == FileRecord(path=PATH, rows=5, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert read_table(storage, PATH, features_schema(7)).equals(table)
    assert read_image_ids(storage, PATH) == ["image0", "image1", "image2", "image3", "image4"]
    again = write_table(storage, PATH, make_features(ROWS[:2] + 1))
    assert again == dataclasses.replace(record, adopted=True)
    assert storage.read(PATH) == data


def test_a_table_is_written_once_read_back_and_adopted(tmp_path):
    check_write_read_adopt(str(tmp_path))


@pytest.mark.s3
def test_a_table_is_written_once_read_back_and_adopted_on_s3(s3_url):
    check_write_read_adopt(s3_url)


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_vectors_come_back_bit_for_bit(vectors):
    table = make_features(vectors)
    back = pq.read_table(io.BytesIO(parquet_bytes(table)))
    assert back.schema.equals(table.schema, check_metadata=True)
    assert np.array_equal(vectors_of(back).view(np.uint32), vectors.view(np.uint32))


def test_minus_zero_subnormals_and_extremes_keep_their_bits():
    values = np.array([[-0.0, 0.0, 1e-45, -1e-45, 3.4028235e38, np.float32(2**-126)]], np.float32)
    back = pq.read_table(io.BytesIO(parquet_bytes(make_features(values))))
    assert np.array_equal(vectors_of(back).view(np.uint32), values.view(np.uint32))


def test_the_same_table_gives_the_same_bytes_however_it_is_chunked():
    table = make_features(ROWS)
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert parquet_bytes(table) == parquet_bytes(make_features(ROWS.copy())) == parquet_bytes(chunked)


def test_vectors_have_byte_stream_split_and_neither_dictionary_nor_statistics():
    group = pq.ParquetFile(io.BytesIO(parquet_bytes(make_features(ROWS)))).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    vector = columns["vector.list.element"]
    assert "BYTE_STREAM_SPLIT" in vector.encodings
    assert not vector.has_dictionary_page
    assert {name for name, column in columns.items() if column.is_stats_set} == {"image_id"}
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_row_groups_are_sized_by_bytes(monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 64 * 4 * 3)
    metadata = pq.ParquetFile(io.BytesIO(parquet_bytes(make_features(np.ones((8, 64), np.float32))))).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [3, 3, 2]


def test_vlad_counts_are_kept(tmp_path):
    schema = features_schema(6, num_words=2)
    table = pa.table(
        {"image_id": ["a"], "path": ["a.tif"], "num_positions": [9], "vector": [[1.0] * 6], "counts": [[4, 5]]}, schema
    )
    write_table(open_storage(str(tmp_path)), PATH, table)
    assert read_table(open_storage(str(tmp_path)), PATH, schema).equals(table)


def test_plain_duckdb_pandas_and_polars_read_a_file_and_a_folder(tmp_path):
    storage = open_storage(str(tmp_path))
    write_table(storage, PATH, make_features(ROWS))
    write_table(storage, PATH.replace("a.parquet", "b.parquet"), make_features(ROWS[:0]))
    file = tmp_path / PATH
    found = duckdb.sql(
        f"select image_id, vector, encoder from read_parquet('{tmp_path}/features/**/*.parquet') order by image_id"
    ).fetchall()
    assert np.array_equal(np.array([row[1] for row in found], np.float32), ROWS)
    assert {row[2] for row in found} == {"mean"}
    assert np.array_equal(np.stack(pd.read_parquet(file.parent)["vector"].to_list()), ROWS)
    assert np.array_equal(pl.read_parquet(file.parent / "*.parquet")["vector"].to_numpy(), ROWS)
    assert pl.read_parquet(file).schema["vector"] == pl.Array(pl.Float32, 7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_a_bug_and_is_not_written(tmp_path, value):
    rows = ROWS.copy()
    rows[3, 2] = value
    with pytest.raises(EncodingError, match="NaN or infinity"):
        write_table(open_storage(str(tmp_path)), PATH, make_features(rows))
    assert list(tmp_path.iterdir()) == []


def test_every_column_of_vectors_is_looked_at(tmp_path):
    lists = list_array(np.array([[1, np.nan]], np.float32))
    schema = fold_vectors_schema(2, ["da", "db"])
    good = list_array(np.ones((1, 2), np.float32))
    names = [pa.array(["a"]), pa.array(["a.tif"]), pa.array([1], pa.int32())]
    table = pa.Table.from_arrays([*names, good, lists], schema=schema)
    with pytest.raises(EncodingError, match="NaN or infinity in column db"):
        write_table(open_storage(str(tmp_path)), "folds/x.parquet", table)


def test_an_image_twice_and_a_null_are_bugs_and_are_not_written(tmp_path):
    with pytest.raises(EncodingError, match="twice"):
        write_table(open_storage(str(tmp_path)), PATH, make_features(ROWS[:2], ids=["a", "a"]))
    rejected = pa.table([["a"], ["p"], ["decode"], ["E"], pa.array([None], pa.string())], schema=REJECTED)
    with pytest.raises(EncodingError, match="null in column message"):
        write_table(open_storage(str(tmp_path)), PATH, rejected)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_table_keeps_its_schema(tmp_path):
    storage = open_storage(str(tmp_path))
    assert write_table(storage, PATH, MICROGRAPHS.empty_table()).rows == 0
    assert read_table(storage, PATH, MICROGRAPHS).num_rows == 0


def test_what_is_no_parquet_or_another_table_is_never_adopted(tmp_path):
    storage = open_storage(str(tmp_path))
    storage.create("torn.parquet", parquet_bytes(make_features(ROWS))[:-10])
    storage.create("other.parquet", parquet_bytes(REJECTED.empty_table()))
    storage.create("wider.parquet", parquet_bytes(make_features(np.ones((1, 8), np.float32))))
    table = make_features(ROWS)
    newer = table.replace_schema_metadata({"table": "features", "version": "2"})
    storage.create("newer.parquet", parquet_bytes(newer))
    for path, reason in (
        ("torn.parquet", "its checksum does not hold"),
        ("other.parquet", "rejected table"),
        ("wider.parquet", "vector"),
        ("newer.parquet", "upgrade"),
    ):
        with pytest.raises(SchemaMismatchError, match=reason) as caught:
            read_table(storage, path, table.schema)
        assert "\n" not in str(caught.value)
        with pytest.raises(SchemaMismatchError, match=reason):
            write_table(storage, path, table)


def test_image_ids_of_a_table_without_them_is_a_schema_mismatch(tmp_path):
    storage = open_storage(str(tmp_path))
    storage.create("a.parquet", parquet_bytes(pa.table({"x": [1]})))
    with pytest.raises(SchemaMismatchError, match="image_id"):
        read_image_ids(storage, "a.parquet")


def test_a_missing_table_is_said_to_be_missing(tmp_path):
    with pytest.raises(ObjectNotFoundError):
        read_table(open_storage(str(tmp_path)), PATH, REJECTED)
