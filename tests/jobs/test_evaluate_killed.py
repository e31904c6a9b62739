"""evaluate is killed in the middle, run again, and ends with the rows of an undisturbed run."""

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.made_store import MadeStore
from texture_store import open_store

from .conftest import texture_store
from .killing import kill

pytestmark = [pytest.mark.ray, pytest.mark.chaos]

PATHS = [f"piece{i // 4:02}/{i:03}.tif" for i in range(120)]
PAIRS = [("mean", "conv1_2"), ("max", "conv1_2")]
ROWS = len(PAIRS) * 2 * 3  # protocols, trials
NOT_THE_SAME = ["seconds", "created"]


def make(folder: Path) -> str:
    made = MadeStore.at(folder / "store")
    made.index("steel", PATHS, labels={path: "ab"[i // 4 % 2] for i, path in enumerate(PATHS)})
    made.commit("steel", "s0", PATHS, pairs=PAIRS)
    return made.url


def arguments(store: str) -> list[str]:
    return ["evaluate", "--store", store, "--dataset", "steel", "--trials", "3", "--trees", "200"]


def written(store: str) -> list[Path]:
    return list(Path(store).glob("evaluations/*/*.parquet"))


def rows(store: str) -> pd.DataFrame:
    frame = open_store(store).evaluations("steel").drop(columns=NOT_THE_SAME)
    return frame.map(lambda value: str(value) if isinstance(value, dict) else value)


def test_a_killed_run_is_resumed_and_ends_with_the_rows_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed, store = make(tmp_path / "undisturbed"), make(tmp_path / "killed")
    driver = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *arguments(store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(written(store)) < 2:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline, "no rows within 120 s"
        time.sleep(0.02)
    kill(driver)
    done = {path: path.read_bytes() for path in written(store)}
    assert 2 <= len(done) < ROWS, "the driver was killed too late to show anything"
    again = texture_store(*arguments(store))
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} of {ROWS} trials are in the store already" in again.stderr
    assert {path: path.read_bytes() for path in done} == done
    assert texture_store(*arguments(undisturbed)).returncode == 0
    assert len(rows(undisturbed)) == ROWS
    pd.testing.assert_frame_equal(rows(store), rows(undisturbed), check_exact=True)
