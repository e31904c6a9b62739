from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.made_store import DEEP_MEAN, GRAM, MEAN, OTHER_SPEC, RANDOM_SPEC, SPEC, MadeStore, image_id
from texture_store import open_store
from texture_store.store.committed_files import CommittedFiles

PATHS = [f"{i}.tif" for i in range(6)]
LABELS = dict(zip(PATHS, ["x", "x", "x", "y", "y", "y"], strict=True))

VIEWS = {
    "images",
    "features",
    "micrographs",
    "rejected",
    "evaluations",
    "feature_sets",
    "all_features",
    "all_micrographs",
    "all_rejected",
}


def fill(made: MadeStore) -> MadeStore:
    made.index("steel", PATHS, labels=LABELS, meta={"etch": ["nital"] * 6})
    made.commit("steel", "s0", PATHS[:3][::-1], pairs=[MEAN, GRAM], facts={"vendor": ["FEI"] * 3})
    made.commit("steel", "s1", PATHS[3:5], pairs=[MEAN, GRAM], facts={}, rejected=PATHS[5:])
    return made


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return fill(MadeStore.at(tmp_path / "store"))


def ask(made: MadeStore, sql: str) -> list[tuple]:
    return open_store(made.url).duckdb().sql(sql).fetchall()


def test_a_join_with_labels_counts_each_image_once(made: MadeStore) -> None:
    count = (
        "select label, count(*) from features join images using (dataset, image_id)"
        " where encoder = 'mean' and layer = 'conv1_2' group by label order by label"
    )
    assert ask(made, count) == [("x", 3), ("y", 2)]
    for spec in (OTHER_SPEC, RANDOM_SPEC):
        made.commit("steel", "s0", PATHS, spec=spec, pairs=[MEAN])
    assert ask(made, count) == [("x", 3), ("y", 3)]
    assert ask(made, "select distinct spec from features where encoder = 'mean'") == [(OTHER_SPEC.fingerprint,)]
    assert ask(made, "select distinct spec from features where encoder = 'gram'") == [(SPEC.fingerprint,)]
    everything = "select spec, encoder, count(*) from all_features group by all order by all"
    expected = [
        (SPEC.fingerprint, "gram", 5),
        (SPEC.fingerprint, "mean", 5),
        (OTHER_SPEC.fingerprint, "mean", 6),
        (RANDOM_SPEC.fingerprint, "mean", 6),
    ]
    assert ask(made, everything) == sorted(expected)


def test_vectors_are_lists_of_floats_with_the_values_of_the_reader(made: MadeStore) -> None:
    connection = open_store(made.url).duckdb()
    assert dict(connection.sql("select column_name, column_type from (describe features)").fetchall()) == {
        "dataset": "VARCHAR",
        "spec": "VARCHAR",
        "encoder": "VARCHAR",
        "layer": "VARCHAR",
        "image_id": "VARCHAR",
        "path": "VARCHAR",
        "num_positions": "INTEGER",
        "vector": "FLOAT[]",
        "counts": "INTEGER[]",
    }
    for pair in (MEAN, GRAM):
        rows = connection.execute(
            "select vector from features where encoder = ? and layer = ? order by path", list(pair)
        ).fetchnumpy()
        np.testing.assert_array_equal(np.stack(rows["vector"]), made.matrix("steel", PATHS[:5], pair))


def test_neighbours_are_found_in_sql(made: MadeStore) -> None:
    found = ask(
        made,
        "with mean as (select * from features where encoder = 'mean' and layer = 'conv1_2')"
        " select other.path, list_cosine_similarity(this.vector, other.vector) as likeness"
        " from mean this, mean other where this.path = '0.tif' order by likeness desc",
    )
    vectors = made.matrix("steel", PATHS[:5], MEAN).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = vectors @ vectors[0]
    assert [path for path, _ in found] == [PATHS[i] for i in np.argsort(-expected)]
    np.testing.assert_allclose([likeness for _, likeness in found], np.sort(expected)[::-1], rtol=1e-5)


def test_only_committed_rows_of_the_current_snapshot_are_seen(made: MadeStore) -> None:
    made.index("steel", [*PATHS[1:], "new.tif"])
    made.commit("steel", "s7", ["new.tif"], pairs=[MEAN, GRAM], only_files=True)
    for view in ("features", "all_features"):
        assert ask(made, f"select distinct path from {view} order by path") == [(path,) for path in PATHS[1:5]]
    assert ask(made, "select distinct snapshot, count(*) from images group by all") == [(2, 6)]
    assert ask(made, "select path from micrographs order by path") == [(path,) for path in PATHS[1:5]]
    assert ask(made, "select path, error from rejected") == [("5.tif", "UnreadableImageError")]
    made.index("steel", PATHS[:5])
    assert ask(made, "from rejected") == []


def test_rows_of_a_file_that_no_commit_lists_are_not_seen(made: MadeStore) -> None:
    """A retry featurized one of two rejected images: its rejected row is still in the file."""
    made.index("steel", [*PATHS, "7.tif", "8.tif"])
    made.commit("steel", "s4", [], rejected=["7.tif", "8.tif"], pairs=[MEAN, GRAM])
    made.commit("steel", "r1", ["8.tif"], pairs=[MEAN, GRAM])
    for view in ("rejected", "all_rejected"):
        assert ask(made, f"select path from {view} order by path") == [("5.tif",), ("7.tif",)]
    assert open_store(made.url).rejected("steel")["path"].to_pylist() == ["5.tif", "7.tif"]


def test_micrographs_have_the_facts_of_one_spec(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC, pairs=[DEEP_MEAN], facts={})
    assert ask(made, "select count(*), count(distinct image_id), any_value(spec) from micrographs") == [
        (5, 5, SPEC.fingerprint)
    ]
    assert ask(made, "select spec, count(*) from all_micrographs group by all order by all") == sorted(
        [(SPEC.fingerprint, 5), (OTHER_SPEC.fingerprint, 6)]
    )
    assert ask(made, "select vendor, notes from micrographs where path = '0.tif'") == [("FEI", [])]


def test_feature_sets_say_what_there_is_and_what_is_chosen(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS[:2], spec=OTHER_SPEC, pairs=[MEAN])
    rows = ask(
        made, "select spec, encoder, chosen, indexed, featurized, rejected, pending from feature_sets order by all"
    )
    expected = [
        (SPEC.fingerprint, "gram", True, 6, 5, 1, 0),
        (SPEC.fingerprint, "mean", True, 6, 5, 1, 0),
        (OTHER_SPEC.fingerprint, "mean", False, 6, 2, 0, 4),
    ]
    assert rows == sorted(expected)


def test_datasets_with_other_columns_of_labels_stand_side_by_side(made: MadeStore) -> None:
    made.index("alloy", ["a.tif"], labels={"a.tif": "01"}, meta={"heat": ["12"]})
    made.commit("alloy", "s0", ["a.tif"])
    rows = ask(
        made, "select dataset, label, meta_etch, meta_heat from images where path in ('0.tif', 'a.tif') order by 1"
    )
    assert rows == [("alloy", "01", None, "12"), ("steel", "x", "nital", None)]
    assert ask(made, "select dataset, count(*) from features where encoder = 'mean' group by all order by all") == [
        ("alloy", 1),
        ("steel", 5),
    ]


def test_vlad_comes_with_its_counts(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC, pairs=[("vlad", "conv1_2")], num_words=2)
    rows = ask(made, "select len(vector), counts, count(*) from features where encoder = 'vlad' group by all")
    assert rows == [(128, [0, 1], 6)]
    assert ask(made, "select distinct counts from features where encoder = 'mean'") == [(None,)]


@pytest.mark.parametrize("indexed", [False, True])
def test_a_store_without_features_has_the_views_with_their_columns(tmp_path: Path, indexed: bool) -> None:
    made = MadeStore.at(tmp_path)
    full = fill(MadeStore.at(tmp_path / "full"))
    if indexed:
        made.index("steel", PATHS, meta={"etch": ["nital"] * 6})
    empty, filled = open_store(made.url).duckdb(), open_store(full.url).duckdb()
    for view in VIEWS:
        columns = f"select column_name, column_type from (describe {view})"
        wanted = [row for row in filled.sql(columns).fetchall() if indexed or row[0] != "meta_etch"]
        assert empty.sql(columns).fetchall() == wanted, view
        count = empty.sql(f"select count(*) from {view}").fetchall()
        assert count == [(6 if indexed and view == "images" else 0,)], view


def test_the_views_are_these(made: MadeStore) -> None:
    names = {name for (name,) in ask(made, "select view_name from duckdb_views() where not internal")}
    assert names == VIEWS


def test_the_views_work_through_cursors(made: MadeStore) -> None:
    cursor = open_store(made.url).duckdb().cursor()
    assert cursor.sql("select count(*) from features").fetchall() == [(10,)]


def test_opening_and_counting_read_no_vectors(made: MadeStore) -> None:
    """Files whose bytes between the header and the footer are gone can still be counted."""
    for path in Path(made.url).glob("features/**/*.parquet"):
        data = path.read_bytes()
        footer = 8 + int.from_bytes(data[-8:-4], "little")
        path.write_bytes(data[:4] + bytes(len(data) - 4 - footer) + data[-footer:])
    connection = open_store(made.url).duckdb()
    assert connection.sql("select encoder, count(*) from features group by all order by all").fetchall() == [
        ("gram", 5),
        ("mean", 5),
    ]
    with pytest.raises(duckdb.Error):
        connection.sql("select sum(vector[1]) from features").fetchall()


@pytest.mark.parametrize("folder", ["it's", "a b", "w[e]ird", "st*r", "dataset=old/spec=s1", "100%", "ü"])
def test_a_store_may_lie_in_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    made = fill(MadeStore.at(tmp_path / folder))
    decoy = tmp_path / "star"
    decoy.mkdir()
    count = "select dataset, spec, count(*), sum(len(vector)) from features group by all"
    assert ask(made, count) == [("steel", SPEC.fingerprint, 10, 5 * 64 + 5 * 2080)]
    assert ask(made, "select count(*) from rejected join images using (dataset, image_id)") == [(1,)]


def test_the_filesystem_for_duckdb_knows_committed_files_only_and_writes_none(made: MadeStore) -> None:
    [path] = [info.path for info in made.storage.list("rejected")]
    size = made.storage.info(path).size
    files = CommittedFiles(made.storage, {})
    url = files.add(path, size)
    assert files.glob(url) == [path]
    assert files.open(url).read() == made.storage.read(path)
    assert files.glob("committed://store.json") == []
    with pytest.raises(FileNotFoundError):
        files.open("committed://store.json")
    with pytest.raises(PermissionError):
        files.open(url, "wb")


@pytest.mark.s3
def test_a_store_on_s3_answers_sql(s3_url: str) -> None:
    made = fill(MadeStore.at(f"{s3_url}/lab/store"))
    connection = open_store(made.url).duckdb()
    rows = connection.sql(
        "select label, count(*) from features join images using (dataset, image_id) where encoder = 'gram' group by all"
        " order by all"
    ).fetchall()
    assert rows == [("x", 3), ("y", 2)]
    vectors = connection.sql("select vector from features where encoder = 'gram' order by path").fetchnumpy()["vector"]
    np.testing.assert_array_equal(np.stack(vectors), made.matrix("steel", PATHS[:5], GRAM))
    glob = f"{made.url}/features/**/*.parquet"
    assert connection.sql(f"select count(*) from read_parquet('{glob}', hive_partitioning=true)").fetchall() == [(10,)]
    assert connection.sql(f"select path from images where image_id = '{image_id('0.tif')}'").fetchall() == [("0.tif",)]


READ_ONLY_REFUSES = [
    "copy (select 1) to '{out}'",
    "with x as (copy (select 1) to '{out}') select * from x",
    "explain analyze copy (select 1) to '{out}'",
    "copy (select 1) to '{store}/features/x.parquet'",
    "copy (select 1) to 'committed://features/x.parquet'",
    "copy (select 1) to 'committed://{committed}'",
    "attach '{out}' as other",
    "export database '{out}'",
    "from read_text('{store}/store.json')",
    "from '{store}/{committed}'",
    "from glob('{store}/*')",
    "install httpfs",
    "load httpfs",
    "set disabled_filesystems = ''",
    "set lock_configuration = false",
    "reset disabled_filesystems",
]


@pytest.mark.parametrize("sql", READ_ONLY_REFUSES)
def test_a_read_only_connection_reaches_nothing_but_the_views(made: MadeStore, tmp_path: Path, sql: str) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    [committed] = [info.path for info in made.storage.list("rejected")]
    connection = open_store(made.url).duckdb(read_only=True)
    with pytest.raises(duckdb.Error):
        connection.execute(sql.format(out=tmp_path / "out", store=made.url, committed=committed)).fetchall()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_read_only_connection_answers_the_same(made: MadeStore) -> None:
    free, locked = (open_store(made.url).duckdb(read_only=read_only) for read_only in (False, True))
    for view in sorted(VIEWS):
        sql = f"select * from {view} order by all"
        assert str(locked.sql(sql).fetchall()) == str(free.sql(sql).fetchall())
    frame = 1  # noqa: F841  a variable of the caller is no table
    with pytest.raises(duckdb.Error, match="frame"):
        locked.sql("from frame")
