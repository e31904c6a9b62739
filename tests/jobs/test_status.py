import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.status import command, status
from tests.made_store import DEEP_MEAN, GRAM, MEAN, OTHER_SPEC, RANDOM_SPEC, SPEC, MadeStore
from texture_store.errors import DatasetNotFoundError

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
