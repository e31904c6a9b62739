import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import REJECTED
from texture_store.errors import SchemaMismatchError
from texture_store.objects import open_storage
from texture_store.store.commits import CommitRecord, parse_record, step_name
from texture_store.store.sealing import CHECKSUM_KEY, is_json_whole, is_parquet_whole, seal_json
from texture_store.store.tables import adopt_table, parquet_bytes, read_table

ROWS = [{"image_id": "a", "path": "a.tif", "stage": "decode", "error": "E", "message": "m"}]
TABLE = pa.Table.from_pylist(ROWS, REJECTED)
PARQUET = parquet_bytes(TABLE)
RECORD = CommitRecord(
    job="featurize",
    step=step_name("featurize", ()),
    dataset="steel",
    spec="s" + "0" * 20,
    shard="a",
    snapshot=1,
    pairs=(),
    members=(),
    files=(),
    created="2026-01-01T00:00:00.000+00:00",
)
PATH = f"commits/dataset=steel/spec={RECORD.spec}/{RECORD.step}/a.json"


def test_a_sealed_file_is_whole_and_is_read_as_ever():
    assert is_parquet_whole(PARQUET)
    assert parquet_bytes(TABLE) == PARQUET
    file = pq.ParquetFile(pa.BufferReader(PARQUET))
    assert file.read().equals(TABLE)
    assert file.schema_arrow.equals(REJECTED)
    assert is_json_whole(RECORD.to_json())
    assert next(iter(json.loads(RECORD.to_json()))) == "checksum"
    assert CommitRecord.model_validate_json(RECORD.to_json()) == RECORD


def test_files_of_older_releases_have_no_checksum_and_are_read(tmp_path):
    pq.write_table(TABLE, tmp_path / "old.parquet")
    data = (tmp_path / "old.parquet").read_bytes()
    assert is_parquet_whole(data) is None
    assert read_table(open_storage(str(tmp_path)), "old.parquet", REJECTED).equals(TABLE)
    old = json.dumps(RECORD.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
    assert is_json_whole(old) is None
    assert parse_record(old, "steel", RECORD.spec, PATH) == RECORD


def test_every_flip_of_every_byte_of_a_parquet_file_is_told():
    for place in range(len(PARQUET)):
        for mask in (0x01, 0x80, 0xFF):
            data = bytearray(PARQUET)
            data[place] ^= mask
            # Where not even the footer can be found, its checksum cannot be either; then it is no Parquet.
            if is_parquet_whole(bytes(data)) is not False:
                with pytest.raises(Exception):  # noqa: B017 of pyarrow, whichever
                    pq.ParquetFile(pa.BufferReader(bytes(data))).read()


@given(st.integers(0, len(RECORD.to_json()) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_record_is_never_taken_for_another_one(place: int, mask: int):
    data = bytearray(RECORD.to_json())
    data[place] ^= mask
    # A flip in the checksum's own key leaves a record without one: its content is the right one then.
    assert parse_record(bytes(data), "steel", RECORD.spec, PATH) in (None, RECORD)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), min_size=1, max_size=4))
def test_any_object_is_sealed_and_keeps_its_content(content):
    data = seal_json(json.dumps(content, separators=(",", ":")).encode())
    assert is_json_whole(data)
    assert {"checksum": json.loads(data)["checksum"], **content} == json.loads(data) or "checksum" in content


def test_what_is_damaged_is_neither_read_nor_adopted(tmp_path):
    storage = open_storage(str(tmp_path))
    place = PARQUET.index(CHECKSUM_KEY.encode()) - 40
    data = bytearray(PARQUET)
    data[10] ^= 1  # a value
    assert place > 10
    storage.create("a.parquet", bytes(data))
    for ask in (lambda: adopt_table(storage, "a.parquet", REJECTED), lambda: read_table(storage, "a.parquet")):
        with pytest.raises(SchemaMismatchError, match="verify --repair"):
            ask()
