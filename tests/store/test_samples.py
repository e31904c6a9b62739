"""Reading sampled descriptors: in the order that is asked for, whatever files they lie in."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import SAMPLES
from tests.made_store import SPEC, MadeStore, image_id
from texture_store.errors import EncodingError, FeaturesNotFoundError, SchemaMismatchError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, read_commits, step_name, write_commit
from texture_store.store.samples import read_sample, sampled_ids
from texture_store.store.tables import write_table

PAIR = ("sample", "conv1_2")


def descriptors(path: str, count: int) -> np.ndarray:
    return np.random.default_rng(list(path.encode())).normal(size=(count, 64)).astype(np.float32)


def samples_table(rows: dict[str, np.ndarray]) -> pa.Table:
    columns = {
        "image_id": [image_id(path) for path in rows],
        "path": list(rows),
        "num_positions": [1000] * len(rows),
        "num_descriptors": [len(values) for values in rows.values()],
        "descriptors": [values.reshape(-1) for values in rows.values()],
    }
    return pa.Table.from_pydict(columns, SAMPLES)


def commit(storage: Storage, shard: str, rows: dict[str, np.ndarray]) -> Path:
    path = layout.samples_path("steel", SPEC.fingerprint, "conv1_2", shard)
    file = write_table(storage, path, samples_table(rows))
    record = CommitRecord(
        job="sample", step=step_name("sample", [PAIR]), dataset="steel", spec=SPEC.fingerprint, shard=shard, snapshot=1,
        pairs=(PAIR,), members=tuple(image_id(path) for path in rows), files=(file,),
    )  # fmt: skip
    write_commit(storage, record)
    return Path(storage.full_path(path))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return MadeStore.at(tmp_path / "store").storage


def read(storage: Storage, paths: list[str]):
    commits = read_commits(storage, "steel", SPEC.fingerprint)
    ids = [image_id(path) for path in paths]
    return read_sample(storage, "steel", SPEC.fingerprint, commits, "conv1_2", ids)


def test_descriptors_come_in_the_order_that_is_asked_for(storage: Storage):
    of = {path: descriptors(path, count) for path, count in (("a", 256), ("b", 256), ("c", 7), ("d", 256))}
    commit(storage, "one", {"c": of["c"], "a": of["a"]})
    commit(storage, "two", {"b": of["b"], "d": of["d"]})
    found = read(storage, ["d", "missing", "c", "a"])
    assert found.image_ids == [image_id(path) for path in "dca"]
    np.testing.assert_array_equal(found.descriptors, np.concatenate([of["d"], of["c"], of["a"]]))
    np.testing.assert_array_equal(found.image_of, np.repeat([0, 1, 2], [256, 7, 256]))
    full = read(storage, ["b", "a"])
    np.testing.assert_array_equal(full.descriptors, np.concatenate([of["b"], of["a"]]))


def test_only_committed_descriptors_are_there(storage: Storage):
    commit(storage, "one", {"a": descriptors("a", 5)})
    write_table(
        storage,
        layout.samples_path("steel", SPEC.fingerprint, "conv1_2", "lost"),
        samples_table({"b": descriptors("b", 5)}),
    )
    assert sampled_ids(read_commits(storage, "steel", SPEC.fingerprint), ["conv1_2"]) == {image_id("a")}
    with pytest.raises(FeaturesNotFoundError, match=r"no descriptors of layer conv1_2 .*run fit-dictionary"):
        read(storage, ["b"])


def test_a_sample_of_another_version_is_refused(storage: Storage):
    path = commit(storage, "one", {"a": descriptors("a", 5)})
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"table": "samples", "version": "2"}), path)
    with pytest.raises(SchemaMismatchError, match="samples table, version 2; wanted samples, version 1"):
        read(storage, ["a"])


def test_a_sample_with_another_number_of_values_is_refused(storage: Storage):
    path = commit(storage, "one", {"a": descriptors("a", 5)})
    table = pq.read_table(path)
    column = table.schema.get_field_index("num_descriptors")
    changed = table.set_column(column, table.schema.field(column), pa.array([4], pa.int32()))
    pq.write_table(changed, path)
    with pytest.raises(SchemaMismatchError, match="320 values are not 4 descriptors of 64"):
        read(storage, ["a"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_descriptors_that_are_not_finite_are_never_written(storage: Storage, value: float):
    rows = {"a": np.full((2, 64), value, np.float32)}
    with pytest.raises(EncodingError, match="NaN or infinity in column descriptors"):
        commit(storage, "one", rows)
