"""benchmark: the record, and a run that is too small to say anything about speed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs import benchmark_evaluate, benchmark_limit, benchmark_network
from jobs.benchmark import Figure, Record, as_markdown, command
from texture_store.errors import StoreError

FIGURES = [
    Figure("a run", 12.5, "s", "on one core"),
    Figure("two against one", 1.62, "x", "seconds of one / of two", wanted=1.7),
    Figure("four against one", 3.1, "x", "seconds of one / of four"),
]


def test_ratios_come_first_and_a_missed_mark_is_said() -> None:
    page = as_markdown(Record("2026-11-25T10:00:00+00:00", {"processor": "P"}, {"numpy": "2"}, {"evaluate": FIGURES}))
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert rows == [
        "| two against one | 1.62 x | 1.7 x, missed | seconds of one / of two |",
        "| four against one | 3.1 x | - | seconds of one / of four |",
        "| a run | 12.5 s | - | on one core |",
    ]
    assert "# Benchmark of 2026-11-25" in page
    assert "- processor: P" in page


def test_large_figures_are_written_out() -> None:
    limit = Figure("limit", 781234.5, "GFLOP/s", "H200")
    page = as_markdown(Record("2026-11-25T10:00:00+00:00", {}, {}, {"limit": [limit]}))
    assert "| limit | 781,234 GFLOP/s | - | H200 |" in page


def test_what_should_be_small_is_missed_above_its_mark() -> None:
    small, large = (Figure("memory", value, "GB", "", at_most=4) for value in (3.9, 4.1))
    assert (small.mark, large.mark) == ("at most 4 GB", "at most 4 GB, missed")
    assert Figure("rate", 1.0, "x", "").mark == "-"


def test_a_part_that_fails_is_told_and_the_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is written whatever happens, and lies there unfinished meanwhile."""
    seen: list[str] = []

    def fails(bench: object) -> list[Figure]:
        (unfinished,) = (tmp_path / "records").iterdir()
        seen.append(unfinished.read_text())
        raise StoreError("no disk\nleft; free some")

    monkeypatch.setattr(benchmark_limit, "measure_limit", lambda bench: FIGURES)
    monkeypatch.setattr(benchmark_network, "measure_network", fails)
    result = CliRunner().invoke(
        command, ["--parts", "limit,network,bytes", "--weights", "nowhere.pth", "--output", str(tmp_path / "records")]
    )
    assert result.exit_code == 1
    assert "two against one" in seen[0]
    page, data = sorted((tmp_path / "records").iterdir(), key=lambda file: file.suffix, reverse=True)
    assert "two against one" in page.read_text()
    assert "Failed: no disk left; free some" in page.read_text()
    failed = json.loads(data.read_text())["failed"]
    assert failed["network"] == "no disk left; free some"
    assert "nowhere.pth" in failed["bytes"]
    assert "network failed: no disk left; free some" in result.stderr.splitlines()


def test_an_unknown_part_is_wrong_usage() -> None:
    result = CliRunner().invoke(command, ["--parts", "coffee"])
    assert result.exit_code == 2
    assert "--parts coffee: choose from limit, network" in result.stderr


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore:.*RANDOM")
def test_evaluate_is_run_in_turns_and_scores_the_same(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("IMAGES_PER_CLASS", 3), ("TRIALS", 1), ("ROUNDS", 1)):
        monkeypatch.setattr(benchmark_evaluate, name, value)
    result = CliRunner().invoke(
        command, ["--parts", "evaluate", "--weights", "random:0", "--output", str(tmp_path / "records"), "--json"]
    )
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    figures = {one["name"]: one for one in record["parts"]["evaluate"]}
    assert figures["same rows"]["value"] == 1
    assert figures["evaluate on one core"]["value"] > 0
    assert (
        "12 trials of 3 folds of 400 trees: mean and max, 6 layers, 24 images" in figures["evaluate on one core"]["how"]
    )
    page, data = (Path(url) for url in record["files"])
    assert (page.suffix, data.suffix) == (".md", ".json")
    assert json.loads(data.read_text())["parts"] == record["parts"]
