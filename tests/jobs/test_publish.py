import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from jobs.publish import command, publish_dataset
from tests.made_store import DEEP_MEAN, GRAM, MEAN, OTHER_SPEC, SPEC, MadeStore
from texture_store import open_store

PATHS = [f"{i}.tif" for i in range(4)]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS)
    made.commit("steel", "s0", PATHS, pairs=[MEAN, GRAM])
    made.commit("steel", "s0", PATHS, pairs=[DEEP_MEAN])
    return made


def run(made: MadeStore, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--store", made.url, "--dataset", "steel", *arguments])


def published(made: MadeStore) -> set[str]:
    return {
        f"{path.parent.parent.name[8:]} {path.parent.name[6:]}"
        for path in Path(made.url).glob("published/**/*.parquet")
    }


def test_all_that_exists_is_published_unless_said_otherwise(made: MadeStore) -> None:
    result = run(made, "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["feature_sets"] == {"gram conv1_2": 4, "mean conv1_2": 4, "mean conv5_3": 4}
    assert summary["files"] == 3
    assert summary["specs"] == [SPEC.fingerprint]
    assert published(made) == {"gram conv1_2", "mean conv1_2", "mean conv5_3"}
    [path] = Path(made.url).glob("published/**/encoder=gram/**/*.parquet")
    expected = open_store(made.url).features("steel", encoder="gram", layer="conv1_2").to_arrow()
    assert pq.read_table(path, partitioning=None).equals(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--encoders", "mean"], {"mean conv1_2", "mean conv5_3"}),
        (["--layers", "conv1_2"], {"mean conv1_2", "gram conv1_2"}),
        (["--encoders", "mean, gram", "--layers", "conv5_3,conv1_2"], {"mean conv1_2", "mean conv5_3", "gram conv1_2"}),
    ],
)
def test_encoders_and_layers_can_be_picked(made: MadeStore, arguments: list[str], expected: set[str]) -> None:
    assert run(made, *arguments).exit_code == 0
    assert published(made) == expected


def test_a_spec_and_a_snapshot_can_be_named(made: MadeStore) -> None:
    made.commit("steel", "s0", PATHS, spec=OTHER_SPEC)
    made.index("steel", PATHS[:2])
    done = publish_dataset(
        made.url, "steel", encoders=["mean"], layers=["conv1_2"], spec=SPEC.fingerprint[:9], snapshot=1
    )
    assert [(one.spec, one.snapshot, one.rows) for one in done] == [(SPEC.fingerprint, 1, 4)]
    done = publish_dataset(made.url, "steel", encoders=["mean"], layers=["conv1_2"])
    assert [(one.spec, one.snapshot, one.rows) for one in done] == [(OTHER_SPEC.fingerprint, 2, 2)]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--encoders", "max"], 1, "no features of max to publish; it has gram conv1_2, mean conv1_2, mean conv5_3"),
        (["--encoders", "mean", "--layers", "conv4_3"], 1, "no features of conv4_3, mean"),
        (["--encoders", "fisher"], 2, "--encoders fisher: there are"),
        (["--layers", "relu"], 2, "--layers relu: there are"),
        (["--spec", "sffffffffff"], 1, "no such spec"),
        (["--snapshot", "7"], 1, "no snapshot 7"),
    ],
)
def test_what_cannot_be_published_is_one_line(made: MadeStore, arguments: list[str], status: int, reason: str) -> None:
    result = run(made, *arguments)
    assert result.exit_code == status
    errors = [line for line in result.stderr.splitlines() if line.startswith("texture-store publish:")]
    assert len(errors) == 1
    assert reason in errors[0]
    assert published(made) == set()


def test_pending_images_stop_it_with_the_way_on(made: MadeStore) -> None:
    made.index("steel", [*PATHS, "new.tif"])
    result = run(made)
    assert result.exit_code == 1
    assert "--allow-pending" in result.stderr
    assert run(made, "--allow-pending").exit_code == 0


def test_a_store_is_not_made_by_publishing(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--store", str(tmp_path / "nowhere"), "--dataset", "steel"])
    assert result.exit_code != 0
    assert not (tmp_path / "nowhere").exists()
