"""featurize is killed in the middle, run again, and ends with the bits of an undisturbed run."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from jobs.index import index
from texture_store import open_store
from texture_store.spec import LAYERS

from .conftest import texture_store, write_archive
from .killing import commits, kill, start_and_wait, workers_below

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.filterwarnings("ignore:.*RANDOM")]

COUNT = 60
SHARD_SIZE = 3


@pytest.fixture(scope="module")
def big_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("killed") / "archive", count=COUNT, enlarge=10)


@pytest.fixture(scope="module")
def undisturbed(big_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    store = str(tmp_path_factory.mktemp("undisturbed") / "store")
    index(store, "steel", str(big_archive), shard_size=SHARD_SIZE)
    result = texture_store(*arguments(store))
    assert result.returncode == 0, result.stderr
    return store


def arguments(store: str) -> list[str]:
    options = ["--size", "128", "--weights", "random:0", "--precision", "float32"]
    return ["featurize", "--store", store, "--dataset", "steel", *options]


def all_vectors(store: str) -> dict[tuple[str, str], tuple[list[str], np.ndarray]]:
    opened = open_store(store)
    (spec,) = opened.specs("steel")
    found = {}
    for encoder in ("mean", "max", "gram"):
        for layer in LAYERS:
            features = opened.features("steel", encoder=encoder, layer=layer, spec=spec)
            found[encoder, layer] = (features.rows["path"].tolist(), features.to_numpy())
    return found


def assert_equal_stores(store: str, undisturbed: str) -> None:
    expected, found = all_vectors(undisturbed), all_vectors(store)
    for pair, (paths, matrix) in expected.items():
        assert len(paths) == len(set(paths)) == COUNT
        assert found[pair][0] == paths
        assert np.array_equal(found[pair][1].view(np.uint32), matrix.view(np.uint32)), pair


def test_a_killed_driver_is_resumed_without_redoing_commits(big_archive: Path, undisturbed: str, tmp_path: Path):
    store = str(tmp_path / "store")
    index(store, "steel", str(big_archive), shard_size=SHARD_SIZE)
    driver = start_and_wait(arguments(store), store, num_commits=3)
    kill(driver)
    done = {path: path.read_bytes() for path in commits(store)}
    assert 3 <= len(done) < COUNT // SHARD_SIZE, "the driver was killed too late to show anything"
    result = texture_store(*arguments(store))
    assert result.returncode == 0, result.stderr
    assert f"featurizing {COUNT - SHARD_SIZE * len(done)} images" in result.stderr
    assert {path: path.read_bytes() for path in done} == done
    assert_equal_stores(store, undisturbed)


@pytest.mark.parametrize(("leg", "commits_before"), [("_ExtractActor", 2), ("_load", 0)])
def test_a_killed_worker_costs_nothing_but_time(
    big_archive: Path, undisturbed: str, tmp_path: Path, leg: str, commits_before: int
):
    store = str(tmp_path / "store")
    index(store, "steel", str(big_archive), shard_size=SHARD_SIZE)
    driver = start_and_wait([*arguments(store), "--json"], store, num_commits=commits_before)
    assert kill_worker(driver, leg), f"no {leg} process was seen"
    output, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    assert json.loads(output)["featurized"] == COUNT, "something else was printed beside the summary"
    assert_equal_stores(store, undisturbed)


def kill_worker(driver: subprocess.Popen[str], leg: str) -> bool:
    deadline = time.monotonic() + 60
    while driver.poll() is None and time.monotonic() < deadline:
        for pid, name in workers_below(driver.pid):
            # Ray names an idle task worker ray::IDLE; while it decodes it is ray::MapBatches(_load).
            if leg in name:
                os.kill(pid, signal.SIGKILL)
                return True
    return False
