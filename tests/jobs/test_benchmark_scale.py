"""The benchmark's part `scale`: every step at sizes that are too small to say anything about speed."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs import benchmark_scale, benchmark_scale_steps
from jobs.benchmark import command
from jobs.benchmark_scale import SHOWN, figures_of, sizes_of
from jobs.benchmark_scale_steps import STEPS
from texture_store.errors import StoreError, UsageError
from texture_store.store.commits import read_log
from texture_store.store.reader import open_store

FINGERPRINT = benchmark_scale_steps.SPEC.fingerprint


@pytest.mark.slow
def test_steps_are_measured_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process takes a second to start: two steps are enough, the next test runs all of them.
    monkeypatch.setattr(benchmark_scale, "STEPS", ("listing", "index"))
    monkeypatch.setattr(benchmark_scale, "SHOWN", {"index": SHOWN["index"]})
    result = CliRunner().invoke(command, ["--parts", "scale", "--sizes", "1300,1000", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)["parts"]["scale"]
    assert [one["unit"] for one in figures] == ["x", "x", "us an image", "kB an image"]
    assert all("1,000" in one["how"] and "1,300" in one["how"] for one in figures)
    peaks = [float(text) for text in figures[-1]["how"].split(" MB")[0].split(",")]
    assert all(50 < peak < 1000 for peak in peaks)  # MB: not bytes


def test_what_is_shown_are_steps() -> None:
    assert set(SHOWN) <= set(STEPS)
    assert {step for steps in benchmark_scale.PARTS_OF.values() for step in steps} <= set(STEPS)


def test_the_steps_make_the_store_that_a_run_makes(tmp_path: Path) -> None:
    num_images = 1300
    for name, step in STEPS.items():
        assert step(tmp_path, num_images) >= 0, name
    store = open_store(str(tmp_path / "store"))
    images = store.images("scale")
    assert images.num_rows == num_images
    assert set(images["label"].to_pylist()) == {"steel-00"}
    log = read_log(store.storage, "scale", FINGERPRINT)
    # 21 shards of 64, 18 feature files and one of facts each, in one checkpoint.
    assert (len(log.records), log.num_loose, log.checkpoint) == (21, 0, 1)
    assert all(len(record.products) == 18 for record in log.records)
    settled = [image for record in log.records for image in (*record.members, *record.rejected)]
    assert sorted(settled) == sorted(images["image_id"].to_pylist())
    assert store.snapshots("scale") == [1]


def test_a_step_that_finds_another_number_of_images_is_no_measurement(tmp_path: Path) -> None:
    STEPS["listing"](tmp_path, 1000)
    with pytest.raises(StoreError, match="1,000 images were indexed, 1,001 were expected"):
        STEPS["index"](tmp_path, 1001)


def test_a_slope_leaves_out_what_a_process_needs_by_itself() -> None:
    seconds = {1000: 9.0, 10_000: 1.0, 110_000: 3.0}
    peaks = {1000: 0.0, 10_000: 150e6, 110_000: 350e6}
    time_left, memory_left, time, memory = figures_of("index", "a listing", seconds, seconds, peaks)
    assert (time.value, time.unit) == (pytest.approx(20), "us an image")
    assert (memory.value, memory.unit) == (pytest.approx(2), "kB an image")
    assert time_left.value == pytest.approx(60 / (3 + 0.89 * 20))
    assert memory_left.value == pytest.approx(2e9 / (350e6 + 890_000 * 2000))
    assert time_left.how == "on the line through 10,000 and 110,000"
    assert not time_left.is_missed
    assert dataclasses.replace(time_left, value=0.99).is_missed


def test_chance_at_small_sizes_does_not_make_a_million_cheap() -> None:
    falling = {1000: 2.0, 2000: 1.0}
    assert figures_of("index", "a listing", falling, falling, falling)[0].value == 60


def test_what_was_measured_at_a_million_is_not_extrapolated() -> None:
    points = {1_000_000: 30.0, 2_000_000: 500.0}
    first = figures_of("index", "a listing", points, points, points)[0]
    assert (first.value, first.how) == (2, "measured")


@pytest.mark.parametrize("text", ["", "10000", "10000,10000", "10000,1e5", "999,10000", "10000,-5"])
def test_sizes_that_give_no_slope_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="two or more numbers"):
        sizes_of(text)


def test_sizes_rise() -> None:
    assert sizes_of("1000000, 10000") == (10_000, 1_000_000)
    assert sizes_of(None) == (10_000, 100_000)
