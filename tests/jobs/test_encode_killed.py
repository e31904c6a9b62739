"""fit-dictionary and encode are killed in the middle, run again, and end with the bits of an undisturbed run."""

from pathlib import Path

import numpy as np
import pytest

from jobs.index import index
from texture_store import open_store
from texture_store.objects import open_storage
from texture_store.store.dictionaries import list_dictionaries

from .conftest import texture_store, write_archive
from .killing import commits, kill, start_and_wait

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.filterwarnings("ignore:.*RANDOM")]

COUNT = 40
SHARD_SIZE = 2
LAYERS = ("conv1_2", "conv4_3")


def fit_arguments(store: str) -> list[str]:
    options = ["--size", "128", "--weights", "random:0", "--precision", "float32", "--words", "8", "--sample", "100%"]
    return ["fit-dictionary", "--store", store, "--dataset", "steel", "--layers", ",".join(LAYERS), *options]


def encode_arguments(store: str) -> list[str]:
    (dictionary,) = list_dictionaries(open_storage(store), "steel")
    return ["encode", "--store", store, "--dataset", "steel", "--dictionary", dictionary.id]


def run(arguments: list[str]) -> str:
    result = texture_store(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_both_end_with_the_same_bits(tmp_path: Path):
    archive = write_archive(tmp_path / "archive", count=COUNT, enlarge=8)
    undisturbed, killed = str(tmp_path / "undisturbed"), str(tmp_path / "killed")
    for store in (undisturbed, killed):
        index(store, "steel", str(archive), shard_size=SHARD_SIZE)
    run(fit_arguments(undisturbed))
    run(encode_arguments(undisturbed))

    kill(start_and_wait(fit_arguments(killed), killed, num_commits=3, job="sample"))
    done = {path: path.read_bytes() for path in commits(killed)}
    assert len(done) < COUNT // SHARD_SIZE, "the driver was killed too late to show anything"
    assert list_dictionaries(open_storage(killed), "steel") == []
    assert f"sampling {COUNT - SHARD_SIZE * len(done)} images" in run(fit_arguments(killed))
    assert {path: path.read_bytes() for path in done} == done
    assert files_below(killed, "dictionaries") == files_below(undisturbed, "dictionaries")

    kill(start_and_wait(encode_arguments(killed), killed, num_commits=3, job="encode"))
    done = {path: path.read_bytes() for path in commits(killed)}
    assert len(commits(killed, "encode")) < COUNT // SHARD_SIZE, "the driver was killed too late to show anything"
    run(encode_arguments(killed))
    assert {path: path.read_bytes() for path in done} == done
    for layer in LAYERS:
        expected, found = (vlad(store, layer) for store in (undisturbed, killed))
        assert len(found[0]) == len(set(found[0])) == COUNT
        assert found[0] == expected[0]
        assert np.array_equal(found[1].view(np.uint32), expected[1].view(np.uint32))
        assert np.array_equal(found[2], expected[2])


def files_below(store: str, folder: str) -> dict[str, bytes]:
    found = Path(store, folder).rglob("*.parquet")
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in found}


def vlad(store: str, layer: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    opened = open_store(store)
    (spec,) = [name for name, spec in opened.specs("steel").items() if spec.dictionary]
    features = opened.features("steel", encoder="vlad", layer=layer, spec=spec)
    return features.rows["path"].tolist(), features.to_numpy(), features.counts()
