"""clean: only what nothing needs goes, in an order that can be killed anywhere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from jobs import clean as job
from jobs.clean import clean, command, seconds_of
from tests.made_store import GRAM, MEAN, OTHER_SPEC, SPEC, MadeStore, image_id
from texture_store import open_store
from texture_store.errors import UsageError
from texture_store.objects import Storage
from texture_store.store.commits import fold_commits
from texture_store.store.fold_dictionaries import fold_spec
from texture_store.store.runs import RunBegun, RunSign, read_runs, write_begun, write_ended, write_sign
from texture_store.verification import unneeded
from texture_store.verification.unneeded import Asked

PATHS = [f"{number}.tif" for number in range(4)]
ONES = {"seen_width": [10] * 2, "seen_height": [10] * 2}
FOLDS = fold_spec(SPEC, ["d" + "1" * 20])
OLD_DAYS = 30


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    """Two snapshots, two specs, three checkpoints, vectors of folds, and the leavings of an attempt that died."""
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", PATHS[:3])
    made.index("steel", PATHS)
    for shard, paths in (("a", PATHS[:2]), ("b", PATHS[2:])):
        made.commit("steel", shard, paths, spec=OTHER_SPEC, facts=ONES)
        made.commit("steel", shard, paths, pairs=[MEAN, GRAM], facts=ONES)
        made.commit(
            "steel", shard, paths, spec=FOLDS, pairs=[("fold-vlad", "input")], facts=ONES, fold_dictionaries=["d1"]
        )
        fold_commits(made.storage, "steel", SPEC.fingerprint, min_loose=1)
    made.commit("steel", "c", PATHS[:2], pairs=[MEAN])
    fold_commits(made.storage, "steel", SPEC.fingerprint, min_loose=1)
    record = next(Path(made.url).glob(f"commits/*/spec={SPEC.fingerprint}/*/c.json"))
    record.unlink()
    for checkpoint in Path(made.url).glob(f"commits/*/spec={SPEC.fingerprint}/checkpoint-3.parquet"):
        checkpoint.unlink()
    made.commit("steel", "dead", PATHS[:2], pairs=[MEAN, GRAM], facts=ONES, only_files=True)
    (Path(made.url) / "features" / ".00112233.partial").write_bytes(b"half")
    made.storage.create("set-aside/2026-01-01T000000Z/features/x.parquet", b"damaged")
    age(Path(made.url))
    return made


def age(store: Path, days: float = OLD_DAYS) -> None:
    then = time.time() - days * 86400
    for path in store.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def present(made: MadeStore) -> set[str]:
    root = Path(made.url)
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def run(made: MadeStore, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--store", made.url, *arguments])


def removed(made: MadeStore, *arguments: str) -> set[str]:
    before = present(made)
    result = run(made, *arguments)
    assert result.exit_code == 0, result.output
    return before - present(made)


def assert_readable(made: MadeStore, *, paths: list[str] = PATHS) -> None:
    """What a reader gets of the spec that it takes, all of it and the right bits."""
    for pair in (MEAN, GRAM):
        features = open_store(made.url).features("steel", encoder=pair[0], layer=pair[1], spec=SPEC.fingerprint)
        assert features.rows["path"].tolist() == paths
        assert np.array_equal(features.to_numpy(), expected(made, pair))


def expected(made: MadeStore, pair: tuple[str, str]) -> np.ndarray:
    kept = made.vectors["steel", SPEC.fingerprint, pair]
    return np.stack([kept[image_id(path)] for path in PATHS])


@pytest.fixture
def sound(made: MadeStore) -> MadeStore:
    """`made`, whose first vectors are remembered: those of the lost commit are other ones."""
    for pair in (MEAN, GRAM):
        features = open_store(made.url).features("steel", encoder=pair[0], layer=pair[1], spec=SPEC.fingerprint)
        ids = [image_id(path) for path in features.rows["path"]]
        made.vectors["steel", SPEC.fingerprint, pair] = dict(zip(ids, features.to_numpy(), strict=True))
    return made


def test_only_what_no_reader_sees_goes_unasked(sound: MadeStore):
    before = present(sound)
    gone = removed(sound)
    assert {Path(path).stem for path in gone} == {"c", "dead", ".00112233"}
    assert gone == {path for path in before if Path(path).stem in ("c", "dead", ".00112233")}
    assert_readable(sound)
    assert removed(sound) == set()


def test_a_dry_run_tells_all_of_it_and_removes_nothing(sound: MadeStore):
    before = {path: (Path(sound.url) / path).stat().st_size for path in present(sound)}
    told = run(sound, "--dry-run")
    shown = json.loads(run(sound, "--dry-run", "--json").stdout)
    assert set(before) == present(sound)
    assert shown["bytes"] == sum(before[path] for path in shown["paths"])
    assert all(path in told.stdout for path in shown["paths"])
    assert removed(sound) == set(shown["paths"])


def test_what_is_younger_than_the_grace_age_stays(sound: MadeStore):
    assert removed(sound, "--older-than", "31d") == set()
    age(Path(sound.url), 0.5)
    assert removed(sound) == set()
    assert removed(sound, "--older-than", "6h") != set()


def test_a_spec_that_is_being_written_to_is_left_alone(sound: MadeStore):
    newest = next(Path(sound.url).glob(f"features/*/spec={SPEC.fingerprint}/**/a.parquet"))
    os.utime(newest)
    assert {Path(path).name for path in removed(sound)} == {".00112233.partial"}


def test_facts_stay_while_anything_that_hangs_on_them_is_young(sound: MadeStore):
    young = next(Path(sound.url).glob(f"features/*/spec={SPEC.fingerprint}/encoder=gram/**/dead.parquet"))
    then = time.time() - 2 * 86400
    os.utime(young, (then, then))
    assert {Path(path).stem for path in removed(sound)} == {"c", ".00112233"}


def test_old_checkpoints_go_and_the_newest_two_stay(sound: MadeStore):
    for shard in "xyz":
        sound.commit("steel", shard, [], rejected=["9.tif"])
        fold_commits(sound.storage, "steel", SPEC.fingerprint, min_loose=1)
    age(Path(sound.url))
    gone = {Path(path).name for path in removed(sound) if "checkpoint" in path}
    assert gone == {f"checkpoint-{number}.parquet" for number in (1, 2, 3)}
    assert_readable(sound)


def test_options_name_what_is_committed(sound: MadeStore):
    removed(sound)
    assert removed(sound, "--set-aside") == {"set-aside/2026-01-01T000000Z/features/x.parquet"}
    assert removed(sound, "--keep-snapshots", "1") == {"index/dataset=steel/snapshot-1.parquet"}
    folds = removed(sound, "--folds")
    assert folds
    assert all(f"spec={FOLDS.fingerprint}/" in path for path in folds)
    other = removed(sound, "--dataset", "steel", "--spec", OTHER_SPEC.fingerprint)
    assert other
    assert all(f"spec={OTHER_SPEC.fingerprint}/" in path for path in other)
    assert not [path for path in present(sound) if path.split("/")[0] == "features" and SPEC.fingerprint not in path]
    assert_readable(sound)


def test_what_readers_take_is_refused(sound: MadeStore):
    result = run(sound, "--dataset", "steel", "--spec", SPEC.fingerprint)
    assert result.exit_code == 2
    assert "readers take it" in result.stderr
    assert run(sound, "--spec", SPEC.fingerprint).exit_code == 2
    assert run(sound, "--keep-snapshots", "0").exit_code == 2
    assert_readable(sound)


def test_what_a_job_has_committed_meanwhile_stays(sound: MadeStore, monkeypatch: pytest.MonkeyPatch):
    find = job.find_unneeded

    def and_then_a_job_commits(*arguments: object) -> object:
        found = find(*arguments)
        sound.commit("steel", "dead", PATHS[:2], pairs=[("max", "input")])
        record = next(Path(sound.url).glob(f"commits/*/spec={SPEC.fingerprint}/*/dead.json"))
        text = json.loads(record.read_bytes())
        del text["checksum"]
        used = next(Path(sound.url).glob("features/*/*/encoder=mean/*/dead.parquet"))
        text["files"].append({**text["files"][0], "path": used.relative_to(sound.url).as_posix()})
        record.write_text(json.dumps(text))
        return found

    monkeypatch.setattr(job, "find_unneeded", and_then_a_job_commits)
    summary = clean(sound.url, Asked())
    assert any(path.endswith("dead.parquet") and "encoder=mean" in path for path in summary.kept)
    assert all((Path(sound.url) / path).is_file() for path in summary.kept)


class KilledError(Exception):
    pass


EVERYTHING = Asked(folds=True, set_aside=True, specs=(OTHER_SPEC.fingerprint,), keep_snapshots=1, dataset="steel")


def test_killed_before_any_removal_the_rest_is_whole_and_the_next_run_ends_it(
    sound: MadeStore, monkeypatch: pytest.MonkeyPatch
):
    everything = len(clean(sound.url, EVERYTHING, dry_run=True).paths)
    assert everything > 15
    whole = Storage.remove

    def dies(self: Storage, path: str) -> None:
        whole(self, path)
        raise KilledError

    # Each round removes one more file and dies: after each of them a reader must find everything it needs.
    for _ in range(everything):
        monkeypatch.setattr(Storage, "remove", dies)
        with pytest.raises(KilledError):
            clean(sound.url, EVERYTHING)
        monkeypatch.setattr(Storage, "remove", whole)
        assert_readable(sound)
        for spec in (OTHER_SPEC.fingerprint, FOLDS.fingerprint):
            named = [json.loads(one.read_bytes()) for one in Path(sound.url).glob(f"commits/*/spec={spec}/*/*.json")]
            for record in named:
                assert all((Path(sound.url) / file["path"]).is_file() for file in record["files"])
    assert clean(sound.url, EVERYTHING, dry_run=True).paths == []


KILLS_ITSELF = """
import os, signal, sys
from jobs.clean import command
from texture_store.objects import Storage

remove, left = Storage.remove, [int(sys.argv.pop(1))]
def remove_or_die(storage, path):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    remove(storage, path)

Storage.remove = remove_or_die
command()
"""


def test_a_process_that_is_killed_is_run_again(sound: MadeStore):
    folder = next(Path(sound.url).glob(f"features/*/spec={SPEC.fingerprint}/encoder=mean/*"))
    for number in range(20):
        (folder / f"lost{number}.parquet").write_bytes(b"x")
    age(Path(sound.url))
    killed = subprocess.run(
        [sys.executable, "-c", KILLS_ITSELF, "15", "--store", sound.url], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert 0 < len(list(folder.glob("lost*"))) < 20
    assert_readable(sound)
    assert run(sound).exit_code == 0
    assert not list(folder.glob("lost*"))
    assert_readable(sound)


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604800), ("12h", 43200), ("30min", 1800), ("0", 0)])
def test_ages(text: str, seconds: int):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["7", "-1d", "week", ""])
def test_what_is_no_age_is_refused(text: str):
    with pytest.raises(UsageError, match="--older-than"):
        seconds_of(text)


def test_records_of_runs_go_when_a_later_one_says_the_same_or_when_they_are_old(
    sound: MadeStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(unneeded, "KEPT_RUNS", 2)
    names = [f"2026010{number}t000000-featurize-00000000" for number in range(1, 5)]
    for number, name in enumerate(names):
        begun = RunBegun(run=name, job="featurize", dataset="steel", arguments=(), version="0")
        write_begun(sound.storage, begun)
        for sign in range(1, 13):
            write_sign(sound.storage, "steel", name, sign, RunSign())
        if number != 2:
            write_ended(sound.storage, "steel", name, RunSign(state="done", exit_status=0))
    assert not any(path.startswith("runs/") for path in removed(sound)), "younger than a week"
    age(Path(sound.url))
    gone = {path for path in removed(sound) if path.startswith("runs/")}
    old = {path for path in gone if names[0] in path or names[1] in path}
    assert len(old) == 2 * (12 + 2)
    signs = "runs/dataset=steel/signs"
    of_the_open_one = {f"{signs}/{names[2]}/{number}.json" for number in range(1, 10)}
    of_the_ended_one = {f"{signs}/{names[3]}/{number}.json" for number in range(1, 13)}
    assert gone - old == of_the_open_one | of_the_ended_one
    assert [one.run for one in read_runs(sound.storage, "steel", past=10)] == [names[2], names[3]]
    assert removed(sound) == set()
    assert_readable(sound)
