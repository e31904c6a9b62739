"""evaluate --strict on a real Ray: no word that a trial uses was learnt from an image that it is tested on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from scipy.spatial.distance import cdist
from sklearn.ensemble import RandomForestClassifier

from jobs import evaluation_folds
from jobs.cluster import Workers
from jobs.dictionary_fits import Learning
from jobs.encode import EncodeRequest, encode
from jobs.evaluate import command
from jobs.fit_dictionary import fit_dictionary
from jobs.index import index
from jobs.planning import Request
from texture_store import open_store
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import random_weights
from texture_store.encoding.dictionary import fit_words
from texture_store.encoding.sampling import sample_positions
from texture_store.evaluation.folds import make_folds
from texture_store.evaluation.trial import estimator_seed
from texture_store.micrograph.reading import read_micrograph
from texture_store.objects import open_storage
from texture_store.spec import make_pixel_spec
from texture_store.store.dictionaries import choose_dictionary, read_dictionaries

from .conftest import write_archive

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore:.*RANDOM")]

LEARNING = Learning(("input", "conv1_2"), num_words=3, share=0.5, seed=3, starts=1)
PIXELS = make_pixel_spec(size="64x64")
TREES = 15
COUNT = 21


@pytest.fixture(scope="module")
def encoded(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """An archive of pictures of two classes and three specimens, a store with its VLAD features, and their spec."""
    folder = tmp_path_factory.mktemp("strict")
    archive = write_archive(folder / "archive", count=COUNT)
    store = str(folder / "store")
    index(store, "steel", str(archive), labels=str(archive / "labels.csv"), shard_size=8)
    settings = {"pixels": PIXELS, "weights": "random:0", "precision": "float32"}
    request = Request(store, "steel", encoders=("sample",), layers=LEARNING.layers, **settings)
    summary, _ = fit_dictionary(request, LEARNING)
    assert summary is not None
    return archive, store, encode(EncodeRequest(store, "steel", dictionary=summary.dictionary)).spec


def run(store: str, spec: str, *arguments: str) -> Result:
    options = ["--store", store, "--dataset", "steel", "--spec", spec, "--trees", str(TREES), "--strict"]
    return CliRunner().invoke(command, [*options, *arguments])


def maps_of(archive: Path, paths: list[str], layer: str) -> list[np.ndarray]:
    """float32 (N, D): all descriptors of each picture."""
    network = VGG16(random_weights(seed=0), precision="float32", device="cpu")
    found = []
    for path in paths:
        seen = read_micrograph((archive / path).read_bytes(), PIXELS).seen
        ((_, maps),) = network.feature_maps(torch.from_numpy(seen[None]), [layer])
        found.append(maps[0].flatten(1).T.numpy())
    return found


def normalised_vlad(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    words = words.astype(np.float64)
    nearest = cdist(descriptors.astype(np.float64), words).argmin(axis=1)
    sums = np.stack([(descriptors[nearest == k] - words[k]).sum(axis=0) for k in range(len(words))])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums = sums / np.where(lengths == 0, 1, lengths)
    return sums.ravel() / np.linalg.norm(sums)


def test_words_are_learnt_without_the_tested_fold_and_scores_are_those_of_a_plain_loop(encoded) -> None:
    archive, store, spec = encoded
    result = run(store, spec, "--trials", "2", "--layers", "conv1_2", "--json")
    assert result.exit_code == 0, result.output
    # By group both trials split the three specimens in the same way.
    assert "--strict: 9 dictionaries of conv1_2 for the folds of 4 trials; 9 still to be learnt" in result.stderr
    assert "then one pass over 21 images" in result.stderr
    rows = open_store(store).evaluations("steel")
    strict = rows[rows["strict"]]
    assert sorted(zip(strict["protocol"], strict["trial"], strict=True)) == [
        ("group", 0),
        ("group", 1),
        ("image", 0),
        ("image", 1),
    ]
    features = open_store(store).features("steel", encoder="vlad", layer="conv1_2", spec=spec)
    paths, ids = features.rows["path"].tolist(), features.rows["image_id"].tolist()
    labels, specimens = (features.rows[name].to_numpy(str) for name in ("label", "specimen"))
    descriptors = maps_of(archive, paths, "conv1_2")
    storage = open_storage(store)
    source = read_dictionaries(
        storage, "steel", choose_dictionary(storage, "steel", features.spec.dictionary)
    ).learnt_from
    for row in strict.itertuples():
        groups = specimens if row.protocol == "group" else None
        folds = make_folds(labels, folds=3, seed=row.seed, groups=groups)
        predicted = np.empty_like(labels)
        for fold in range(3):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            sample = [
                descriptors[i][sample_positions(len(descriptors[i]), 256, key=f"{paths[i]}\nconv1_2")]
                for i in train
                if ids[i] in source.images
            ]
            words = fit_words(np.concatenate(sample), 3, seed=3, starts=1).words_KD
            matrix = np.stack([normalised_vlad(one, words) for one in descriptors]).astype(np.float32)
            forest = RandomForestClassifier(TREES, random_state=estimator_seed(row.seed, fold))
            predicted[test] = forest.fit(matrix[train], labels[train]).predict(matrix[test])
        assert [row.classes[place] for place in row.predicted_class] == predicted.tolist()
    differences = json.loads(result.stdout)["strict"]
    assert [one["protocol"] for one in differences] == ["image", "group"]
    assert all(one["low"] <= one["difference"] <= one["high"] for one in differences)


def test_the_same_command_finds_everything_and_one_more_layer_adds_only_itself(encoded) -> None:
    _, store, spec = encoded
    arguments = ["--trials", "1", "--layers", "input", "--protocol", "image"]
    first = run(store, spec, *arguments)
    assert first.exit_code == 0, first.output
    assert "vlad input by image: dictionaries learnt inside the folds 0." in first.stdout
    written = {path: path.read_bytes() for path in Path(store).rglob("*.parquet")}
    again = run(store, spec, *arguments)
    assert "2 of 2 trials are in the store already" in again.stderr
    assert "0 trials run" in again.stdout
    assert {path: path.read_bytes() for path in Path(store).rglob("*.parquet")} == written
    for path in Path(store, "evaluations").rglob("*.parquet"):
        path.unlink()
    # As after a kill between the pass and the trials: the vectors are found, not made again.
    resumed = run(store, spec, *arguments)
    assert resumed.exit_code == 0, resumed.output
    assert "still to be learnt" not in resumed.stderr
    assert "encoding without each fold" not in resumed.stderr


def test_too_many_dictionaries_are_refused_before_anything_runs(encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, spec = encoded
    monkeypatch.setattr(evaluation_folds, "MAX_SHARD_BYTES", 4 * 64 * 3 * 64 * 10)  # ten of conv1_2
    result = run(store, spec, "--trials", "7", "--layers", "conv1_2", "--protocol", "image")
    assert result.exit_code == 2
    assert (
        "--strict: 21 dictionaries for the folds of 7 trials are more than the 10 that fit into one pass"
        in result.stderr
    )
    assert "learning words" not in result.stderr


def test_words_that_cannot_be_learnt_are_failed_trials_and_the_others_go_on(
    encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, spec = encoded

    def too_few(*_: object) -> None:
        from texture_store.errors import DictionaryError

        raise DictionaryError("2 different descriptors cannot make 3 words; are the sampled images blank?")

    monkeypatch.setattr(evaluation_folds, "_learn_one", too_few)
    result = run(store, spec, "--trials", "1", "--layers", "conv1_2", "--protocol", "image", "--folds", "4")
    assert result.exit_code == 1
    assert "vlad conv1_2 by image, trial 0: DictionaryError: 2 different descriptors" in result.stderr
    rows = open_store(store).evaluations("steel")
    rows = rows[rows["folds"] == 4]
    assert rows[rows["strict"]]["error"].notna().all()
    assert rows[~rows["strict"]]["f1_weighted"].notna().all()


def test_a_driver_without_the_gpu_of_its_cluster_says_the_size_alone(encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, spec = encoded
    monkeypatch.setattr(evaluation_folds, "cluster_workers", lambda: Workers.on_gpus(2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = run(store, spec, "--trials", "1", "--layers", "input", "--protocol", "image", "--folds", "5")
    assert result.exit_code == 0, result.output
    assert "then one pass over 21 images on 2 GPUs, at most 0.0 GB" in result.stderr
    assert "measuring" not in result.stderr
