"""Two jobs on one store at the same time leave what they leave one after the other.

Two `index` at once: tests/jobs/test_index.py.
"""

import multiprocessing
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from jobs.evaluate import evaluate
from jobs.evaluation_request import EvaluationRequest
from jobs.index import index
from jobs.publish import publish_dataset
from jobs.shards import ShardsSummary
from tests.chaos.whole import assert_equal
from tests.made_store import DEEP_MEAN, GRAM, MEAN, MadeStore
from texture_store import open_store

from .conftest import write_archive
from .killing import commits, start_and_wait

COUNT, SHARD_SIZE, ADDED = 60, 2, 10
LAYERS = ("conv1_2", "conv3_3")
NOT_THE_SAME = ["seconds", "created"]
"""Columns of an evaluation's rows that no two runs share."""

with_ray = [
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.*RANDOM"),
]
Run = Callable[..., ShardsSummary]


def with_marks(function: Callable[..., None]) -> Callable[..., None]:
    for mark in with_ray:
        function = mark(function)
    return function


def start(store: Path, encoders: str, *, num_commits: int) -> subprocess.Popen[str]:
    """featurize in a process and a Ray of its own, at work when this returns."""
    settings = ["--size", "64x64", "--weights", "random:0", "--precision", "float32", "--layers", ",".join(LAYERS)]
    arguments = ["featurize", "--store", str(store), "--dataset", "steel", "--encoders", encoders, *settings]
    return start_and_wait(arguments, str(store), num_commits=num_commits)


def finish(driver: subprocess.Popen[str]) -> None:
    assert driver.poll() is None, "the other job was over before this one: nothing was shown"
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, errors


def take_index(store: Path, archive: Path) -> None:
    index(str(store), "steel", str(archive), labels=str(archive / "labels.csv"), shard_size=SHARD_SIZE)


def scores(store: Path, spec: str) -> pd.DataFrame:
    request = EvaluationRequest(
        str(store), "steel", encoders=("mean",), layers=("conv1_2",), trials=2, trees=20, spec=spec
    )
    return evaluate(request)[1]


@with_marks
def test_two_featurize_an_index_among_them_and_an_evaluate(tmp_path: Path, run_featurize: Run):
    archive = write_archive(tmp_path / "archive", count=COUNT, enlarge=8)
    one_by_one, at_once = tmp_path / "one_by_one", tmp_path / "at_once"

    def here(store: Path, *encoders: str) -> ShardsSummary:
        return run_featurize(str(store), encoders=encoders, layers=LAYERS)

    for store in (one_by_one, at_once):
        take_index(store, archive)
    other = start(at_once, "mean", num_commits=2)
    both = here(at_once, "mean")  # the same work as the other one's
    assert 0 < both.computed <= COUNT
    assert (both.featurized, both.pending) == (COUNT, 0)
    _, errors = other.communicate(timeout=400)
    assert other.returncode == 0, errors
    assert here(one_by_one, "mean").featurized == COUNT
    assert assert_equal(at_once, one_by_one) == COUNT * len(LAYERS)

    other = start(at_once, "max", num_commits=len(commits(str(at_once))) + 2)
    write_archive(archive, first=COUNT, count=ADDED, enlarge=8)
    (spec,) = open_store(str(at_once)).specs("steel")
    during = scores(at_once, spec)
    take_index(at_once, archive)
    finish(other)
    expected = scores(one_by_one, spec)
    pd.testing.assert_frame_equal(during.drop(columns=NOT_THE_SAME), expected.drop(columns=NOT_THE_SAME))
    assert here(at_once, "mean", "max").featurized == COUNT + ADDED
    assert here(one_by_one, "max").featurized == COUNT
    take_index(one_by_one, archive)
    assert here(one_by_one, "mean", "max").featurized == COUNT + ADDED
    assert assert_equal(at_once, one_by_one) == (COUNT + ADDED) * len(LAYERS) * 2


def test_two_publish(tmp_path: Path):
    paths = [f"{number}.tif" for number in range(40)]
    stores = []
    for name in ("one_by_one", "at_once"):
        made = MadeStore.at(tmp_path / name)
        made.index("steel", paths)
        made.commit("steel", "s0", paths, pairs=[MEAN, GRAM, DEEP_MEAN])
        stores.append(made.url)
    publish_dataset(stores[0], "steel", part_bytes=1000)
    spawned = multiprocessing.get_context("spawn")  # a fork would take the signal handlers of this run's Ray along
    with spawned.Pool(4, _wait_for_each_other, (spawned.Barrier(4),)) as processes:
        done = [processes.apply_async(_publish_together, (stores[1],)) for _ in range(4)]
        assert {one.get(timeout=100) for one in done} == {3 * len(paths)}
    one_by_one, at_once = (files_below(url) for url in stores)
    assert len(at_once) > 3 * 2, "one part each shows nothing"
    assert at_once == one_by_one


_together: list[threading.Barrier] = []


def _wait_for_each_other(barrier: threading.Barrier) -> None:
    _together.append(barrier)


def _publish_together(url: str) -> int:
    _together[0].wait()
    return sum(one.rows for one in publish_dataset(url, "steel", part_bytes=1000))


def files_below(url: str) -> dict[str, bytes]:
    root = Path(url) / "published"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
