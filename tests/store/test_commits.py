import json
import threading

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import CHECKPOINT
from texture_store.errors import InvalidNameError, StoreFormatError, TransientStoreError
from texture_store.objects import Storage, open_storage
from texture_store.spec import ENCODERS, LAYERS, FeatureSpec
from texture_store.store import commits, layout
from texture_store.store.commits import (
    RECORD_FORMAT,
    CommitRecord,
    Pair,
    fold_commits,
    list_specs,
    parse_record,
    read_commits,
    read_log,
    step_name,
    write_commit,
)
from texture_store.store.specs import write_spec
from texture_store.store.tables import FileRecord, parquet_bytes, read_table

DATASET = "steel"
SPEC = "s" + "0" * 20
MEAN: Pair = ("mean", "conv4_3")


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(str(tmp_path))


def make_record(shard: str = "ab", pairs: tuple[Pair, ...] = (MEAN,), **changes) -> CommitRecord:
    files = tuple(
        FileRecord(path=layout.features_path(DATASET, SPEC, *pair, shard), rows=2, bytes=10, sha256="a" * 64)
        for pair in pairs
    )
    values = {
        "job": "featurize",
        "step": step_name("featurize", pairs),
        "dataset": DATASET,
        "spec": SPEC,
        "shard": shard,
        "snapshot": 3,
        "pairs": pairs,
        "members": ("b", "a"),
        "rejected": ("c",),
        "files": files,
        "environment": {"processor": "x"},
        "seconds": {"extract": 0.1},
    }
    return CommitRecord(**(values | changes))


def path_of(record: CommitRecord, attempt: int = 0) -> str:
    return layout.commit_path(record.dataset, record.spec, record.step, record.shard, attempt)


def check_contract(storage: Storage) -> None:
    first, second = make_record("aa"), make_record("bb")
    assert read_commits(storage, DATASET, SPEC) == []
    assert write_commit(storage, first) == first
    write_commit(storage, second)
    assert write_commit(storage, make_record("aa", members=("z",))) == first
    assert read_commits(storage, DATASET, SPEC) == [first, second]
    path = fold_commits(storage, DATASET, SPEC, min_loose=1)
    assert path == layout.checkpoint_path(DATASET, SPEC, 1)
    third = write_commit(storage, make_record("cc"))
    assert read_commits(storage, DATASET, SPEC) == [first, second, third]


def test_the_first_record_of_a_name_wins_and_checkpoints_change_nothing(storage):
    check_contract(storage)


@pytest.mark.s3
def test_the_first_record_of_a_name_wins_on_s3(s3_url):
    check_contract(open_storage(f"{s3_url}/store"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ENCODERS), st.sampled_from(LAYERS)), max_size=8), st.randoms())
def test_a_step_is_named_by_its_set_of_pairs_in_any_order(pairs, random):
    shuffled = [*pairs, *pairs[:2]]
    random.shuffle(shuffled)
    assert step_name("featurize", shuffled) == step_name("featurize", pairs)
    assert (step_name("featurize", pairs) == step_name("featurize", [MEAN])) == (set(pairs) == {MEAN})
    assert step_name("encode", pairs) != step_name("featurize", pairs)


def test_a_steps_name_is_its_job_and_ten_hex_digits():
    name, _, digest = step_name("featurize", [MEAN]).rpartition("-")
    assert name == "featurize"
    assert len(digest) == 10
    with pytest.raises(InvalidNameError):
        step_name("../x", [])


def test_of_racing_writers_all_get_the_same_record(storage):
    outcomes = []
    threads = [
        threading.Thread(target=lambda i=i: outcomes.append(write_commit(storage, make_record(members=(str(i),)))))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert {record.members for record in outcomes} == {read_commits(storage, DATASET, SPEC)[0].members}


@pytest.mark.parametrize("broken", [b"", b'{"format": 1, "job"', b"null", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_record_that_does_not_parse_counts_as_absent_and_can_be_followed_by_another(storage, broken):
    record = make_record()
    storage.create(path_of(record), broken)
    assert read_commits(storage, DATASET, SPEC) == []
    assert write_commit(storage, record) == record
    assert read_commits(storage, DATASET, SPEC) == [record]
    assert storage.read(path_of(record)) == broken
    assert storage.exists(path_of(record, attempt=1))
    assert write_commit(storage, make_record(members=("z",))) == record


def test_of_several_records_of_a_name_the_first_that_parses_counts(storage):
    storage.create(path_of(make_record()), b"{")
    storage.create(path_of(make_record(), 1), b"{")
    for attempt in (10, 2):
        record = make_record(members=(str(attempt),))
        storage.create(path_of(record, attempt), record.to_json())
    assert [record.members for record in read_commits(storage, DATASET, SPEC)] == [("2",)]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../other/features/x.parquet",
        f"features/dataset={DATASET}/spec={SPEC}/../../../x.parquet",
        f"features/dataset=iron/spec={SPEC}/encoder=mean/layer=input/a.parquet",
        f"features/dataset={DATASET}/spec=s{'1' * 20}/encoder=mean/layer=input/a.parquet",
        f"s3://bucket/dataset={DATASET}/spec={SPEC}/a.parquet",
        "store.json",
    ],
)
def test_a_record_that_names_a_file_outside_its_dataset_and_spec_counts_as_absent(storage, path):
    content = json.loads(make_record().to_json())
    content["files"][0]["path"] = path
    storage.create(path_of(make_record()), json.dumps(content).encode())
    assert read_commits(storage, DATASET, SPEC) == []


def test_a_record_that_lies_under_another_name_counts_as_absent():
    record = make_record()
    assert parse_record(record.to_json(), DATASET, SPEC, path_of(record)) == record
    assert parse_record(record.to_json(), DATASET, SPEC, path_of(make_record("zz"))) is None
    assert parse_record(record.to_json(), "iron", SPEC, path_of(record)) is None


def test_a_record_of_a_newer_release_is_not_taken_for_a_broken_one(storage):
    content = json.loads(make_record().to_json()) | {"format": RECORD_FORMAT + 1}
    for text in (content, {"format": RECORD_FORMAT + 1, "new": "shape"}):
        with pytest.raises(StoreFormatError, match="upgrade"):
            parse_record(json.dumps(text), DATASET, SPEC, path_of(make_record()))
    storage.create(path_of(make_record()), json.dumps(content).encode())
    with pytest.raises(StoreFormatError, match="upgrade"):
        read_commits(storage, DATASET, SPEC)
    with pytest.raises(StoreFormatError, match="upgrade"):
        write_commit(storage, make_record())


def test_fields_that_a_later_release_may_add_are_ignored():
    content = json.loads(make_record().to_json()) | {"more": 1}
    found = parse_record(json.dumps(content), DATASET, SPEC, path_of(make_record()))
    assert found is not None
    assert found.members == ("b", "a")


def test_foreign_objects_among_the_commits_are_ignored(storage):
    record = write_commit(storage, make_record())
    for name in ("readme.txt", "checkpoint-x.parquet", "featurize-1/ab.json~", "featurize-1/deep/ab.json"):
        storage.create(f"{layout.commits_folder(DATASET, SPEC)}/{name}", b"x")
    assert read_commits(storage, DATASET, SPEC) == [record]


class CountingStorage(Storage):
    """Counts reads."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reads: list[str] = []

    def read(self, path: str, **options) -> bytes:
        self.reads.append(path)
        return super().read(path, **options)


def test_many_commits_are_read_from_one_checkpoint_and_the_few_beside_it(tmp_path):
    storage = CountingStorage(str(tmp_path))
    for number in range(40):
        write_commit(storage, make_record(f"{number:04}"))
    fold_commits(storage, DATASET, SPEC)
    for number in range(40, 43):
        write_commit(storage, make_record(f"{number:04}"))
    storage.reads.clear()
    records = read_commits(storage, DATASET, SPEC)
    assert [record.shard for record in records] == [f"{number:04}" for number in range(43)]
    assert len(storage.reads) == 1 + 3


def test_few_loose_records_are_not_folded_and_nothing_new_never_is(storage):
    write_commit(storage, make_record("aa"))
    assert fold_commits(storage, DATASET, SPEC) is None
    assert fold_commits(storage, DATASET, SPEC, min_loose=1) is not None
    assert fold_commits(storage, DATASET, SPEC, min_loose=0) is None
    write_commit(storage, make_record("bb"))
    assert fold_commits(storage, DATASET, SPEC, min_loose=1) == layout.checkpoint_path(DATASET, SPEC, 2)
    assert read_table(storage, layout.checkpoint_path(DATASET, SPEC, 2), CHECKPOINT).num_rows == 2


def test_a_broken_checkpoint_counts_as_absent(storage):
    records = [write_commit(storage, make_record(shard)) for shard in ("aa", "bb")]
    fold_commits(storage, DATASET, SPEC, min_loose=1)
    storage.create(layout.checkpoint_path(DATASET, SPEC, 2), b"torn")
    assert read_commits(storage, DATASET, SPEC) == records
    records.append(write_commit(storage, make_record("cc")))
    assert fold_commits(storage, DATASET, SPEC, min_loose=1) == layout.checkpoint_path(DATASET, SPEC, 3)
    assert read_commits(storage, DATASET, SPEC) == records


def test_what_is_wrong_in_a_checkpoint_is_read_from_beside_it(storage):
    good, other = write_commit(storage, make_record("aa")), write_commit(storage, make_record("bb"))
    evil = json.loads(other.to_json())
    evil["files"][0]["path"] = "../x"
    rows = {
        "step": [good.step, other.step, "../x"],
        "shard": ["aa", "bb", "cc"],
        "record": [good.to_json().decode(), json.dumps(evil), "{"],
    }
    table = pa.Table.from_pydict(rows, schema=CHECKPOINT)
    storage.create(layout.checkpoint_path(DATASET, SPEC, 1), parquet_bytes(table))
    assert read_commits(storage, DATASET, SPEC) == [good, other]


def test_records_that_were_read_before_are_folded_without_reading_again_and_later_ones_stay_beside(storage):
    storage = CountingStorage(storage.url)
    first = write_commit(storage, make_record("aa"))
    log = read_log(storage, DATASET, SPEC)
    assert (log.records, log.num_loose, log.checkpoint) == ([first], 1, 0)
    second = write_commit(storage, make_record("bb"))
    storage.reads.clear()
    path = fold_commits(storage, DATASET, SPEC, min_loose=1, log=log)
    assert storage.reads == []
    assert read_table(storage, path, CHECKPOINT)["shard"].to_pylist() == ["aa"]
    assert read_log(storage, DATASET, SPEC) == ([first, second], 1, 1)


def test_a_checkpoint_has_every_record_whatever_is_folded_at_once(storage, monkeypatch):
    monkeypatch.setattr(commits, "_FOLDED_AT_ONCE", 2)
    records = [write_commit(storage, make_record(shard)) for shard in ("aa", "bb", "cc", "dd", "ee")]
    path = fold_commits(storage, DATASET, SPEC, min_loose=1)
    assert read_table(storage, path, CHECKPOINT)["shard"].to_pylist() == ["aa", "bb", "cc", "dd", "ee"]
    assert read_log(storage, DATASET, SPEC) == (records, 0, 1)


def test_of_two_that_fold_at_once_nothing_is_lost(storage):
    class Racing(Storage):
        def create(self, path: str, data: bytes) -> None:
            write_commit(storage, make_record("bb"))
            assert fold_commits(storage, DATASET, SPEC, min_loose=1) is not None
            super().create(path, data)

    write_commit(storage, make_record("aa"))
    assert fold_commits(Racing(storage.url), DATASET, SPEC, min_loose=1) is None
    assert [record.shard for record in read_commits(storage, DATASET, SPEC)] == ["aa", "bb"]


def test_a_record_that_cannot_be_read_now_is_an_error_not_an_absent_one(tmp_path):
    class Failing(Storage):
        def read(self, path: str, **options) -> bytes:
            raise TransientStoreError(f"{path}: no answer")

    write_commit(open_storage(str(tmp_path)), make_record())
    with pytest.raises(TransientStoreError):
        read_commits(Failing(str(tmp_path)), DATASET, SPEC)


def test_specs_with_commits_of_the_dataset_are_listed(storage):
    specs = [FeatureSpec(weights="a" * 64, lineage="caffe", batch_size=size) for size in (1, 2)]
    for spec in specs:
        write_spec(storage, spec)
    storage.create("specs/readme.json", b"x")
    assert list_specs(storage, DATASET) == []
    write_commit(storage, make_record(spec=specs[0].fingerprint, files=()))
    write_commit(storage, make_record(spec=specs[1].fingerprint, dataset="iron", files=()))
    assert list_specs(storage, DATASET) == [specs[0].fingerprint]


def test_files_of_a_table_are_found_by_its_name():
    record = make_record(pairs=(MEAN, ("gram", "input")))
    assert record.files_of("features") == list(record.files)
    assert record.files_of("micrographs") == []
