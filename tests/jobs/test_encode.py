"""encode on a real Ray: VLAD of every image by the definition, and dictionaries that are kept or learnt again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from jobs.dictionary_fits import Learning
from jobs.encode import EncodeRequest, EncodeSummary, command, encode
from jobs.fit_dictionary import fit_dictionary
from jobs.index import index
from jobs.planning import Request
from texture_store import open_store
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import random_weights
from texture_store.errors import DictionaryNotFoundError, FeaturesNotFoundError
from texture_store.micrograph.reading import read_micrograph
from texture_store.objects import open_storage
from texture_store.spec import make_pixel_spec
from texture_store.store.dictionaries import choose_dictionary, list_dictionaries, read_dictionaries

from .conftest import texture_store, write_archive

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore:.*RANDOM")]

LAYERS = ("input", "conv3_3")
LEARNING = Learning(LAYERS, num_words=5, share=0.5, seed=3, starts=2)
PIXELS = make_pixel_spec(size="64x64")


def fit(store: str, learning: Learning = LEARNING) -> str:
    settings = {"pixels": PIXELS, "weights": "random:0", "precision": "float32"}
    summary, _ = fit_dictionary(
        Request(store, "steel", encoders=("sample",), layers=learning.layers, **settings), learning
    )
    assert summary is not None
    return summary.dictionary


@pytest.fixture(scope="module")
def encoded(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str, EncodeSummary]:
    """An archive of 30 pictures and a constant one, a store with its VLAD features, the dictionary, and the summary."""
    folder = tmp_path_factory.mktemp("encoded")
    archive = write_archive(folder / "archive", count=30)
    Image.new("L", (80, 64), 128).save(archive / "constant.png")
    store = str(folder / "store")
    index(store, "steel", str(archive), shard_size=8)
    name = fit(store)
    return archive, store, name, run(store, name)


@pytest.fixture
def grown(encoded, tmp_path: Path) -> tuple[Path, str, str, EncodeSummary]:
    """Copies of the archive and the store, to be changed."""
    archive, store, name, summary = encoded
    copied = shutil.copytree(archive, tmp_path / "archive")
    return copied, str(shutil.copytree(store, tmp_path / "store")), name, summary


def run(store: str, dictionary: str | None, **changes: object) -> EncodeSummary:
    return encode(EncodeRequest(store, "steel", dictionary=dictionary, **changes))


def test_vectors_are_vlad_by_its_definition(encoded):
    archive, store, name, summary = encoded
    assert (summary.indexed, summary.featurized, summary.rejected, summary.pending) == (31, 31, 0, 0)
    assert (summary.dictionary, summary.replaces, summary.new_images) == (name, None, 0)
    features = open_store(store).features("steel", encoder="vlad", layer="conv3_3", spec=summary.spec)
    storage = open_storage(store)
    words = read_dictionaries(storage, "steel", choose_dictionary(storage, "steel", name)).words["conv3_3"]
    network = VGG16(random_weights(seed=0), precision="float32", device="cpu")
    matrix, counts, normalised = features.to_numpy(), features.counts(), features.normalised()
    assert matrix.shape == (31, 5 * 256)
    for row in (0, 7, 30):
        sums, expected_counts = vlad_of(network, archive / features.rows["path"][row], words.astype(np.float64))
        assert counts[row].tolist() == expected_counts.tolist()
        error = np.linalg.norm(matrix[row] - sums.reshape(-1)) / np.linalg.norm(sums)
        assert error < 1e-4
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        intra = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
        np.testing.assert_allclose(normalised[row], (intra / np.linalg.norm(intra)).reshape(-1), atol=1e-5)
    assert (counts.sum(1) == features.num_positions).all()


def vlad_of(network: VGG16, file: Path, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch

    seen = read_micrograph(file.read_bytes(), PIXELS, name=file.name).seen
    ((_, maps),) = network.feature_maps(torch.from_numpy(seen[None]), ["conv3_3"])
    descriptors = maps[0].reshape(256, -1).T.numpy().astype(np.float64)
    nearest = ((descriptors[:, None] - words) ** 2).sum(2).argmin(1)
    sums = np.stack([(descriptors[nearest == k] - words[k]).sum(0) for k in range(len(words))])
    return sums, np.bincount(nearest, minlength=len(words))


def test_new_images_that_are_like_the_old_ones_are_encoded_alone(grown):
    archive, store, name, first = grown
    write_archive(archive, count=12, first=30)
    index(store, "steel", str(archive), shard_size=8)
    second = run(store, name)
    assert (second.dictionary, second.replaces, second.new_images) == (name, None, 12)
    assert second.dictionary_verdict.startswith("kept")
    assert set(second.drift) == set(LAYERS)
    assert second.spec == first.spec
    assert (second.computed, second.featurized) == (12, 43)


def test_new_images_of_another_kind_bring_a_new_dictionary(grown):
    archive, store, name, first = grown
    before = {file: file.read_bytes() for file in Path(store).rglob("*.*")}
    stripes = np.tile(np.repeat([0, 255], 4).astype(np.uint8), (64, 10))
    for number in range(12):
        Image.fromarray(np.roll(stripes, number, axis=1)).save(archive / f"stripes{number:02}.png")
    index(store, "steel", str(archive), shard_size=8)
    second = run(store, name)
    assert second.replaces == name
    assert second.dictionary != name
    assert second.dictionary_verdict.startswith("learnt again: does not fit 12 new images")
    assert any("does not fit" in line for line in second.drift.values())
    assert set(second.moved_words) == set(LAYERS)
    assert second.spec != first.spec
    assert (second.computed, second.featurized) == (43, 43)
    # What was there is as it was, and can still be read by its name, never mixed with the new.
    assert {file: file.read_bytes() for file in before} == before
    opened = open_store(store)
    with pytest.warns(UserWarning, match="12 of 43 images are pending"):
        old = opened.features("steel", encoder="vlad", layer="conv3_3", spec=first.spec)
    assert (len(old), old.spec.dictionary) == (31, name)
    assert (
        opened.features("steel", encoder="vlad", layer="conv3_3", spec=second.spec).spec.dictionary == second.dictionary
    )
    # Run again: the newest dictionary is the one, and there is nothing to do.
    third = run(store, second.dictionary)
    assert (third.computed, third.dictionary_verdict) == (0, "kept: no new images since it was learnt")
    assert len(list_dictionaries(open_storage(store), "steel")) == 2


def test_refit_is_left_to_the_user_where_asked(grown):
    archive, store, name, _ = grown
    assert run(store, name, refit="always").dictionary == name  # the same images give the same words
    write_archive(archive, count=5, first=30)
    index(store, "steel", str(archive), shard_size=8)
    never = run(store, name, refit="never")
    assert (never.dictionary, never.drift) == (name, {})
    assert never.dictionary_verdict == "kept: not checked (--refit never)"
    always = run(store, name, refit="always")
    assert always.replaces == name
    assert always.dictionary_verdict.startswith("learnt again: asked for")


def test_without_a_dictionary_the_error_names_the_command(archive: Path, tmp_path: Path):
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    with pytest.raises(DictionaryNotFoundError, match="no dictionary yet; run: texture-store fit-dictionary"):
        run(store, None)
    with pytest.raises(FeaturesNotFoundError, match=r"encoder vlad at layer conv3_3.*run: texture-store encode"):
        open_store(store).features("steel", encoder="vlad", layer="conv3_3")


def test_a_dictionary_that_is_not_meant_is_named(encoded):
    _, store, name, _ = encoded
    with pytest.raises(DictionaryNotFoundError, match="random weights count only when named"):
        run(store, None)
    with pytest.raises(DictionaryNotFoundError, match=r"no words for conv5_3; it has input, conv3_3"):
        run(store, name, layers=("conv5_3",))


def test_a_constant_image_has_zeros_and_no_nan(encoded):
    _, store, _, summary = encoded
    for layer in LAYERS:
        features = open_store(store).features("steel", encoder="vlad", layer=layer, spec=summary.spec)
        for how in ("none", "intra", "signed-sqrt", "l2"):
            assert np.isfinite(features.normalised(how)).all()
        assert (features.counts() == 0).any()
        empty = np.repeat(features.counts() == 0, features.num_features // features.counts().shape[1], axis=1)
        assert (features.to_numpy()[empty] == 0).all()


def test_the_command_says_what_it_found(encoded):
    _, store, name, _ = encoded
    arguments = ["--store", store, "--dataset", "steel", "--dictionary", name[:9], "--json"]
    result = CliRunner().invoke(command, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["images"] == 0
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["dictionary"] == name


@pytest.mark.slow
def test_help_has_an_example():
    for name in ("encode", "fit-dictionary"):
        result = texture_store(name, "--help")
        assert result.returncode == 0
        assert f"Example: texture-store {name}" in result.stdout
