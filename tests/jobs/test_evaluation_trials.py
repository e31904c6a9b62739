"""What is decided about memory; the trials themselves are in test_evaluate."""

from pathlib import Path

import pytest

from jobs.evaluation_sets import FeatureSet
from jobs.evaluation_trials import TRIAL_BYTES, Room, reason
from tests.made_store import MEAN, MadeStore
from texture_store import open_store

PATHS = [f"{i}.tif" for i in range(10)]
BYTES = 4 * 10 * 64
"""Of the matrix of `feature_set`."""


@pytest.fixture
def feature_set(tmp_path: Path) -> FeatureSet:
    made = MadeStore.at(tmp_path)
    made.index("steel", PATHS)
    made.commit("steel", "s0", PATHS)
    features = open_store(made.url).features("steel", encoder=MEAN[0], layer=MEAN[1])
    return FeatureSet("mean", "conv1_2", (features,), "as stored")


def test_matrices_that_are_alive_stay_within_a_share_of_the_object_store(feature_set: FeatureSet) -> None:
    room = Room(cpus=8, store_bytes=5 * BYTES, memory_bytes=1e9)  # 40 % are two matrices
    assert room.fits({}, feature_set, 0)
    assert room.fits({0: BYTES}, feature_set, 4)
    assert not room.fits({0: BYTES, 1: BYTES}, feature_set, 8)


def test_a_matrix_that_is_larger_than_the_share_is_alone(feature_set: FeatureSet) -> None:
    room = Room(cpus=8, store_bytes=BYTES, memory_bytes=1e9)
    assert room.fits({}, feature_set, 0)
    assert not room.fits({0: 1}, feature_set, 1)


def test_no_more_trials_wait_than_keep_all_cpus_busy(feature_set: FeatureSet) -> None:
    room = Room(cpus=2, store_bytes=1e9, memory_bytes=1e9)
    assert room.fits({0: BYTES}, feature_set, 3)
    assert not room.fits({0: BYTES}, feature_set, 4)


def test_a_trial_never_asks_for_more_memory_than_a_node_has(feature_set: FeatureSet) -> None:
    assert Room(cpus=2, store_bytes=1e9, memory_bytes=1e6).memory(feature_set, "forest") == 900_000
    plenty = Room(cpus=2, store_bytes=1e9, memory_bytes=1e12)
    assert TRIAL_BYTES + BYTES < plenty.memory(feature_set, "forest") < plenty.memory(feature_set, "svm")


def test_an_error_is_told_in_one_line() -> None:
    assert reason(ValueError("first\nsecond")) == "ValueError: first"
    assert reason(MemoryError()) == "MemoryError: no message"
