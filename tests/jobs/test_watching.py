"""A real run is watched from outside: its record in the store, its metrics over HTTP, its lines, its workers' logs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from jobs.index import index
from jobs.metrics import METRICS, PLANNED, STAGES
from jobs.status import command, status
from texture_store.objects import open_storage
from texture_store.store.runs import RunStatus, read_runs

from .conftest import write_archive
from .killing import kill, start_and_wait

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore:.*RANDOM")]

COUNT, SHARD_SIZE = 90, 3
BROKEN = "bad \x1b[31m\nname.png"
OURS = ("dataset", "step", "stage", "reason")
SECRET = "wJalrXUtnFEMI"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_archive(tmp_path_factory.mktemp("watched") / "archive", count=COUNT, enlarge=10)
    (folder / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return folder


def arguments(store: str) -> list[str]:
    options = ["--size", "128", "--weights", "random:0", "--precision", "float32", "--max-rejected", "50%"]
    return ["featurize", "--store", store, "--dataset", "steel", *options]


@dataclass
class Watched:
    """What was seen of a run."""

    store: str
    status: int = -1
    out: str = ""
    lines: list[dict[str, object]] = field(default_factory=list)
    seen: list[RunStatus] = field(default_factory=list)
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = field(default_factory=lambda: defaultdict(dict))
    """By name, then by labels: the largest value."""
    worker_lines: list[dict[str, object]] = field(default_factory=list)


@pytest.fixture(scope="module")
def watched(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    found = Watched(str(tmp_path_factory.mktemp("store") / "store"))
    index(found.store, "steel", str(archive), shard_size=SHARD_SIZE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray_folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # short: the paths of Unix sockets are limited
    environment = os.environ | {
        "TEXTURE_STORE_LOG": "json",
        "TEXTURE_STORE_METRICS_PORT": str(port),
        "RAY_metrics_report_interval_ms": "500",
        "RAY_TMPDIR": str(ray_folder),
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    errors = ray_folder / "errors"
    run = [sys.executable, "-m", "jobs.cli", *arguments(found.store)]
    with errors.open("w") as err:
        driver = subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, stderr=err, text=True)
        while driver.poll() is None:
            found.seen += status(found.store)[0].runs
            scrape(port, found)
            time.sleep(0.5)
    found.status, found.out = driver.returncode, driver.communicate()[0]
    found.lines = [json.loads(line) for line in errors.read_text().splitlines()]
    for log in ray_folder.glob("ray/session_2*/logs/worker-*.err"):
        found.worker_lines += [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"time"')]
    shutil.rmtree(ray_folder, ignore_errors=True)
    return found


def scrape(port: int, found: Watched) -> None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return  # not there yet, or not any more
    for family in text_string_to_metric_families(text):
        by_labels: dict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
        for sample in family.samples:
            kept = {
                name: text for name, text in sample.labels.items() if name in ("dataset", "step", "stage", "reason")
            }
            by_labels[sample.name, tuple(sorted(kept.items()))] += sample.value
        for (name, labels), value in by_labels.items():
            found.samples[name][labels] = max(value, found.samples[name].get(labels, 0.0))


def labels(**facts: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"dataset": "steel", "step": "featurize", **facts}.items()))


def test_the_store_says_how_far_it_is_while_it_runs(watched: Watched):
    assert watched.status == 0, watched.lines[-3:]
    running = [one for one in watched.seen if one.state == "running"]
    assert running, "the run was over before it was seen"
    assert {one.job for one in running} == {"featurize"}
    assert running[-1].silent_seconds < 60
    steps = [step for one in running for step in one.steps]
    assert any(0 < step.done < COUNT + 1 and step.planned == COUNT + 1 and step.rate for step in steps)


def test_the_store_says_how_it_ended(watched: Watched):
    [one] = read_runs(open_storage(watched.store), "steel")
    assert (one.state, one.exit_status, one.error) == ("done", 0, None)
    assert (one.host, one.num_nodes, one.address) == (socket.gethostname(), 1, "local")
    assert one.workers.startswith("1 CPU actor of")
    [step] = one.steps
    assert (step.step, step.unit, step.done, step.rejected, step.failed) == ("featurizing", "images", COUNT + 1, 1, 0)
    assert step.shards_planned == step.shards_done == -(-(COUNT + 1) // SHARD_SIZE)
    assert {"load", "decode", "wait_extract", "extract", "wait_write", "write"} <= set(step.stage_seconds)
    assert step.slowest_stage in ("load", "extract", "write")


def test_every_metric_is_exported_and_counts_what_was_done(watched: Watched):
    names = {one.exported + ("_count" if one.kind == "histogram" else "") for one in METRICS}
    # Nothing failed in this run, so that its counter does not begin.
    assert names - set(watched.samples) == {"ray_texture_store_shards_failed_total"}
    # A worker tells every half second and may end before its last word is read.
    images = watched.samples["ray_texture_store_images_total"]
    assert 0.5 * COUNT < images[labels(stage="extract")] <= COUNT
    assert 0.5 * COUNT < images[labels(stage="load")] <= COUNT
    assert watched.samples[PLANNED.exported][labels()] == COUNT + 1
    seconds = watched.samples["ray_texture_store_stage_seconds_total"]
    assert {dict(one)["stage"] for one in seconds} == set(STAGES)
    [step] = read_runs(open_storage(watched.store), "steel")[0].steps
    extract = seconds[labels(stage="extract")]
    assert 0.5 * step.stage_seconds["extract"] < extract <= step.stage_seconds["extract"] + 0.1
    assert watched.samples["ray_texture_store_bytes_read_total"][labels()] > 0
    rejected = watched.samples["ray_texture_store_rejected_total"]
    assert rejected == {labels(reason="UnreadableImageError"): 1.0}


def test_what_the_dashboard_shows_of_nodes_is_exported(watched: Watched):
    assert {"ray_cluster_active_nodes", "ray_node_cpu_utilization", "ray_node_mem_used", "ray_node_mem_total"} <= set(
        watched.samples
    )


def test_every_line_is_an_object_that_says_what_it_is_about(watched: Watched):
    [run] = read_runs(open_storage(watched.store), "steel")
    for line in watched.lines:
        assert {"time", "level", "job", "dataset", "message"} <= set(line), line
        assert (line["job"], line["dataset"], line["run"]) == ("featurize", "steel", run.run)
    assert any(line.get("step") == "featurizing" and line["planned"] == COUNT + 1 for line in watched.lines)
    json.loads(json.dumps(watched.lines))
    assert SECRET not in json.dumps(watched.lines)


def test_workers_log_shard_and_image(watched: Watched):
    rejected = [line for line in watched.worker_lines if "UnreadableImageError" in str(line["message"])]
    assert [(line["image"], line["job"], line["dataset"]) for line in rejected] == [(BROKEN, "featurize", "steel")]
    assert rejected[0]["shard"]
    done = [line for line in watched.worker_lines if line["message"] == "write: done"]
    assert len({line["shard"] for line in done}) == -(-(COUNT + 1) // SHARD_SIZE)


@pytest.mark.chaos
def test_a_run_that_is_killed_is_told_as_lost(archive: Path, tmp_path: Path):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive), shard_size=SHARD_SIZE)
    driver = start_and_wait(arguments(store), store, num_commits=2)
    [alive] = status(store)[0].runs
    assert alive.state == "running"
    kill(driver)
    [lost] = status(store)[0].runs
    assert (lost.state, lost.run) == ("lost", alive.run)
    assert lost.exit_status is None
    shown = CliRunner().invoke(command, ["--store", store]).stdout
    assert "it may have died; run the same command again" in shown


def test_sigterm_is_told_as_stopped(archive: Path, tmp_path: Path):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive), shard_size=SHARD_SIZE)
    driver = start_and_wait(arguments(store), store, num_commits=1)
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=120)
    [one] = status(store)[0].runs
    assert one.state == "stopped"
    assert one.exit_status == 128 + signal.SIGTERM
