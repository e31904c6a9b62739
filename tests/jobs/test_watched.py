"""The record that a run writes of itself, without Ray."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from jobs import watched as module
from jobs.progress import progress
from jobs.watched import Run, this_run, watched
from tests.made_store import MadeStore
from texture_store.store.runs import read_runs


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", ["a.tif"])
    return made


def test_a_run_is_written_down_with_its_steps(made: MadeStore):
    with watched("featurize", ["--store", "s3://key:secret@bucket/x", "--size", "64"]) as run:
        run.record(made.url, "steel", "10.0.0.1:6379")
        run.work_on("2 GPUs")
        run.see_nodes(["b", "a"])
        with progress("featurizing", total=3) as bar:
            bar.advance(3, rejected=1)
    [one] = read_runs(made.storage, "steel")
    assert (one.state, one.exit_status, one.error) == ("done", 0, None)
    assert (one.address, one.workers, one.nodes, one.num_nodes) == ("cluster", "2 GPUs", ("a", "b"), 2)
    assert one.arguments == ("--store", "s3://bucket/x", "--size", "64")
    assert [(step.step, step.planned, step.done, step.rejected) for step in one.steps] == [("featurizing", 3, 3, 1)]
    everything = b"".join(path.read_bytes() for path in Path(made.url, "runs").rglob("*.json"))
    assert b"secret" not in everything
    assert this_run() is None


def run_that_raises(made: MadeStore, error: BaseException, *, has_work: bool = True) -> None:
    with watched("evaluate", []) as run:
        run.record(made.url, "steel")
        if has_work:
            run.see_nodes(["a"])
        raise error


@pytest.mark.parametrize(
    ("error", "status", "state"),
    [
        (SystemExit(3), 3, "done"),
        (SystemExit(4), 4, "done"),
        (SystemExit(1), 1, "failed"),
        (SystemExit(None), 0, "done"),
        (SystemExit("words"), 1, "failed"),
        (click.exceptions.Exit(1), 1, "failed"),
        (KeyboardInterrupt(), 130, "stopped"),
        (SystemExit(15), 15, "stopped"),
        (RuntimeError("x"), 1, "failed"),
    ],
)
def test_how_it_ended_is_what_the_command_exits_with(made: MadeStore, error: BaseException, status: int, state: str):
    with pytest.raises(type(error)):
        run_that_raises(made, error)
    [one] = read_runs(made.storage, "steel")
    assert (one.exit_status, one.state) == (status, state)


@pytest.mark.parametrize("status", [1, 2, 130])
def test_what_fails_before_anything_is_done_leaves_nothing(made: MadeStore, status: int):
    """Storage that refuses is asked once, by the job."""
    with pytest.raises(SystemExit):
        run_that_raises(made, SystemExit(status), has_work=False)
    assert not Path(made.url, "runs").exists()


def test_what_has_nothing_to_do_is_written_down(made: MadeStore):
    with watched("reevaluate", []) as run:
        run.record(made.url, "steel")
    assert read_runs(made.storage, "steel")[0].state == "done"


def test_signs_are_written_while_it_goes_on(made: MadeStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(module, "pause_after", lambda _: 0.01)
    with watched("featurize", []) as run:
        run.record(made.url, "steel")
        run.see_nodes(["a"])
        deadline = time.monotonic() + 20
        while len(list(Path(made.url).glob("runs/*/signs/*/*.json"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert read_runs(made.storage, "steel")[0].state == "running"


def test_index_is_written_down_once_there_is_a_store(tmp_path: Path):
    url = str(tmp_path / "store")
    with watched("index", []) as run:
        run.record(url, "steel")
        MadeStore.at(url)
    [one] = read_runs(MadeStore.at(url).storage, "steel")
    assert (one.job, one.state) == ("index", "done")


@pytest.mark.parametrize("url", ["", "nosuch://x", "s3://key:secret@bucket", "/proc/nowhere", "/dev/null"])
def test_a_place_that_takes_no_record_fails_no_run(url: str, tmp_path: Path):
    with watched("featurize", []) as run:
        run.record(url, "steel")
    with watched("featurize", []) as run:
        run.record(str(tmp_path), "Not/A Name")


def test_storage_that_refuses_fails_no_run(made: MadeStore, without_rights):
    for path in Path(made.url).parents[1], Path(made.url):
        path.chmod(0o755)
    with without_rights(), watched("featurize", []) as run:
        run.record(made.url, "steel")
    assert not Path(made.url, "runs").exists()


def test_storage_that_hangs_holds_up_the_end_only_for_a_while(made: MadeStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "END_SECONDS", 0.2)
    monkeypatch.setattr(module, "write_ended", lambda *_: time.sleep(30))
    with watched("featurize", []) as run:
        run.record(made.url, "steel")
        started = time.monotonic()
    assert time.monotonic() - started < 20


def test_the_id_of_a_submitted_job_is_kept(made: MadeStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(
        "RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {}, "metadata": {"job_submission_id": "steel-7"}}'
    )
    with watched("featurize", []) as run:
        run.record(made.url, "steel")
    assert read_runs(made.storage, "steel")[0].submission == "steel-7"
    for strange in ("", "[]", "{}", '{"metadata": null}'):
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", strange)
        Run("featurize", []).record(made.url, "steel")


def test_sigterm_is_told_and_ends_the_process_as_ever(made: MadeStore):
    code = (
        "import sys, time\n"
        "from jobs.watched import watched\n"
        "with watched('featurize', []) as run:\n"
        "    run.record(sys.argv[1], 'steel')\n"
        "    run.see_nodes(['a'])\n"
        "    print('on', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, made.url], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM
    [one] = read_runs(made.storage, "steel")
    assert (one.state, one.exit_status) == ("stopped", 143)
    assert "SIGTERM" in str(one.error)
