"""A cluster of three nodes loses one and has another cut off: the job finishes on the last, with nothing lost."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals

import pytest

from jobs.index import index
from tests.jobs.conftest import texture_store, write_archive
from tests.jobs.killing import commits

from .cluster import HEALTH, KEEPALIVE
from .victims import below, send
from .whole import DATASET, Committed, assert_equal

pytestmark = [
    pytest.mark.ray,
    pytest.mark.chaos,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.*RANDOM"),
]

COUNT, SHARD_SIZE = 60, 2
SCRIPT = Path(__file__).with_name("cluster.py")
ROOT = SCRIPT.parents[2]


@dataclass
class Nodes:
    """A running cluster; node 0 is its head."""

    address: str
    pids: list[list[int]]
    environment: dict[str, str]

    def all_of(self, number: int, signal: Signals) -> int:
        """Send a signal to every process of a node; how many there were."""
        pids = {pid for raylet in self.pids[number] for pid in (raylet, *below(raylet))}
        return sum(send(pid, signal) for pid in pids)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    folder = tempfile.mkdtemp(prefix="c", dir="/tmp")  # short: the paths of Unix sockets are limited
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": folder,
    }
    environment |= own | HEALTH | KEEPALIVE | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    line = next((line for line in process.stdout if line.startswith("{")), None)
    assert line is not None, "the cluster did not start"
    told = json.loads(line)
    nodes = Nodes(told["address"], told["nodes"], environment)
    try:
        yield nodes
    finally:
        for number in range(len(nodes.pids)):
            nodes.all_of(number, SIGKILL)
        process.kill()
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def featurize(store: Path, address: str) -> list[str]:
    settings = ["--size", "64", "--layers", "conv1_2,conv3_3", "--weights", "random:0", "--precision", "float32"]
    return ["featurize", "--store", str(store), "--dataset", DATASET, "--address", address, *settings]


def test_one_node_is_killed_and_one_cut_off(tmp_path: Path, nodes: Nodes) -> None:
    archive = write_archive(tmp_path / "archive", count=COUNT, enlarge=10)
    store, undisturbed = tmp_path / "store", tmp_path / "undisturbed"
    for one in (store, undisturbed):
        index(str(one), DATASET, str(archive), shard_size=SHARD_SIZE)
    committed = Committed(store)
    driver = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *featurize(store, nodes.address)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=nodes.environment,
    )
    wait_for_commits(driver, store, 3)
    committed.look()
    assert nodes.all_of(1, SIGKILL) >= 2
    wait_for_commits(driver, store, 8)
    committed.look()
    assert nodes.all_of(2, SIGSTOP) >= 2
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, errors
    nodes.all_of(2, SIGCONT)  # what it was at is written now, late
    time.sleep(3)
    committed.look()
    result = texture_store(*featurize(undisturbed, "local"))
    assert result.returncode == 0, result.stderr
    assert assert_equal(store, undisturbed) == COUNT * 6


def wait_for_commits(driver: subprocess.Popen[str], store: Path, number: int) -> None:
    deadline = time.monotonic() + 300
    while len(commits(str(store))) < number:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline, f"no {number} commits within 300 s"
        time.sleep(0.05)
    assert len(commits(str(store))) < COUNT // SHARD_SIZE, "too late to show anything"
