import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.status import command, status
from tests.made_store import DEEP_MEAN, GRAM, MEAN, OTHER_SPEC, RANDOM_SPEC, SPEC, MadeStore
from texture_store.errors import DatasetNotFoundError
from texture_store.store.runs import RunBegun, RunSign, StepSign, write_begun, write_ended, write_sign

PATHS = [f"{i}.tif" for i in range(6)]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS, labels={"0.tif": "x"})
    made.commit("steel", "s0", PATHS[:3], pairs=[MEAN, DEEP_MEAN, GRAM])
    made.commit("steel", "s1", PATHS[3:4], pairs=[MEAN, DEEP_MEAN, GRAM], rejected=PATHS[4:5])
    made.commit("steel", "s0", PATHS[:2], spec=OTHER_SPEC)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_each_encoder_and_layer_of_each_spec_adds_up_to_what_is_indexed(made: MadeStore) -> None:
    [one] = status(made.url)
    assert (one.dataset, one.snapshot, one.indexed, one.labelled) == ("steel", 1, 6, 1)
    by_spec = {spec.spec: spec for spec in one.specs}
    assert set(by_spec) == {SPEC.fingerprint, OTHER_SPEC.fingerprint}
    for found in by_spec[SPEC.fingerprint].feature_sets:
        assert (found.featurized, found.rejected, found.pending, found.chosen) == (4, 1, 1, True)
        assert found.newest_commit == "2026-01-01T00:00:02.000+00:00"
    [found] = by_spec[OTHER_SPEC.fingerprint].feature_sets
    assert (found.featurized, found.rejected, found.pending, found.chosen) == (2, 0, 4, False)
    assert by_spec[SPEC.fingerprint].rejected_by_reason == {"UnreadableImageError": 1}


def test_the_table_has_a_line_for_each_encoder_and_marks_the_chosen_spec(made: MadeStore) -> None:
    result = run("--store", made.url)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "6 images, 1 with a label, of /archive" in lines
    assert "* mean conv1_2, conv5_3 4 1 1 2026-01-01 00:00:02" in lines
    assert "* gram conv1_2 4 1 1 2026-01-01 00:00:02" in lines
    assert "mean conv1_2 2 0 4 2026-01-01 00:00:03" in lines
    assert "rejected: UnreadableImageError 1" in lines
    assert f"spec {SPEC.fingerprint}: {SPEC.describe()}" in lines


def test_json_has_all_of_it(made: MadeStore) -> None:
    made.index("alloy", ["a.tif"])
    made.commit("alloy", "s0", ["a.tif"], spec=RANDOM_SPEC)
    result = run("--store", made.url, "--json")
    found = json.loads(result.stdout)
    assert [one["dataset"] for one in found] == ["alloy", "steel"]
    assert found[0]["specs"][0]["random_weights"] is True
    assert found[0]["specs"][0]["feature_sets"][0]["chosen"] is False
    assert [one.model_dump(mode="json") for one in status(made.url)] == found


HOSTILE = "a\x1b[2J\nfaked: line\u202e"


def with_runs(made: MadeStore) -> MadeStore:
    """One that goes on elsewhere, one that failed, one that is lost."""
    now = time.time()
    step = StepSign(
        step="featurizing",
        unit="images",
        planned=6000,
        done=1200,
        rejected=7,
        failed=64,
        shards_planned=94,
        shards_done=18,
        shards_failed=1,
        rate=4.0,
        seconds=300,
        seconds_left=1184,
        stage_seconds={"load": 100, "decode": 80, "extract": 10},
        slowest_stage="load",
    )
    signs = {
        1: RunSign(state="failed", exit_status=1, error=HOSTILE, at=iso(now - 8000)),
        2: RunSign(at=iso(now - 720), steps=(step,)),
        3: RunSign(at=iso(now - 4), steps=(step,), workers="2 GPUs", nodes=("n1", HOSTILE), num_nodes=2),
    }
    for number, sign in signs.items():
        run = f"20260101t00000{number}-featurize-00000000"
        process = {"host": HOSTILE, "pid": 1, "place": "x", "process": "1"}
        arguments = ("--store", HOSTILE)
        begun = RunBegun(
            run=run,
            job="featurize",
            dataset="steel",
            arguments=arguments,
            version="0.1.0",
            process=process,
            started=iso(now - 9000),
            submission="steel-1",
        )
        write_begun(made.storage, begun)
        if sign.state == "running":
            write_sign(made.storage, "steel", run, 1, sign)
        else:
            write_ended(made.storage, "steel", run, sign)
    return made


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_runs_are_told_with_how_far_they_are(made: MadeStore) -> None:
    lines = run("--store", with_runs(made).url).stdout.splitlines()
    shown = lines[lines.index("runs") + 1 :]
    assert shown[0].startswith("  featurize: running, began ")
    assert "sign of life" in shown[0]
    assert "Ray job steel-1, 2 GPUs, 2 nodes (n1, a?[2J faked: line?)" in shown[1]
    step = (
        "featurizing: 1,200/6,000 images, 18/94 shards, 64 failed in 1 shards, 7 rejected, 4.0/s, 19 min 44 s left,"
        " slowest: load, mostly decoding"
    )
    assert shown[2].strip() == step
    assert shown[3].startswith("  featurize: no sign of life for 12 min 0")
    assert "it may have died; run the same command again" in shown[3]
    assert shown[6].startswith("  featurize: failed with status 1 ")
    assert shown[6].endswith(": a?[2J faked: line?")
    assert len(shown) == 8


def test_hostile_text_moves_no_cursor(made: MadeStore) -> None:
    text = run("--store", with_runs(made).url).stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\nfaked" not in text
    [one] = json.loads(run("--store", made.url, "--json").stdout)
    assert [each["state"] for each in one["runs"]] == ["running", "lost", "failed"]
    assert one["runs"][0]["host"] == HOSTILE


def test_as_many_past_runs_as_asked_for(made: MadeStore) -> None:
    with_runs(made)
    assert [each.state for each in status(made.url, past_runs=0)[0].runs] == ["running"]
    assert "failed with" not in run("--store", made.url, "--runs", "1").stdout


def test_what_is_only_indexed_is_said(made: MadeStore, tmp_path: Path) -> None:
    empty = MadeStore.at(tmp_path / "empty")
    assert "no dataset yet" in run("--store", empty.url).stdout
    empty.index("steel", PATHS)
    assert "nothing is featurized yet" in run("--store", empty.url).stdout


def test_what_does_not_exist_is_one_line(made: MadeStore, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError):
        status(made.url, "copper")
    for arguments, reason in [
        (("--store", made.url, "--dataset", "copper"), "no dataset copper; it has steel"),
        (("--store", str(tmp_path / "nowhere")), "no store here"),
        (("--store", made.url, "--dataset", "Not/A"), "not allowed"),
    ]:
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1
