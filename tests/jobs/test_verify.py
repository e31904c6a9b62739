"""verify on a store that holds every kind of file: damage to any of them is found, what is set aside comes back."""

import dataclasses
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.verify import verify
from tests.whole_store import files, run, run_everything, spec_of
from texture_store.objects import open_storage
from texture_store.store.commits import CommitRecord
from texture_store.store.tables import parquet_bytes, read_table
from texture_store.verification.inventory import place_of
from texture_store.verification.whole import verify_store

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore:.*RANDOM")]

KINDS = {
    *("store", "weights", "spec", "snapshot", "micrographs", "rejected", "features", "samples", "folds", "dictionary"),
    *("checkpoint", "commit", "evaluation", "explanation", "texture", "report", "publication", "part"),
    *("begun", "sign", "ended"),
}
SEED = 20261125


@pytest.fixture(scope="module")
def copied(whole_store: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that tests damage, and mend again."""
    return Path(shutil.copytree(whole_store[0], tmp_path_factory.mktemp("copied") / "store"))


@pytest.fixture
def store(copied: Path) -> Iterator[Path]:
    """The copy, put back as it was at the end."""
    before = files(copied)
    yield copied
    after = files(copied)
    for path in after.keys() - before.keys():
        (copied / path).unlink()
    for path, data in before.items():
        if after.get(path) != data:
            (copied / path).write_bytes(data)


def damaged_paths(store: Path) -> set[str]:
    return {finding.path for finding in verify_store(open_storage(str(store))).findings}


def one_of_each_kind(store: Path) -> dict[str, str]:
    """A path of each kind; which one is drawn."""
    by_kind: dict[str, list[str]] = {}
    for path in sorted(files(store)):
        by_kind.setdefault(place_of(path).kind, []).append(path)
    return {kind: random.Random(SEED).choice(paths) for kind, paths in by_kind.items()}


def test_a_sound_store_has_no_finding_and_every_kind_of_file(store: Path):
    summary = verify(str(store), sample=3)
    assert summary.findings == []
    assert set(summary.kinds) == KINDS
    assert summary.files == len(files(store))
    assert summary.notes == []  # no orphan, and no file without a checksum
    assert summary.recomputed_images >= 6
    assert summary.vectors_bit_identical >= 12
    assert summary.vectors_within_tolerance == 0
    for balance in summary.balances:
        assert balance.indexed == 13 == balance.featurized + balance.rejected + balance.pending
    assert run("verify", str(store), "--sample", "0", dataset="").startswith("files")


@pytest.mark.parametrize("number", range(7))
def test_a_flipped_byte_is_found_in_every_file(store: Path, number: int):
    random_ = random.Random(SEED + number)
    for path, data in files(store).items():
        place = {0: 0, 1: len(data) - 1, 2: len(data) // 2}.get(number, random_.randrange(len(data)))
        flipped = bytearray(data)
        flipped[place] ^= random_.randrange(1, 256)
        (store / path).write_bytes(flipped)
    assert set(files(store)) - damaged_paths(store) == set()


def test_one_flipped_byte_alone_is_found_in_a_file_of_each_kind(store: Path):
    chosen = one_of_each_kind(store)
    assert set(chosen) == KINDS
    for kind, path in chosen.items():
        data = (store / path).read_bytes()
        place = random.Random(kind).randrange(len(data))
        (store / path).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        found = damaged_paths(store)
        # The record of a publication goes with its part.
        assert path in found, kind
        assert len(found) == (2 if kind == "part" else 1), kind
        (store / path).write_bytes(data)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_a_truncated_or_emptied_file_is_found_whichever_it_is(store: Path, keep: float):
    for path, data in files(store).items():
        (store / path).write_bytes(data[: int(len(data) * keep)])
    assert set(files(store)) - damaged_paths(store) == set()


def test_a_file_that_something_names_is_missed(store: Path):
    chosen = one_of_each_kind(store)
    base = spec_of(str(store))
    words = next(path for path in files(store) if path.startswith("dictionaries/") and f"spec={base}" in path)
    kinds = ("store", "weights", "micrographs", "rejected", "features", "samples", "folds", "part")
    gone = {words, *(chosen[kind] for kind in kinds)}
    commit = next(path for path in files(store) if "/fit-dictionary-" in path and "/d" in path)
    for path in gone:
        (store / path).unlink()
    assert gone <= damaged_paths(store)
    (store / commit).unlink()
    (store / "index/dataset=steel/snapshot-1.parquet").unlink()
    (store / f"specs/{base}.json").unlink()
    again = damaged_paths(store)
    assert {"index/dataset=steel/snapshot-1.parquet", f"specs/{base}.json"} <= again


def test_files_that_were_swapped_are_found(store: Path):
    by_kind: dict[str, list[str]] = {}
    for path in sorted(files(store)):
        by_kind.setdefault(place_of(path).kind, []).append(path)
    swapped = {}
    for kind, paths in by_kind.items():
        # Specs that see the same pixels have the same facts, byte by byte.
        other = [path for path in paths[1:] if (store / path).read_bytes() != (store / paths[0]).read_bytes()]
        if other:
            swapped[kind] = (paths[0], other[-1])
    assert len(swapped) >= 13
    for kind, (one, other) in swapped.items():
        first, second = (store / one).read_bytes(), (store / other).read_bytes()
        (store / one).write_bytes(second)
        (store / other).write_bytes(first)
        assert damaged_paths(store).intersection((one, other)), kind
        (store / one).write_bytes(first)
        (store / other).write_bytes(second)


def test_a_spec_of_folds_comes_back_with_the_next_strict_trial_alone(store: Path):
    (strict,) = {path.split("/")[2][5:] for path in files(store) if path.startswith("folds/")}
    (store / f"specs/{strict}.json").unlink()
    summary = verify(str(store), sample=0)
    assert summary.findings == []
    assert [note.about for note in summary.notes] == [f"specs/{strict}.json"]


def test_words_of_one_fold_in_place_of_anothers_are_found(store: Path):
    base = spec_of(str(store))
    one, other, *_ = (path for path in sorted(files(store)) if path.startswith("dictionaries/") and base not in path)
    first, second = (store / one).read_bytes(), (store / other).read_bytes()
    (store / one).write_bytes(second)
    (store / other).write_bytes(first)
    assert damaged_paths(store) == {one, other}


def test_what_is_set_aside_is_made_again_with_the_same_bits(store: Path, whole_store: tuple[Path, Path]):
    before = files(store)
    for path in one_of_each_kind(store).values():
        data = bytearray(before[path])
        data[len(data) // 2] ^= 0x40
        (store / path).write_bytes(data)
    summary = verify(str(store), sample=0, mend=True)
    assert set(one_of_each_kind(store).values()) & set(summary.set_aside)
    assert summary.set_aside_to is not None
    for path in summary.set_aside:
        assert (store / summary.set_aside_to / path).is_file()
    after = files(store)
    verify(str(store), sample=0, mend=True)
    assert files(store) == after  # repairing twice is harmless
    run_everything(str(store), whole_store[1])
    assert verify(str(store), sample=2).findings == []
    again = files(store)
    # What --strict encodes is made again by the next trial that needs it, and its scores are there.
    (strict,) = {path.split("/")[2] for path in before if path.startswith("folds/")}
    compared = [path for path in before if path.split("/")[0] in COMPUTED and path.split("/")[2:3] != [strict]]
    assert len(compared) > 30
    for path in compared:
        assert again[path] == before[path], path


COMPUTED = ("features", "micrographs", "samples", "folds", "dictionaries", "weights", "specs", "published")


def test_a_vector_that_is_not_the_images_is_found_by_making_it_anew(store: Path):
    base = spec_of(str(store))
    path = next(one for one in sorted(files(store)) if f"spec={base}/encoder=mean/layer=conv3_3/" in one)
    record_path = next(one for one in (store / f"commits/dataset=steel/spec={base}").glob(f"*/{Path(path).stem}.json"))
    records = [one for one in record_path.parent.parent.glob(f"*/{Path(path).stem}.json") if path in one.read_text()]
    table = read_table(open_storage(str(store)), path)
    values = np.concatenate([np.asarray(row) for row in table["vector"].to_pylist()]).astype(np.float32)
    values[5] = np.nextafter(values[5], np.float32(np.inf))  # the last bit
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), type=table.schema.field("vector").type)
    data = parquet_bytes(
        table.set_column(table.schema.get_field_index("vector"), table.schema.field("vector"), vectors)
    )
    (store / path).write_bytes(data)
    for one in records:
        record = CommitRecord.model_validate_json(one.read_bytes())
        sha256 = hashlib.sha256(data).hexdigest()
        own = [
            dataclasses.replace(file, bytes=len(data), sha256=sha256) if file.path == path else file
            for file in record.files
        ]
        one.write_bytes(record.model_copy(update={"files": tuple(own)}).to_json())
    for checkpoint in (store / f"commits/dataset=steel/spec={base}").glob("checkpoint-*"):
        checkpoint.unlink()
    assert verify(str(store), sample=0).findings == []
    [finding] = verify(str(store), sample=13).findings
    assert finding.path == path
    assert "other bits" in finding.problem


def test_an_archive_that_is_gone_is_told_and_no_finding(store: Path, whole_store: tuple[Path, Path]):
    moved = whole_store[1].rename(whole_store[1].with_name("elsewhere"))
    try:
        summary = verify(str(store), sample=1)
    finally:
        moved.rename(whole_store[1])
    assert summary.findings == []
    assert summary.recomputed_images == 0
    assert {note.text for note in summary.notes} >= {"is gone from the archive, or has changed, since it was indexed"}


def test_orphans_and_strangers_are_told_and_no_finding(store: Path):
    base = spec_of(str(store))
    features = next(path for path in sorted(files(store)) if f"spec={base}/encoder=mean" in path)
    orphan = f"{features.rpartition('/')[0]}/0123456789abcdef.parquet"
    shutil.copy(store / features, store / orphan)
    (store / "notes.txt").write_text("of a colleague")
    (store / "features" / ".0011223344556677.partial").write_bytes(b"half")
    summary = verify(str(store), sample=0)
    assert summary.findings == []
    assert {note.paths for note in summary.notes} == {
        (orphan,),
        ("notes.txt",),
        ("features/.0011223344556677.partial",),
    }
    (store / orphan).write_bytes(b"PAR1 and rubbish")  # the next attempt would stumble over it
    [finding] = verify(str(store), sample=0).findings
    assert finding.set_aside == (orphan,)


def test_the_command_says_what_where_and_what_to_do(store: Path):
    path = one_of_each_kind(store)["features"]
    (store / path).write_bytes((store / path).read_bytes() + b"x")
    told = run("verify", str(store), "--sample", "0", dataset="", status=1)
    assert f"{path}: its checksum does not hold; verify --repair sets it aside, then run the job again" in told
    shown = json.loads(run("verify", str(store), "--sample", "0", "--repair", "--json", dataset="", status=1))
    assert [one["path"] for one in shown["findings"]] == [path]
    assert path in shown["set_aside"]
    assert not (store / path).exists()
    told = run("verify", str(store), "--sample", "0", dataset="")  # what is left is sound
    assert "findings       0" in told


def test_no_store_or_dataset_is_no_sound_one(store: Path, tmp_path: Path):
    run("verify", str(tmp_path), dataset="", status=1)
    run("verify", str(store), dataset="iron", status=1)
    run("verify", str(store), dataset="../steel", status=2)
    assert "findings       0" in run("verify", str(store), "--sample", "1", dataset="steel")
