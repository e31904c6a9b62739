"""`submit` against a real cluster: one run of a name at a time, and a next one after a failure."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.submit import entrypoint_of
from tests.jobs.conftest import texture_store
from tests.jobs.ray_head import Head, ray_head
from texture_store.errors import UsageError


def test_what_runs_on_the_cluster() -> None:
    command = ("featurize", "--store", "s3://lab/my store", "--dataset", "steel")
    wanted = "python -m jobs.featurize --store 's3://lab/my store' --dataset steel --address auto"
    assert entrypoint_of(command) == wanted
    assert entrypoint_of((*command, "--address=local")).endswith("--address=local")
    assert entrypoint_of(("fit-dictionary", "--store", "s")) == "python -m jobs.fit_dictionary --store s --address auto"
    assert "--address" not in entrypoint_of(("status", "--store", "s", "--dataset", "d"))
    for other in ("rm", "submit"):
        with pytest.raises(UsageError, match="is no command to submit"):
            entrypoint_of((other, "-rf"))


def test_no_cluster_there() -> None:
    result = texture_store("submit", "--name", "x", "--cluster", "http://127.0.0.1:9", "status", "--store", "s")
    assert result.returncode == 1
    wanted = "texture-store submit: no Ray cluster takes jobs at http://127.0.0.1:9; is its head up, and the port open?"
    assert result.stderr.strip().splitlines()[-1] == wanted


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(dashboard=True) as running:
        yield running


def run_submit(head: Head, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.cli", "submit", "--json", "--cluster", head.dashboard, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= dict(head.environment) | changes
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.ray
def test_a_duplicate_leaves_and_a_failed_run_is_resumed(head: Head, archive: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    job = ("featurize", "--store", store, "--dataset", "steel", "--size", "64", "--weights", "random:0")

    failed = run_submit(head, "--name", "steel", *job)  # nothing is indexed yet
    assert failed.returncode == 1, failed.stderr
    assert json.loads(failed.stdout)["submission_id"] == "steel-1"
    assert json.loads(failed.stdout)["status"] == "FAILED"
    assert "no store here; check the URL, or run index first" in failed.stderr

    assert texture_store("index", "--store", store, "--dataset", "steel", str(archive)).returncode == 0
    first = run_submit(head, "--name", "steel", "--no-wait", *job)
    again = run_submit(head, "--name", "steel", "--no-wait", *job)
    assert json.loads(first.stdout)["submission_id"] == json.loads(again.stdout)["submission_id"] == "steel-2"
    assert json.loads(first.stdout)["is_new"]
    assert not json.loads(again.stdout)["is_new"]
    assert "steel-2 is running already; nothing submitted" in again.stderr

    after = run_submit(head, "--name", "other", *job)
    assert after.returncode == 0, after.stderr
    assert json.loads(after.stdout)["exit_status"] == 0
    assert len(list(Path(store).glob("commits/*/*/featurize*/*.json"))) >= 1


@pytest.mark.ray
def test_a_wrong_token(head: Head) -> None:
    result = run_submit(head, "--name", "x", "status", "--store", "s", "--dataset", "d", RAY_AUTH_TOKEN="0" * 64)
    assert result.returncode == 1
    assert "it refused the token" in result.stderr.strip().splitlines()[-1]
