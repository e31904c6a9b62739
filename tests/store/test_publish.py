from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.made_store import GRAM, MEAN, SPEC, MadeStore
from texture_store import open_store
from texture_store.errors import CommitConflictError, FeaturesNotFoundError
from texture_store.store.features import Features
from texture_store.store.publish import Publication, publish
from texture_store.store.reader import read_catalog

PATHS = [f"{i}.tif" for i in range(7)]
ROW = 64 * 4


def fill(made: MadeStore) -> MadeStore:
    made.index("steel", PATHS, labels={path: f"0{i % 2}" for i, path in enumerate(PATHS)}, meta={"etch": ["nital"] * 7})
    made.commit("steel", "s0", PATHS[:6:2], pairs=[MEAN, GRAM], num_positions=[5, 6, 7])
    made.commit("steel", "s1", PATHS[1:6:2], pairs=[MEAN, GRAM], rejected=PATHS[6:])
    return made


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return fill(MadeStore.at(tmp_path / "store"))


def run(made: MadeStore, pair=MEAN, **options) -> Publication:
    return publish(read_catalog(made.storage, "steel"), pair, **options)


def features(made: MadeStore, pair=MEAN) -> Features:
    return open_store(made.url).features("steel", encoder=pair[0], layer=pair[1])


def folder(made: MadeStore, pair=MEAN) -> Path:
    hive = f"dataset=steel/snapshot=n1/spec={SPEC.fingerprint}/encoder={pair[0]}/layer={pair[1]}"
    return Path(made.url) / "published" / hive


def contents(made: MadeStore) -> dict[str, bytes]:
    root = Path(made.url) / "published"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_what_is_published_equals_the_features(made: MadeStore) -> None:
    for pair in (MEAN, GRAM):
        done = run(made, pair)
        expected = features(made, pair).to_arrow()
        table = pq.read_table(folder(made, pair), partitioning=None)
        assert table.equals(expected)
        assert done.rows == 6
        assert [part.path.rpartition("/")[2] for part in done.parts] == ["part-00000.parquet"]


def test_parts_follow_the_order_of_the_features(made: MadeStore) -> None:
    done = run(made, part_bytes=4 * ROW)
    assert [part.rows for part in done.parts] == [4, 2]
    files = [pq.read_table(folder(made) / f"part-0000{i}.parquet", partitioning=None) for i in (0, 1)]
    assert [path for file in files for path in file["path"].to_pylist()] == PATHS[:6]


def test_pandas_polars_and_duckdb_read_it_without_our_code(made: MadeStore) -> None:
    for pair in (MEAN, GRAM):
        run(made, pair, part_bytes=8 * ROW)
    expected = features(made).to_numpy()
    frame = pd.read_parquet(folder(made))
    np.testing.assert_array_equal(np.stack(frame.vector), expected)
    assert list(frame.label) == ["00", "01"] * 3
    np.testing.assert_array_equal(pl.read_parquet(folder(made))["vector"].to_numpy(), expected)
    rows = duckdb.sql(
        f"select snapshot, spec, encoder, layer, label, count(*) from"
        f" read_parquet('{made.url}/published/**/*.parquet', hive_partitioning=true)"
        " where encoder = 'mean' group by all order by all"
    ).fetchall()
    assert rows == [("n1", SPEC.fingerprint, "mean", "conv1_2", label, 3) for label in ("00", "01")]


def test_publishing_again_changes_nothing(made: MadeStore) -> None:
    first = run(made, part_bytes=4 * ROW)
    before = contents(made)
    assert run(made, part_bytes=4 * ROW) == first
    assert contents(made) == before


@pytest.mark.parametrize("lost", [("json",), ("json", "part-00000"), ("json", "part-00001"), ("json", "part-")])
def test_a_torn_publish_is_completed_by_running_it_again(made: MadeStore, lost: tuple[str, ...]) -> None:
    first = run(made, part_bytes=4 * ROW)
    before = contents(made)
    for path in (Path(made.url) / "published").rglob("*"):
        if path.is_file() and any(word in path.name for word in lost):
            path.unlink()
    assert contents(made) != before
    assert run(made, part_bytes=4 * ROW) == first
    assert contents(made) == before


def test_a_torn_publish_with_other_parts_is_refused_and_says_what_to_delete(made: MadeStore) -> None:
    run(made, part_bytes=2 * ROW)
    marker = next((Path(made.url) / "published").rglob("*.json"))
    marker.unlink()
    with pytest.raises(CommitConflictError, match=r"other images; .*delete published/dataset=steel"):
        run(made, part_bytes=4 * ROW)
    for part in (0, 1):
        (folder(made) / f"part-0000{part}.parquet").unlink()
    with pytest.raises(CommitConflictError, match=r"part-00002\.parquet: from an earlier publish"):
        run(made, part_bytes=4 * ROW)
    assert not marker.exists()


def test_a_snapshot_that_got_more_features_since_is_not_published_over(made: MadeStore) -> None:
    run(made)
    before = contents(made)
    made.commit("steel", "r0", PATHS[6:], pairs=[MEAN, GRAM])
    with pytest.raises(CommitConflictError, match="published with 6 images and has other 7"):
        run(made)
    assert contents(made) == before


def test_a_new_snapshot_is_published_beside_the_old_one(made: MadeStore) -> None:
    run(made)
    made.index("steel", PATHS[:3])
    assert run(made).snapshot == 2
    assert len(list((Path(made.url) / "published").rglob("*.parquet"))) == 2


def test_pending_images_stop_it_unless_they_are_allowed(made: MadeStore) -> None:
    made.index("steel", [*PATHS, "8.tif"])
    with pytest.raises(FeaturesNotFoundError, match="1 images of snapshot 2 are pending"):
        run(made)
    assert run(made, allow_pending=True).rows == 6


def test_a_marker_that_does_not_parse_is_named(made: MadeStore) -> None:
    run(made)
    marker = next((Path(made.url) / "published").rglob("*.json"))
    marker.write_text("{}")
    with pytest.raises(CommitConflictError, match="damaged; run verify"):
        run(made)


def test_rows_are_told_as_they_come(made: MadeStore) -> None:
    seen: list[int] = []
    run(made, part_bytes=4 * ROW, on_rows=seen.append)
    run(made, part_bytes=4 * ROW, on_rows=seen.append)
    assert seen == [4, 2, 6]


@pytest.mark.s3
def test_publishing_on_s3_gives_the_same_rows(s3_url: str) -> None:
    made = fill(MadeStore.at(f"{s3_url}/store"))
    done = run(made, part_bytes=4 * ROW)
    assert run(made, part_bytes=4 * ROW) == done
    connection = open_store(made.url).duckdb()
    vectors = connection.sql(
        f"select vector from read_parquet('{made.url}/published/dataset=steel/**/*.parquet') order by path"
    ).fetchnumpy()["vector"]
    np.testing.assert_array_equal(np.stack(vectors), features(made).to_numpy())
