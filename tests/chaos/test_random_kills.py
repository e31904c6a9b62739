"""Drivers, workers, actors and raylets are killed at random; the same command again gives an undisturbed run's bits.

TEXTURE_STORE_CHAOS_SEED repeats a run's choices (it is printed; times still differ). TEXTURE_STORE_LONG_TESTS=1 kills
through featurize, added images, fit-dictionary, encode, evaluate and publish: 25 times and more.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.index import index
from tests.jobs.conftest import texture_store, write_archive
from texture_store.objects import open_storage
from texture_store.store.dictionaries import list_dictionaries

from .monkey import RAY_KINDS, Monkey
from .whole import DATASET, Committed, assert_equal, assert_part_of, feature_sets

pytestmark = [
    pytest.mark.ray,
    pytest.mark.chaos,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*RANDOM"),
]

IS_LONG = os.environ.get("TEXTURE_STORE_LONG_TESTS") == "1"
COUNT, SHARD_SIZE, ADDED = 96 if IS_LONG else 48, 2, 12
LAYERS = "conv1_2,conv3_3,conv5_3"
PIXELS = ["--size", "64", "--weights", "random:0", "--precision", "float32"]


def featurize(store: Path) -> list[str]:
    return ["featurize", "--store", str(store), "--dataset", DATASET, "--layers", LAYERS, *PIXELS]


def fit(store: Path) -> list[str]:
    learning = ["--layers", "conv1_2", "--words", "4", "--sample", "100%"]
    return ["fit-dictionary", "--store", str(store), "--dataset", DATASET, *learning, *PIXELS]


def encode(store: Path) -> list[str]:
    (dictionary,) = list_dictionaries(open_storage(str(store)), DATASET)
    return ["encode", "--store", str(store), "--dataset", DATASET, "--dictionary", dictionary.id, "--refit", "never"]


def evaluate(store: Path) -> list[str]:
    settings = ["--encoders", "mean", "--layers", "conv1_2", "--trials", "3", "--trees", "60"]
    (spec,) = {name for name, encoder, _ in feature_sets(store) if encoder == "mean"}
    return ["evaluate", "--store", str(store), "--dataset", DATASET, "--spec", spec, *settings]


def publish(store: Path) -> list[str]:
    (spec,) = {name for name, encoder, _ in feature_sets(store) if encoder == "mean"}
    return ["publish", "--store", str(store), "--dataset", DATASET, "--spec", spec]


def take_index(store: Path, archive: Path) -> None:
    index(str(store), DATASET, str(archive), labels=str(archive / "labels.csv"), shard_size=SHARD_SIZE)


def must(arguments: list[str]) -> None:
    result = texture_store(*arguments, timeout=400)
    assert result.returncode == 0, result.stderr


def indexed_twice(folder: Path) -> tuple[Path, Path, Path]:
    """An archive, and two stores that it is indexed in; the second, the undisturbed one, has its features."""
    archive = write_archive(folder / "archive", count=COUNT, enlarge=8)
    store, undisturbed = folder / "store", folder / "undisturbed"
    for one in (store, undisturbed):
        take_index(one, archive)
    must(featurize(undisturbed))
    return archive, store, undisturbed


@pytest.fixture
def monkey() -> Iterator[Monkey]:
    seed = int(os.environ.get("TEXTURE_STORE_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TEXTURE_STORE_CHAOS_SEED={seed}")
    monkey = Monkey(seed)
    started = time.monotonic()
    yield monkey
    kills = ", ".join(f"{number} {kind}" for kind, number in sorted(monkey.kills.items()))
    print(f"{monkey.num_kills} kills ({kills}) in {time.monotonic() - started:.0f} s;", end=" ")
    print(f"longest time without a new file {monkey.longest_stall:.0f} s")


def test_featurize_is_killed_in_every_part(tmp_path: Path, monkey: Monkey) -> None:
    _, store, undisturbed = indexed_twice(tmp_path)
    whole, committed = feature_sets(undisturbed), Committed(store)

    def look() -> None:
        committed.look()
        print("rows that a reader sees:", assert_part_of(feature_sets(store), whole))

    kinds = [*RAY_KINDS, "extract actor", "load worker"]
    monkey.run(featurize(store), store, kinds=kinds, between=look)
    assert monkey.num_kills >= 6, monkey.kills
    assert assert_equal(store, undisturbed) == COUNT * 9


@pytest.mark.skipif(not IS_LONG, reason="runs with TEXTURE_STORE_LONG_TESTS=1")
def test_every_step_is_killed(tmp_path: Path, monkey: Monkey) -> None:
    archive, store, undisturbed = indexed_twice(tmp_path)
    committed = Committed(store)

    def disturbed(arguments: list[str], kinds: list[str]) -> None:
        monkey.run(arguments, store, kinds=kinds, between=committed.look)
        print(f"{arguments[0]}: {monkey.num_kills} kills so far, {len(committed)} files committed")

    disturbed(featurize(store), [*RAY_KINDS] * 3)
    assert_equal(store, undisturbed)
    write_archive(archive, first=COUNT, count=ADDED, enlarge=8)
    for one in (store, undisturbed):
        take_index(one, archive)
    for command in (featurize, fit, encode, evaluate, publish):
        must(command(undisturbed))
    disturbed(featurize(store), ["driver", "extract actor", "load worker"])
    disturbed(fit(store), [*RAY_KINDS])
    disturbed(encode(store), [*RAY_KINDS])
    disturbed(evaluate(store), ["driver", "raylet"])
    disturbed(publish(store), [])
    assert monkey.num_kills >= 25, monkey.kills
    assert assert_equal(store, undisturbed) == (COUNT + ADDED) * 10
