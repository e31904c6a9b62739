import pytest

from tests.store.attempts import (
    DATASET,
    PAIRS,
    SPEC,
    EventfulStorage,
    KilledError,
    die,
    execute,
    make_snapshot,
    rows_under,
)
from texture_store.errors import SchemaMismatchError
from texture_store.objects import Storage, open_storage
from texture_store.store.commits import read_commits
from texture_store.store.recovery import recover
from texture_store.store.work import plan_work

AB = make_snapshot(1, {"a": "s1", "b": "s1"})
FOLDER = f"micrographs/dataset={DATASET}/spec={SPEC}"


def ok(image_id: str) -> str:
    return "ok"


def interrupt(url: str, point: str, outcome=ok) -> None:
    (unit,) = plan_work(AB, [], PAIRS)
    with pytest.raises(KilledError):
        execute(EventfulStorage(url, point, die), unit, outcome)


def check_recovery(url: str) -> None:
    storage = open_storage(url)
    interrupt(url, "encoder=max")
    # Both leave the archive, and one comes back, in another shard.
    back = make_snapshot(3, {"a": "s2"})
    commits = recover(storage, DATASET, SPEC, read_commits(storage, DATASET, SPEC), snapshot=3)
    assert commits == read_commits(storage, DATASET, SPEC)
    (unit,) = plan_work(back, commits, PAIRS)
    assert (unit.shard, unit.image_ids, unit.writes_facts) == ("s1", ["a"], False)
    execute(storage, unit, ok)
    assert plan_work(back, read_commits(storage, DATASET, SPEC), PAIRS) == []


def test_an_image_that_came_back_is_worked_on_where_an_interrupted_attempt_left_it(tmp_path):
    check_recovery(str(tmp_path))
    rows = rows_under(tmp_path)
    assert rows[f"{FOLDER}/s1.parquet"] == ["a", "b"]
    assert not any("s2" in path for path in rows)


@pytest.mark.s3
def test_interrupted_attempts_are_recovered_on_s3(s3_url):
    check_recovery(s3_url)


def test_rejections_of_an_interrupted_attempt_are_kept(tmp_path):
    storage = open_storage(str(tmp_path))
    interrupt(storage.url, "encoder=", lambda image_id: "rejected" if image_id == "b" else "ok")
    (record,) = recover(storage, DATASET, SPEC, [], snapshot=1)
    assert (record.pairs, record.members, record.facts_only, record.rejected) == ((), (), ("a",), ("b",))
    (unit,) = plan_work(AB, [record], PAIRS)
    assert unit.image_ids == ["a"]


def test_images_of_which_an_interrupted_attempt_left_nothing_move_on(tmp_path):
    storage = open_storage(str(tmp_path))
    interrupt(storage.url, "encoder=", lambda image_id: "gone" if image_id == "b" else "ok")
    units = plan_work(AB, recover(storage, DATASET, SPEC, [], snapshot=1), PAIRS)
    assert {unit.shard: unit.image_ids for unit in units} == {"s1": ["a"], "s1-back1": ["b"]}


def test_nothing_is_written_where_all_is_committed(tmp_path):
    storage = open_storage(str(tmp_path))
    assert recover(storage, DATASET, SPEC, [], snapshot=1) == []
    execute(storage, plan_work(AB, [], PAIRS)[0], ok)
    commits = read_commits(storage, DATASET, SPEC)
    before = rows_under(tmp_path)
    assert recover(storage, DATASET, SPEC, commits, snapshot=1) == commits
    assert rows_under(tmp_path) == before
    assert read_commits(storage, DATASET, SPEC) == commits


def test_foreign_files_are_left_alone_and_broken_ones_named(tmp_path):
    storage: Storage = open_storage(str(tmp_path))
    storage.create(f"{FOLDER}/README.txt", b"x")
    storage.create(f"{FOLDER}/Not A Shard.parquet", b"x")
    assert recover(storage, DATASET, SPEC, [], snapshot=1) == []
    storage.create(f"{FOLDER}/s1.parquet", b"x")
    with pytest.raises(SchemaMismatchError, match=r"s1\.parquet"):
        recover(storage, DATASET, SPEC, [], snapshot=1)
