import pickle
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from schemas import SNAPSHOT, snapshot_schema
from tests.store.attempts import DATASET, PAIRS, SPEC, execute, make_snapshot, ok, outcomes, rows_under
from texture_store.objects import Storage, open_storage
from texture_store.store.commits import read_commits
from texture_store.store.snapshots import Snapshot
from texture_store.store.work import plan_work

MEAN, DEEP_MEAN, MAX = PAIRS


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(str(tmp_path))


def plan(storage: Storage, snapshot: Snapshot, pairs=PAIRS, *, retry: bool = False):
    return plan_work(snapshot, read_commits(storage, DATASET, SPEC), pairs, retry_rejected=retry)


def shape(units) -> dict[tuple[str, tuple], list[str]]:
    return {(unit.shard, unit.pairs): unit.image_ids for unit in units}


ABC = make_snapshot(1, {"a": "s1", "b": "s1", "c": "s2"})


def test_a_new_snapshot_is_one_unit_per_shard_with_all_pairs(storage):
    units = plan(storage, ABC)
    assert shape(units) == {("s1", PAIRS): ["a", "b"], ("s2", PAIRS): ["c"]}
    assert all(unit.writes_facts and unit.writes_rejections for unit in units)
    assert units[0].rows.schema.equals(SNAPSHOT, check_metadata=True)


def test_pairs_asked_for_twice_are_worked_on_once(storage):
    assert plan(storage, ABC, [MEAN, MAX, MEAN])[0].pairs == (MEAN, MAX)


def test_an_empty_snapshot_has_no_work(storage):
    assert plan(storage, make_snapshot(1, {})) == []


def test_what_is_committed_is_not_planned_again(storage):
    first, second = plan(storage, ABC)
    execute(storage, first, ok)
    assert shape(plan(storage, ABC)) == {("s2", PAIRS): ["c"]}
    execute(storage, second, ok)
    assert plan(storage, ABC) == []


def test_another_pair_later_is_the_only_one_computed_and_writes_no_facts(storage):
    for unit in plan(storage, ABC, [MEAN]):
        execute(storage, unit, ok)
    units = plan(storage, ABC, [MEAN, MAX])
    assert shape(units) == {("s1", (MAX,)): ["a", "b"], ("s2", (MAX,)): ["c"]}
    assert not any(unit.writes_facts for unit in units)


def test_new_images_are_planned_beside_old_ones_that_lack_a_pair(storage):
    for unit in plan(storage, ABC, [MEAN]):
        execute(storage, unit, ok)
    more = make_snapshot(2, {"a": "s1", "b": "s1", "c": "s2", "d": "s3"})
    assert shape(plan(storage, more, [MEAN, MAX])) == {
        ("s1", (MAX,)): ["a", "b"],
        ("s2", (MAX,)): ["c"],
        ("s3", (MEAN, MAX)): ["d"],
    }


def test_an_image_that_was_gone_goes_to_a_follower_of_its_shard(storage):
    execute(storage, plan(storage, ABC)[0], outcomes(b="gone"))
    units = plan(storage, ABC)
    assert shape(units)["s1-back1", PAIRS] == ["b"]
    assert units[0].writes_facts
    execute(storage, units[0], ok)
    assert shape(plan(storage, ABC)) == {("s2", PAIRS): ["c"]}


def test_a_shard_of_which_nothing_could_be_read_keeps_its_name(storage):
    assert execute(storage, plan(storage, ABC)[1], outcomes(c="gone")) is None
    assert shape(plan(storage, ABC))["s2", PAIRS] == ["c"]
    assert rows_under(storage.url) == {}


def test_a_pair_added_after_a_shard_was_covered_in_part_misses_nothing(storage):
    execute(storage, plan(storage, ABC, [MEAN])[0], outcomes(b="gone"))
    for unit in plan(storage, ABC, [MEAN, MAX]):
        execute(storage, unit, ok)
    assert plan(storage, ABC, [MEAN, MAX]) == []
    rows = rows_under(storage.url)
    for pair in ("encoder=mean/layer=input", "encoder=max/layer=input"):
        assert sorted(chain(*(ids for path, ids in rows.items() if pair in path))) == ["a", "b", "c"]


def test_a_pair_that_one_image_missed_is_late_for_that_image_only(storage):
    execute(storage, plan(storage, ABC, [MEAN])[0], ok)
    execute(storage, plan(storage, ABC, [MAX])[0], outcomes(b="gone"))
    units = plan(storage, ABC, PAIRS)[:2]
    assert shape(units) == {("s1", (DEEP_MEAN,)): ["a", "b"], ("s1-late1", (MAX,)): ["b"]}
    assert not any(unit.writes_facts for unit in units)
    for unit in units:
        execute(storage, unit, ok)
    assert shape(plan(storage, ABC)) == {("s2", PAIRS): ["c"]}


def test_after_a_late_pair_the_next_pair_is_computed_for_all_of_the_shard_at_once(storage):
    execute(storage, plan(storage, ABC, [MEAN])[0], ok)
    execute(storage, plan(storage, ABC, [MAX])[0], outcomes(b="gone"))
    execute(storage, plan(storage, ABC, [MAX])[0], ok)
    assert shape(plan(storage, ABC, [DEEP_MEAN]))["s1", (DEEP_MEAN,)] == ["a", "b"]


def test_an_image_that_came_back_in_another_shard_stays_at_home_and_is_not_computed_again(storage):
    for unit in plan(storage, ABC, [MEAN]):
        execute(storage, unit, ok)
    back = make_snapshot(3, {"a": "s9", "d": "s9", "b": "s1", "c": "s2"})
    assert shape(plan(storage, back, [MEAN, MAX])) == {
        ("s1", (MAX,)): ["a", "b"],
        ("s2", (MAX,)): ["c"],
        ("s9", (MEAN, MAX)): ["d"],
    }


def test_a_rejected_image_is_settled_for_pairs_that_are_asked_for_later(storage):
    for unit in plan(storage, ABC, [MEAN]):
        execute(storage, unit, outcomes(b="rejected"))
    assert shape(plan(storage, ABC, [MEAN, MAX])) == {("s1", (MAX,)): ["a"], ("s2", (MAX,)): ["c"]}


def test_rejected_images_are_tried_again_only_when_asked(storage):
    for unit in plan(storage, ABC):
        execute(storage, unit, outcomes(b="rejected"))
    assert plan(storage, ABC) == []
    (unit,) = plan(storage, ABC, retry=True)
    assert shape([unit]) == {("s1-retry1", PAIRS): ["b"]}
    assert unit.writes_facts
    assert not unit.writes_rejections


def test_a_retry_that_fails_again_writes_nothing_and_can_be_repeated(storage):
    for unit in plan(storage, ABC):
        execute(storage, unit, outcomes(b="rejected"))
    before = rows_under(storage.url)
    assert execute(storage, plan(storage, ABC, retry=True)[0], outcomes(b="rejected")) is None
    assert rows_under(storage.url) == before
    assert shape(plan(storage, ABC, retry=True)) == {("s1-retry1", PAIRS): ["b"]}


def test_a_retry_of_which_some_succeed_leaves_the_others_rejected(storage):
    for unit in plan(storage, ABC):
        execute(storage, unit, lambda image_id: "rejected")
    for unit in plan(storage, ABC, retry=True):
        execute(storage, unit, outcomes(b="rejected"))
    assert plan(storage, ABC) == []
    assert shape(plan(storage, ABC, retry=True)) == {("s1-retry2", PAIRS): ["b"]}
    rejected = [ids for path, ids in rows_under(storage.url).items() if path.startswith("rejected/")]
    assert sorted(chain(*rejected)) == ["a", "b", "c"]


def test_after_a_successful_retry_later_pairs_go_where_its_facts_are(storage):
    for unit in plan(storage, ABC, [MEAN]):
        execute(storage, unit, outcomes(b="rejected"))
    execute(storage, plan(storage, ABC, [MEAN], retry=True)[0], ok)
    assert shape(plan(storage, ABC, [MAX])) == {
        ("s1", (MAX,)): ["a"],
        ("s1-retry1", (MAX,)): ["b"],
        ("s2", (MAX,)): ["c"],
    }


def test_an_image_that_fails_at_a_later_pair_only_is_rejected_for_that_pair_with_one_row(storage):
    for unit in plan(storage, ABC, [MEAN]):
        execute(storage, unit, ok)
    for unit in plan(storage, ABC, [MAX]):
        execute(storage, unit, outcomes(b="rejected"))
    assert plan(storage, ABC, [MEAN, MAX]) == []
    for unit in plan(storage, ABC, [DEEP_MEAN]):
        execute(storage, unit, outcomes(b="rejected"))
    assert plan(storage, ABC) == []
    rejected = {path: ids for path, ids in rows_under(storage.url).items() if path.startswith("rejected/")}
    assert list(rejected.values()) == [["b"]]
    for unit in plan(storage, ABC, retry=True):
        execute(storage, unit, ok)
    assert plan(storage, ABC, retry=True) == []


def test_meta_columns_of_labels_do_not_travel_with_the_work():
    table = ABC.table.append_column("meta_heat", pa.array(["x"] * 3))
    table = table.cast(snapshot_schema(["heat"]))
    snapshot = Snapshot(DATASET, 1, table, "/archive", "", None)
    assert plan_work(snapshot, [], PAIRS)[0].rows.schema.names == SNAPSHOT.names


def large_snapshot(count: int) -> Snapshot:
    rng = np.random.default_rng(0)
    ids = [f"{value:032x}" for value in range(count)]
    shards = [f"{value // 64:024x}" for value in range(count)]
    order = rng.permutation(count)
    columns = {
        "image_id": pa.array(ids),
        "path": pa.array([f"folder/{i}.tif" for i in ids]),
        "uri": pa.array([f"s3://archive/folder/{i}.tif" for i in ids]),
        "offset": pa.nulls(count, pa.int64()),
        "size": pa.array(np.full(count, 1_000_000)),
        "etag": pa.array(ids),
        "mtime": pa.nulls(count, pa.string()),
        "object_version": pa.array(ids),
        "sidecar": pa.nulls(count, pa.string()),
        "shard": pa.array(shards),
        "label": pa.nulls(count, pa.string()),
        "specimen": pa.nulls(count, pa.string()),
    }
    table = pa.Table.from_pydict(columns, schema=snapshot_schema()).take(pa.array(order))
    return Snapshot(DATASET, 1, table, "s3://archive", "", None)


def test_shards_whose_images_are_scattered_over_the_snapshot_come_together():
    units = plan_work(large_snapshot(6400), [], PAIRS)
    assert len(units) == 100
    assert {unit.rows.num_rows for unit in units} == {64}
    assert all(set(unit.rows["shard"].to_pylist()) == {unit.shard} for unit in units)


def test_a_unit_pickles_with_its_own_rows_only():
    unit = plan_work(large_snapshot(20_000), [], PAIRS)[7]
    data = pickle.dumps(unit, protocol=5)
    back = pickle.loads(data)
    assert len(data) < 40_000
    assert back.rows.equals(unit.rows)
    assert back.rows.schema.equals(SNAPSHOT, check_metadata=True)
    assert (back.shard, back.pairs, back.writes_facts, back.rejections) == (unit.shard, unit.pairs, True, unit.shard)
    assert (back.rejected_before, back.retried) == (unit.rejected_before, unit.retried)


def test_the_head_of_a_unit_is_its_first_images():
    unit = plan_work(ABC, [], PAIRS)[0]
    assert unit.head(1).image_ids == ["a"]
    assert unit.head(10).image_ids == ["a", "b"]
