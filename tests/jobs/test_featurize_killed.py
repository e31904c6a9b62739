"""featurize is killed in the middle, run again, and ends with the bits of an undisturbed run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jobs.index import index
from texture_store import open_store
from texture_store.spec import LAYERS

from .conftest import texture_store, write_archive

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


def commits(store: str) -> list[Path]:
    return list(Path(store).glob("commits/*/*/*/*.json"))


def start_and_wait_for_commits(store: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.cli", *arguments(store)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while len(commits(store)) < number:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline, "no commit within 200 s"
        time.sleep(0.05)
    return driver


def workers_below(driver: int) -> Iterator[tuple[int, str]]:
    """(pid, name) of Ray's workers of this driver, named as Ray does; its agents, which write nothing, left out."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            parents[int(folder.name)] = (parent, (folder / "cmdline").read_bytes().decode(errors="replace"))
        except (OSError, IndexError):
            continue
    for pid, (parent, name) in parents.items():
        if name.startswith("ray::") and "Agent" not in name:
            while parent in parents and parent != driver:
                parent = parents[parent][0]
            if parent == driver:
                yield pid, name


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
    driver = start_and_wait_for_commits(store, 3)
    below = [pid for pid, _ in workers_below(driver.pid)]
    assert below
    driver.kill()
    driver.communicate()
    wait_until_gone(below)
    done = {path: path.read_bytes() for path in commits(store)}
    assert 3 <= len(done) < COUNT // SHARD_SIZE, "the driver was killed too late to show anything"
    result = texture_store(*arguments(store))
    assert result.returncode == 0, result.stderr
    assert f"featurizing {COUNT - SHARD_SIZE * len(done)} images" in result.stderr
    assert {path: path.read_bytes() for path in done} == done
    assert_equal_stores(store, undisturbed)


def wait_until_gone(pids: list[int]) -> None:
    """Ray's processes end with their driver; what they still write then is like any late writer."""
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() and not is_zombie(pid) for pid in pids):
        assert time.monotonic() < deadline, "Ray outlives its driver"
        time.sleep(0.1)


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(("leg", "commits_before"), [("_ExtractActor", 2), ("_load", 0)])
def test_a_killed_worker_costs_nothing_but_time(
    big_archive: Path, undisturbed: str, tmp_path: Path, leg: str, commits_before: int
):
    store = str(tmp_path / "store")
    index(store, "steel", str(big_archive), shard_size=SHARD_SIZE)
    driver = start_and_wait_for_commits(store, commits_before)
    assert kill_worker(driver, leg), f"no {leg} process was seen"
    _, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
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
