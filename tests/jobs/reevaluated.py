"""A small archive of two classes that random weights tell apart, and a recipe for it."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

RECIPE = """\
dataset = "steel"
archive = "{archive}"
store = "{store}"

[index]
labels = "{archive}/labels.csv"
shard_size = 4

[featurize]
size = 64
encoders = ["mean"]
layers = ["conv1_2", "conv2_2"]
weights = "random:0"
precision = "float32"

[evaluate]
trials = 3
trees = 10
protocol = ["image"]

[compare]
worse_by = 0.05
"""
VLAD = """
[vlad]
size = 64
layers = ["conv1_2"]
words = 4
weights = "random:0"
precision = "float32"
sample = "100%"
"""


def add_pictures(folder: Path, *, first: int, count: int, swapped: bool = False) -> None:
    """Pictures of noise, coarse and fine by turns, named by that; with `swapped` each has the other one's name."""
    folder.mkdir(parents=True, exist_ok=True)
    is_new = not (folder / "labels.csv").exists()
    with (folder / "labels.csv").open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["path", "label"])
        for number in range(first, first + count):
            width = 9 if number % 2 else 2
            noise = np.random.default_rng(number).normal(size=(64 + width - 1, 64 + width - 1))
            smooth = np.lib.stride_tricks.sliding_window_view(noise, (width, width)).mean((2, 3)) * width
            Image.fromarray(np.clip(128 + 30 * smooth, 0, 255).astype(np.uint8)).save(folder / f"p{number:03}.png")
            writer.writerow([f"p{number:03}.png", "coarse" if bool(number % 2) != swapped else "fine"])


def write_recipe(folder: Path, *, extra: str = "", **changes: str) -> str:
    """The path of a recipe for `folder`/archive and `folder`/store; `changes` replace texts in it."""
    text = RECIPE.replace("{archive}", str(folder / "archive")).replace("{store}", str(folder / "store")) + extra
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "recipe.toml"
    path.write_text(text)
    return str(path)


def trial_rows(store: str) -> dict[str, dict[str, Any]]:
    """Every trial of a local store, by its key, without the times."""
    found = {}
    for path in Path(store).glob("evaluations/*/*.parquet"):
        (row,) = pq.ParquetFile(path).read().to_pylist()
        found[row["key"]] = {name: row[name] for name in row if name not in ("seconds", "created")}
    return found


def summary(stdout: str) -> dict[str, Any]:
    """Of `--json`."""
    found: dict[str, Any] = json.loads(stdout)
    return found
