"""Small archives and stores for the jobs' tests."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from jobs.featurize import featurize
from jobs.planning import Request
from jobs.shards import ShardsSummary
from texture_store.spec import make_pixel_spec


def write_archive(folder: Path, *, count: int = 10, first: int = 0, enlarge: int = 1) -> Path:
    """`count` pictures of 80x64 px (times `enlarge`) of filtered noise, PNG and TIFF by turns, and a labels.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        noise = np.random.default_rng(number).normal(size=(64 + 8, 80 + 8))
        smooth = np.lib.stride_tricks.sliding_window_view(noise, (9, 9)).mean((2, 3))
        grey = np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)
        name = f"image{number:03}.{'png' if number % 2 else 'tif'}"
        Image.fromarray(np.kron(grey, np.ones((enlarge, enlarge), np.uint8))).save(folder / name)
        rows.append({"path": name, "label": f"class{number % 2}", "specimen": f"0{number % 3}"})
    with (folder / "labels.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "specimen"])
        if first == 0:
            writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of 10 small pictures with labels."""
    return write_archive(tmp_path / "archive")


@pytest.fixture
def run_featurize(ray_session: None) -> Callable[..., ShardsSummary]:
    """`featurize` at 64x64 px with random weights, in this process and its Ray."""

    def run(store_url: str, dataset: str = "steel", **changes: object) -> ShardsSummary:
        settings = {
            "pixels": make_pixel_spec(size="64x64"),
            "weights": "random:0",
            "precision": "float32",
        } | changes
        return featurize(Request(store_url=store_url, dataset=dataset, **settings))

    return run


@pytest.fixture(scope="session")
def explained(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[str, Result]:
    """A store that explain has run on (half a minute), and what it printed. Not to be changed."""
    from tests.jobs.explained import explain_an_archive

    return explain_an_archive(tmp_path_factory.mktemp("explained"))


def texture_store(*args: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user starts it."""
    command = [sys.executable, "-m", "jobs.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def whole_store(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(store, archive) of `tests.whole_store`; both are to be left as they are."""
    from tests.whole_store import make_archive, run_everything

    folder = tmp_path_factory.mktemp("whole")
    archive = make_archive(folder / "archive")
    run_everything(str(folder / "store"), archive)
    return folder / "store", archive
