"""fit-dictionary --positions all: words of every descriptor of the images, as the paper likely had them."""

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.dictionary_fits import Learning
from jobs.encode import EncodeRequest, encode
from jobs.fit_dictionary import fit_dictionary
from jobs.index import index
from jobs.planning import Request
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import random_weights
from texture_store.micrograph.reading import read_micrograph
from texture_store.objects import open_storage
from texture_store.spec import make_pixel_spec
from texture_store.store.commits import read_commits
from texture_store.store.dictionaries import choose_dictionary, read_dictionaries
from texture_store.store.reader import open_store
from texture_store.store.samples import read_sample
from texture_store.store.snapshots import latest_snapshot

from .conftest import write_archive

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore:.*RANDOM")]

LAYERS = ("conv2_2",)
PIXELS = make_pixel_spec(size="96x96")
NUM_POSITIONS = 48 * 48


def fit(store: str, learning: Learning):
    settings = {"pixels": PIXELS, "weights": "random:0", "precision": "float32"}
    request = Request(store, "steel", encoders=(learning.product,), layers=learning.layers, **settings)
    return fit_dictionary(request, learning)[0]


def test_words_are_learnt_from_every_position_and_checked_by_every_one(tmp_path: Path, ray_session: None):
    archive = write_archive(tmp_path / "archive", count=9)
    store = str(tmp_path / "store")
    index(store, "steel", str(archive), shard_size=2)
    learning = Learning(LAYERS, num_words=3, share=1.0, starts=1, all_positions=True)
    summary = fit(store, learning)
    assert summary.sampled == 9
    storage = open_storage(store)
    found = read_dictionaries(storage, "steel", choose_dictionary(storage, "steel", summary.dictionary))
    assert Learning.of(found) == learning
    source = found.learnt_from
    assert source.num_descriptors == len(source.images) * NUM_POSITIONS

    commits = read_commits(storage, "steel", summary.spec)
    stored = read_sample(storage, "steel", summary.spec, commits, "conv2_2", source.images, "positions")
    table = latest_snapshot(storage, "steel").table
    path_of = dict(zip(table["image_id"].to_pylist(), table["path"].to_pylist(), strict=True))
    network = VGG16(random_weights(seed=0), precision="float32", device="cpu")
    expected = np.concatenate([descriptors_of(network, archive, path_of[image_id]) for image_id in source.images])
    np.testing.assert_allclose(stored.descriptors, expected, rtol=1e-4, atol=1e-3)
    assert np.bincount(stored.image_of).tolist() == [NUM_POSITIONS] * len(source.images)
    squared = ((stored.descriptors[:, None].astype(np.float64) - found.words["conv2_2"].astype(np.float64)) ** 2).sum(2)
    assert source.error == pytest.approx(squared.min(1).mean(), rel=1e-5)

    # Samples are something else beside it, and have a dictionary of their own.
    sampled = fit(store, Learning(LAYERS, num_words=3, share=1.0, starts=1))
    assert sampled.dictionary != summary.dictionary
    assert fit(store, learning).was_there

    write_archive(tmp_path / "archive", count=3, first=9)
    index(store, "steel", str(archive), shard_size=2)
    done = encode(EncodeRequest(store, "steel", dictionary=summary.dictionary))
    assert (done.featurized, done.new_images) == (12, 3)
    assert "3 sampled" in done.drift["conv2_2"]
    vlad = open_store(store).features("steel", encoder="vlad", layer="conv2_2", spec=done.spec)
    assert vlad.counts().sum(1).tolist() == [NUM_POSITIONS] * 12


def test_a_dictionary_of_samples_has_the_id_that_it_always_had():
    """`positions` is not in the text that the id is a hash of, unless it is `all`."""
    from texture_store.store.dictionaries import LearntFrom

    values = {"dataset": "steel", "snapshot": 1, "spec": "s", "layer": "conv1_2", "share": 0.2, "num_words": 32}
    values |= {"seed": 0, "starts": 4, "images": ("a",), "num_descriptors": 256, "error": 1.5, "held_out": ()}
    values |= {"held_out_errors": ()}
    text = LearntFrom(**values).to_json()
    assert json.loads(text) == {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    assert list(json.loads(text)) == list(values)
    assert json.loads(LearntFrom(**values, positions="all").to_json())["positions"] == "all"


def descriptors_of(network: VGG16, archive: Path, path: str) -> np.ndarray:
    import torch

    seen = read_micrograph((archive / path).read_bytes(), PIXELS, name=path).seen
    ((_, maps),) = network.feature_maps(torch.from_numpy(seen[None]), ["conv2_2"])
    return maps[0].reshape(128, -1).T.numpy()
