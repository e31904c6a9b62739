import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import MICROGRAPHS
from tests.store.attempts import (
    DATASET,
    PAIRS,
    SPEC,
    EventfulStorage,
    KilledError,
    die,
    execute,
    fact_row,
    features_of,
    make_snapshot,
    ok,
    outcomes,
    rejected_of,
    rows_under,
    true_vector,
)
from texture_store.errors import EncodingError, StorageFullError
from texture_store.objects import Storage, open_storage
from texture_store.store.commits import read_commits, step_name
from texture_store.store.committing import commit_shard
from texture_store.store.tables import read_table
from texture_store.store.work import Unit, plan_work

ABC = make_snapshot(1, {"a": "s1", "b": "s1", "c": "s1"})
MEAN, DEEP_MEAN, MAX = PAIRS


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(str(tmp_path))


def planned(storage: Storage, pairs=PAIRS) -> list[Unit]:
    return plan_work(ABC, read_commits(storage, DATASET, SPEC), pairs)


def test_a_commit_lists_its_images_and_all_their_files(storage):
    (unit,) = planned(storage)
    record = execute(storage, unit, outcomes(b="rejected", c="gone"))
    assert record == read_commits(storage, DATASET, SPEC)[0]
    assert (record.members, record.rejected, record.facts_only) == (("a",), ("b",), ())
    assert (record.job, record.step, record.shard) == ("featurize", step_name("featurize", PAIRS), "s1")
    assert {file.path: file.rows for file in record.files} == {
        path: len(ids) for path, ids in rows_under(storage.url).items()
    }
    assert len(record.files) == 2 + len(PAIRS)
    assert record.seconds["write"] > 0


def test_the_vectors_of_a_store_are_those_of_its_images(storage):
    execute(storage, planned(storage)[0], ok)
    for pair in PAIRS:
        path = f"features/dataset={DATASET}/spec={SPEC}/encoder={pair[0]}/layer={pair[1]}/s1.parquet"
        table = read_table(storage, path)
        found = dict(zip(table["image_id"].to_pylist(), table["vector"].to_pylist(), strict=True))
        assert found == {image_id: true_vector(image_id, pair) for image_id in "abc"}


@pytest.mark.s3
def test_units_are_written_and_adopted_on_s3(s3_url):
    storage = open_storage(s3_url)
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(s3_url, "commits/", die), unit, ok)
    record = execute(storage, unit, ok)
    assert record.members == ("a", "b", "c")
    assert sorted(file.path for file in record.files) == sorted(
        info.path for info in storage.list() if info.path.endswith(".parquet")
    )
    assert planned(storage) == []


@pytest.mark.parametrize("point", ["micrographs/", "layer=conv1_2", "encoder=max", "commits/"])
def test_an_attempt_that_died_anywhere_is_finished_by_the_next_one(storage, point):
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, point, die), unit, ok)
    assert read_commits(storage, DATASET, SPEC) == []
    left = set(rows_under(storage.url))
    record = execute(storage, unit, ok)
    assert record.members == ("a", "b", "c")
    assert {file.path for file in record.files if file.adopted} == left
    assert planned(storage) == []


def test_a_unit_that_is_executed_twice_is_committed_once(storage):
    (unit,) = planned(storage)
    assert execute(storage, unit, ok) == execute(storage, unit, outcomes(a="rejected"))
    assert len(read_commits(storage, DATASET, SPEC)) == 1


def test_adopted_facts_decide_which_images_the_shard_holds(storage):
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "rejected/", die), unit, outcomes(a="gone"))
    record = execute(storage, unit, outcomes(b="gone"))
    assert (record.members, record.facts_only) == (("c",), ("b",))
    rows = rows_under(storage.url)
    assert [ids for path, ids in rows.items() if path.startswith("features/")] == [["c"]] * 3
    late, back = sorted(planned(storage), key=lambda unit: unit.shard, reverse=True)
    assert (late.shard, late.image_ids, late.writes_facts) == ("s1-late1", ["b"], False)
    assert (back.shard, back.image_ids, back.writes_facts) == ("s1-back1", ["a"], True)


def test_files_of_attempts_with_different_images_get_a_commit_each(storage):
    execute(storage, planned(storage, [MEAN])[0], ok)
    unit = planned(storage)[0]
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "encoder=max", die), unit, outcomes(a="gone"))
    record = execute(storage, unit, outcomes(b="gone"))
    later = {
        record.pairs: record.members for record in read_commits(storage, DATASET, SPEC) if MEAN not in record.pairs
    }
    assert later == {(DEEP_MEAN,): ("b", "c"), (MAX,): ("a", "c")}
    assert record.members in later.values()
    assert {(unit.pairs, unit.shard): unit.image_ids for unit in planned(storage)} == {
        ((DEEP_MEAN,), "s1-late1"): ["a"],
        ((MAX,), "s1-late1"): ["b"],
    }


def test_a_shard_of_which_all_is_rejected_has_no_feature_files(storage):
    record = execute(storage, planned(storage)[0], lambda image_id: "rejected")
    assert (record.members, record.rejected) == ((), ("a", "b", "c"))
    assert {path.partition("/")[0] for path in rows_under(storage.url)} == {"micrographs", "rejected"}
    assert planned(storage) == []


def test_an_image_left_undecided_cannot_be_rejected_there_by_a_slow_attempt(storage):
    (unit,) = planned(storage)
    execute(storage, unit, outcomes(a="gone"))
    (again,) = planned(storage)
    execute(storage, again, outcomes(a="rejected"))
    execute(storage, unit, outcomes(a="rejected"))
    rejected = {path: ids for path, ids in rows_under(storage.url).items() if path.startswith("rejected/")}
    assert sorted(rejected.values()) == [[], ["a"]]


def test_rows_rejected_by_an_attempt_that_died_count_when_it_is_adopted(storage):
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "encoder=", die), unit, outcomes(a="rejected"))
    record = execute(storage, unit, outcomes(a="gone"))
    assert (record.members, record.rejected) == (("b", "c"), ("a",))


def test_rows_rejected_by_an_attempt_that_died_count_although_their_image_has_left_the_archive(storage):
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "encoder=", die), unit, outcomes(a="rejected"))
    without_a = make_snapshot(2, {"b": "s1", "c": "s1"})
    (unit,) = plan_work(without_a, [], PAIRS)
    record = execute(storage, unit, ok)
    assert (record.members, record.rejected) == (("b", "c"), ("a",))
    assert plan_work(make_snapshot(3, {"a": "s2", "b": "s1", "c": "s1"}), [record], PAIRS) == []


def test_an_image_whose_facts_an_attempt_left_is_not_rejected_by_the_one_that_adopts_them(storage):
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "rejected/", die), unit, outcomes(c="gone"))
    record = execute(storage, unit, outcomes(a="rejected"))
    assert (record.members, record.facts_only, record.rejected) == (("b",), ("a",), ())
    assert {unit.shard: unit.image_ids for unit in planned(storage)} == {"s1-late1": ["a"], "s1-back1": ["c"]}


def test_features_that_an_attempt_left_are_adopted_by_one_that_has_none_of_their_images(storage):
    (unit,) = planned(storage)
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "commits/", die), unit, outcomes(b="gone", c="gone"))
    record = execute(storage, unit, outcomes(a="gone", c="gone"))
    assert record.members == ("a",)
    assert {unit.shard: unit.image_ids for unit in planned(storage)} == {"s1-back1": ["b", "c"]}


def test_a_late_rejection_that_finds_its_file_taken_gets_the_next_one(storage):
    execute(storage, planned(storage, [MEAN])[0], ok)
    (late,) = planned(storage, [MAX])
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "commits/", die), late, outcomes(b="rejected"))
    (deep,) = planned(storage, [DEEP_MEAN])
    execute(storage, deep, outcomes(c="rejected"))
    (again,) = planned(storage, [DEEP_MEAN])
    assert again.image_ids == ["c"]
    execute(storage, again, outcomes(c="rejected"))
    assert planned(storage, [DEEP_MEAN]) == []
    folder = f"rejected/dataset={DATASET}/spec={SPEC}"
    rows = {path: ids for path, ids in rows_under(storage.url).items() if path.startswith("rejected/")}
    assert rows == {f"{folder}/s1-late1.parquet": ["b"], f"{folder}/s1-late2.parquet": ["c"]}


def test_an_image_whose_features_are_adopted_gets_no_row_as_rejected(storage):
    execute(storage, planned(storage, [MEAN])[0], ok)
    (late,) = planned(storage, [MAX])
    with pytest.raises(KilledError):
        execute(EventfulStorage(storage.url, "commits/", die), late, ok)
    record = execute(storage, late, outcomes(b="rejected"))
    assert "b" in record.members
    assert record.rejected == ()
    execute(storage, planned(storage, [DEEP_MEAN])[0], outcomes(b="rejected"))
    rejected = [ids for path, ids in rows_under(storage.url).items() if path.startswith("rejected/")]
    assert [image_id for ids in rejected for image_id in ids] == ["b"]


def call(storage: Storage, unit: Unit, **changes) -> None:
    done = unit.image_ids
    arguments = {
        "features": {pair: features_of(done, pair) for pair in unit.pairs},
        "micrographs": pa.Table.from_pylist([fact_row(i) for i in done], schema=MICROGRAPHS),
        "rejected": rejected_of([]),
    }
    commit_shard(
        storage,
        unit=unit,
        job="featurize",
        dataset=DATASET,
        spec=SPEC,
        environment={},
        seconds={},
        snapshot=1,
        **(arguments | changes),
    )


def test_tables_that_do_not_fit_the_unit_or_each_other_are_refused_before_anything_is_written(storage):
    (unit,) = planned(storage)
    good = {pair: features_of(["a", "b", "c"], pair) for pair in PAIRS}
    bad = good[MAX].to_pylist()
    bad[1]["vector"] = [1.0, np.inf, 1.0]
    for changes, reason in (
        ({"features": {MEAN: good[MEAN]}}, "other pairs"),
        ({"features": good | {MAX: features_of(["a", "b"], MAX)}}, "other images"),
        ({"features": good | {MAX: pa.Table.from_pylist(bad, schema=good[MAX].schema)}}, "NaN or infinity"),
        ({"rejected": rejected_of(["a"])}, "both"),
        ({"rejected": rejected_of(["x"])}, "does not have"),
        ({"rejected": rejected_of(["a", "a"])}, "twice"),
    ):
        with pytest.raises(EncodingError, match=reason):
            call(storage, unit, **changes)
    assert rows_under(storage.url) == {}
    call(storage, unit)
    assert planned(storage) == []


def test_a_full_disk_fails_the_unit_which_stays_pending(storage):
    def full() -> None:
        raise StorageFullError("/store: no space left; free some and run again")

    (unit,) = planned(storage)
    with pytest.raises(StorageFullError):
        execute(EventfulStorage(storage.url, "encoder=max", full), unit, ok)
    assert len(planned(storage)) == 1
    execute(storage, planned(storage)[0], ok)
    assert planned(storage) == []


def test_a_late_file_holds_no_more_than_what_is_late(storage, tmp_path):
    execute(storage, planned(storage, [MEAN])[0], outcomes(b="gone"))
    for unit in planned(storage, [MEAN, MAX]):
        execute(storage, unit, ok)
    folder = tmp_path / f"features/dataset={DATASET}/spec={SPEC}/encoder=max/layer=input"
    assert {file.stem: pq.ParquetFile(file).metadata.num_rows for file in folder.iterdir()} == {"s1": 2, "s1-back1": 1}
