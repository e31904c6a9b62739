import threading

import pyarrow as pa
import pytest

from schemas import snapshot_schema
from texture_store.errors import (
    CommitConflictError,
    DatasetNotFoundError,
    EncodingError,
    InvalidNameError,
    SchemaMismatchError,
    SnapshotNotFoundError,
    UsageError,
)
from texture_store.objects import Storage, open_storage
from texture_store.store.snapshots import (
    latest_snapshot,
    list_datasets,
    list_snapshots,
    read_snapshot,
    write_snapshot,
)


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(str(tmp_path))


def make_table(names: list[str], **meta: list[str | None]) -> pa.Table:
    schema = snapshot_schema(list(meta))
    rows = [
        {
            "image_id": f"{index:032x}",
            "path": name,
            "uri": f"/archive/{name}",
            "size": 10,
            "etag": None,
            "mtime": "1",
            "object_version": "10-1",
            "shard": "ab12",
            "label": "01",
            **{f"meta_{key}": values[index] for key, values in meta.items()},
        }
        for index, name in enumerate(names)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def write(storage: Storage, dataset: str, table: pa.Table, previous: int | None = None):
    return write_snapshot(
        storage, dataset, table, previous=previous, archive_url="/archive", labels_source="/labels.csv"
    )


def check_round_trip(storage: Storage) -> None:
    table = make_table(["a.tif", "b.tif"], heat=["900", None])
    written = write(storage, "steel", table)
    assert written.number == 1
    found = latest_snapshot(storage, "steel")
    assert (found.dataset, found.number, found.archive_url) == ("steel", 1, "/archive")
    assert (found.labels_source, found.created) == ("/labels.csv", written.created)
    assert found.table.equals(table)
    assert found.meta_columns == ["heat"]
    assert found.table["label"].to_pylist() == ["01", "01"]
    assert len(found) == 2


def test_a_snapshot_comes_back_with_its_rows_and_where_they_come_from(storage):
    check_round_trip(storage)


@pytest.mark.s3
def test_a_snapshot_comes_back_from_s3(s3_url):
    check_round_trip(open_storage(s3_url))
    with pytest.raises(CommitConflictError):
        write(open_storage(s3_url), "steel", make_table(["c.tif"]))


def test_without_labels_their_source_is_none(storage):
    write_snapshot(storage, "steel", make_table(["a"]), previous=None, archive_url="/x", labels_source=None)
    assert latest_snapshot(storage, "steel").labels_source is None


def test_the_latest_is_the_highest_number_not_the_last_name(storage):
    previous = None
    for _ in range(11):
        previous = write(storage, "steel", make_table(["a.tif"]), previous).number
    assert latest_snapshot(storage, "steel").number == 11
    assert list_snapshots(storage, "steel") == list(range(1, 12))
    assert read_snapshot(storage, "steel", 2).number == 2


def test_of_racing_writers_of_one_number_exactly_one_wins(storage):
    outcomes = []

    def attempt(name: str) -> None:
        try:
            outcomes.append(write(storage, "steel", make_table([name])).table["path"].to_pylist())
        except CommitConflictError:
            outcomes.append(None)

    threads = [threading.Thread(target=attempt, args=(f"{i}.tif",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if outcome is not None]
    assert won == [latest_snapshot(storage, "steel").table["path"].to_pylist()]
    assert len(outcomes) == 6


def test_datasets_are_listed_and_foreign_files_among_them_ignored(storage):
    write(storage, "steel", make_table(["a"]))
    write(storage, "brass", make_table(["a"]))
    storage.create("index/dataset=steel/notes.txt", b"x")
    storage.create("index/readme", b"x")
    assert list_datasets(storage) == ["brass", "steel"]
    assert list_snapshots(storage, "steel") == [1]


def test_an_unknown_dataset_is_named_with_those_that_exist(storage):
    with pytest.raises(DatasetNotFoundError, match=r"none yet.*run index first"):
        latest_snapshot(storage, "steel")
    write(storage, "brass", make_table(["a"]))
    with pytest.raises(DatasetNotFoundError, match="no dataset steel; it has brass"):
        read_snapshot(storage, "steel", 1)


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_an_unknown_snapshot_is_named_with_those_that_exist(storage, number):
    write(storage, "steel", make_table(["a"]))
    with pytest.raises(SnapshotNotFoundError, match=f"no snapshot {number}; it has 1 to 1"):
        read_snapshot(storage, "steel", number)


def test_a_name_that_is_not_allowed_is_refused(storage):
    with pytest.raises(InvalidNameError):
        write(storage, "Steel!", make_table(["a"]))


def test_credentials_in_a_source_are_refused_and_not_repeated(storage):
    for urls in (("ftp://me:secret@host/a", None), ("/a", "https://me:secret@host/labels.csv")):
        with pytest.raises(UsageError) as caught:
            write_snapshot(
                storage, "steel", make_table(["a"]), previous=None, archive_url=urls[0], labels_source=urls[1]
            )
        assert "secret" not in str(caught.value)


def test_a_table_that_is_no_snapshot_is_neither_written_nor_read(storage):
    with pytest.raises(SchemaMismatchError):
        write(storage, "steel", pa.table({"path": ["a"]}))
    with pytest.raises(EncodingError, match="twice"):
        write(storage, "steel", pa.concat_tables([make_table(["a"]), make_table(["b"])]))
    storage.create("index/dataset=steel/snapshot-1.parquet", b"not parquet")
    with pytest.raises(SchemaMismatchError, match="not a readable Parquet file"):
        latest_snapshot(storage, "steel")
