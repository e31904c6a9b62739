"""index and featurize on storage that fails: they finish, with the result of a run on storage that does not.

Of the single faults one runs always; with TEXTURE_STORE_LONG_TESTS=1 all do. What struck is printed (pytest -rP).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jobs.index import index
from jobs.shards import MAX_FAILED_IN_A_ROW
from tests.faults import Fault, FaultProxy
from tests.seaweed import SeaweedFS
from texture_store import open_store
from texture_store.objects import Storage, open_storage
from texture_store.spec import LAYERS
from texture_store.storage.connections import connect
from texture_store.store.commits import list_specs, read_commits

from .conftest import texture_store, write_archive

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.chaos, pytest.mark.filterwarnings("ignore:.*RANDOM")]

COUNT, SHARD_SIZE = 24, 4
STORE, ARCHIVE = "s3://faults/store", "s3://faults/archive"
IS_LONG = os.environ.get("TEXTURE_STORE_LONG_TESTS") == "1"
LONG = "runs with TEXTURE_STORE_LONG_TESTS=1"
ALWAYS = ("lost-reply", "mix")

SINGLE: list[Fault] = ["503", "reset", "cut", "lost reply", "latency"]
SHARES: dict[str, dict[Fault, float]] = {fault.replace(" ", "-"): {fault: 0.3} for fault in SINGLE}
SHARES["mix"] = {"503": 0.06, "500": 0.03, "reset": 0.06, "cut": 0.06, "lost reply": 0.06, "latency": 0.03}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A server of these tests alone, which may be killed. It holds the archive; the environment points to it."""
    archive = write_archive(tmp_path_factory.mktemp("pictures"), count=COUNT)
    with (
        SeaweedFS.start(tmp_path_factory.mktemp("seaweedfs")) as started,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in started.environment.items():
            environment.setenv(name, value)
        environment.setenv("TEXTURE_STORE_RETRY_SECONDS", "120")
        connect("s3", patient=True).mkdir("faults")
        storage = open_storage(ARCHIVE)
        for file in sorted(archive.iterdir()):
            storage.create(file.name, file.read_bytes())
        yield started


@pytest.fixture(scope="module")
def proxy(server: SeaweedFS) -> Iterator[FaultProxy]:
    proxy = FaultProxy(server.url, seed=11)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def run_behind_proxy(proxy: FaultProxy) -> Iterator["RunAfterRun"]:
    runs = RunAfterRun(proxy.url)
    yield runs
    runs.close()


class RunAfterRun:
    """featurize of one dataset after the other in a process of their own, whose storage is behind the proxy."""

    def __init__(self, endpoint: str) -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("run_after_run.py")), STORE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "AWS_ENDPOINT_URL": endpoint, "PYTHONPATH": str(root)},
        )

    def __call__(self, dataset: str) -> dict[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(dataset, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):  # Ray prints there too
                summary: dict[str, object] = json.loads(line)
                return summary
        raise AssertionError("it ended without a summary")

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def undisturbed(server: SeaweedFS, run_behind_proxy: RunAfterRun) -> str:
    """The dataset that met no fault."""
    take_index("undisturbed")
    assert run_behind_proxy("undisturbed")["featurized"] == COUNT
    return "undisturbed"


def take_index(dataset: str) -> None:
    index(STORE, dataset, ARCHIVE, labels=f"{ARCHIVE}/labels.csv", shard_size=SHARD_SIZE)


def featurize_arguments(dataset: str) -> list[str]:
    options = ["--size", "64", "--weights", "random:0", "--precision", "float32"]
    return ["featurize", "--store", STORE, "--dataset", dataset, *options]


def assert_equal(dataset: str, undisturbed: str) -> None:
    """Same commits, same files byte for byte, no image missing or twice, and nothing beside what commits list."""
    storage = open_storage(STORE)
    assert committed(storage, dataset) == committed(storage, undisturbed)
    assert not list(storage.list(f"rejected/dataset={dataset}"))
    (spec,) = list_specs(storage, dataset)
    files = {file.path for commit in read_commits(storage, dataset, spec) for file in commit.files}
    listed = {
        f"{table}/{info.path}"
        for table in ("features", "micrographs")
        for info in open_storage(f"{STORE}/{table}").list(f"dataset={dataset}")
    }
    assert listed == files
    opened = open_store(STORE)
    for encoder in ("mean", "max", "gram"):
        for layer in LAYERS:
            here = opened.features(dataset, encoder=encoder, layer=layer, spec=spec)
            there = opened.features(undisturbed, encoder=encoder, layer=layer, spec=spec)
            assert here.rows["path"].tolist() == there.rows["path"].tolist()
            assert here.rows["path"].nunique() == len(here.rows) == COUNT
            assert np.array_equal(here.to_numpy().view(np.uint32), there.to_numpy().view(np.uint32))


def committed(storage: Storage, dataset: str) -> list[object]:
    (spec,) = list_specs(storage, dataset)
    found: list[object] = []
    for commit in read_commits(storage, dataset, spec):
        files = [
            (file.path.replace(f"={dataset}/", "=D/"), file.rows, file.bytes, file.sha256) for file in commit.files
        ]
        found.append((commit.step, commit.shard, commit.pairs, commit.members, commit.rejected, sorted(files)))
    return found


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=() if IS_LONG or mode in ALWAYS else pytest.mark.skip(LONG)) for mode in SHARES]
)
def test_a_third_of_all_requests_fails(
    mode: str, proxy: FaultProxy, undisturbed: str, run_behind_proxy: RunAfterRun, monkeypatch: pytest.MonkeyPatch
):
    dataset = f"behind-{mode}"
    proxy.injected.clear()
    proxy.requests.clear()
    with monkeypatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.fail_at_random(SHARES[mode])
        started = time.monotonic()
        try:
            take_index(dataset)
            summary = run_behind_proxy(dataset)
        finally:
            proxy.fail_at_random({})
    print(f"{mode}: {dict(proxy.injected)} of {len(proxy.requests)} requests, {time.monotonic() - started:.0f} s")
    assert (summary["featurized"], summary["rejected"], summary["pending"]) == (COUNT, 0, 0)
    assert proxy.injected.total() > 0.2 * len(proxy.requests) * (0.3 if mode == "cut" else 1)
    assert set(proxy.injected) == set(SHARES[mode])
    assert_equal(dataset, undisturbed)


def test_the_server_is_killed_and_started_again(server: SeaweedFS, undisturbed: str, tmp_path: Path):
    take_index("killed")
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "jobs.cli", *featurize_arguments("killed")]
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out)
    wait_for_commit("killed", job)
    server.kill()
    time.sleep(8)
    server.launch()
    assert job.wait(timeout=240) == 0, log.read_text()
    server.wait()
    lines = log.read_text().splitlines()
    waiting = [line for line in lines if "storage does not answer" in line]
    assert 1 <= len(waiting) <= 2, lines
    assert "waiting (a request is tried for 120 s)" in waiting[0]
    assert any(line.startswith("storage answers again, after ") for line in lines), lines
    assert_equal("killed", undisturbed)


def wait_for_commit(dataset: str, job: subprocess.Popen[bytes]) -> None:
    storage = open_storage(STORE)
    deadline = time.monotonic() + 200
    while not any(True for _ in storage.list(f"commits/dataset={dataset}")):
        assert job.poll() is None, "it ended before the server could be killed"
        assert time.monotonic() < deadline, "no commit within 200 s"
        time.sleep(0.02)


def test_a_shard_whose_images_cannot_be_had_stays_pending(
    proxy: FaultProxy, undisturbed: str, run_behind_proxy: RunAfterRun, monkeypatch: pytest.MonkeyPatch
):
    take_index("pending")
    with monkeypatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", proxy.url)
        environment.setenv("TEXTURE_STORE_RETRY_SECONDS", "3")
        proxy.fail_at_random({"503": 1}, method="GET", path="archive/image00[02]")
        result = texture_store(*featurize_arguments("pending"), "--json")
        proxy.fail_at_random({})
    assert result.returncode == 1, result.stderr
    summary = json.loads(result.stdout)
    failed = len(summary["failed_shards"])
    assert 1 <= failed <= 2
    assert (summary["rejected"], summary["pending"]) == (0, failed * SHARD_SIZE)
    assert summary["featurized"] == COUNT - failed * SHARD_SIZE
    assert result.stderr.count("failed and stays pending: s3://faults/archive/image00") == failed
    assert run_behind_proxy("pending")["computed"] == failed * SHARD_SIZE
    assert_equal("pending", undisturbed)


def test_storage_that_is_gone_stops_the_run_before_every_shard_has_waited_for_it(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
):
    index(STORE, "gone", ARCHIVE, shard_size=1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("TEXTURE_STORE_RETRY_SECONDS", "1")
    proxy.fail_at_random({"503": 1}, method="GET", path="archive/image")
    result = texture_store(*featurize_arguments("gone"))
    proxy.fail_at_random({})
    assert result.returncode == 1
    assert result.stderr.count("failed and stays pending") == MAX_FAILED_IN_A_ROW < COUNT, result.stderr
    assert f"{MAX_FAILED_IN_A_ROW} shards in a row failed, so it is stopped" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["index", "featurize"])
def test_a_wrong_key_and_a_missing_bucket_fail_at_once(
    command: str, proxy: FaultProxy, undisturbed: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    options = featurize_arguments(undisturbed)[5:] if command == "featurize" else []
    archive = [ARCHIVE] if command == "index" else []
    with monkeypatch.context() as environment:
        environment.setenv("AWS_SECRET_ACCESS_KEY", "wrongwrong")
        proxy.requests.clear()
        assert_one_line(
            texture_store(command, "--store", STORE, "--dataset", undisturbed, *archive, *options), "rights"
        )
        assert len(proxy.requests) == 1
    proxy.requests.clear()
    missing = ["s3://no-such-bucket/archive"] if command == "index" else []
    store = STORE if command == "index" else "s3://no-such-bucket/store"
    assert_one_line(texture_store(command, "--store", store, "--dataset", "new", *missing, *options), "no-such-bucket")
    assert sum("no-such-bucket" in request for request in proxy.requests) == 1


def assert_one_line(result: subprocess.CompletedProcess[str], word: str) -> None:
    assert result.returncode in (1, 2)
    lines = result.stderr.strip().splitlines()
    assert len([line for line in lines if not line.startswith("list:")]) == 1, result.stderr
    assert word in lines[-1]
    for secret in ("wrongwrong", "testsecret", "testkey"):
        assert secret not in result.stdout + result.stderr
