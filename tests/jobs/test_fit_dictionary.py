"""fit-dictionary on a real Ray: samples are committed, words are k-means of them, and nothing is done twice."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs.dictionary_fits import Learning
from jobs.fit_dictionary import command, fit_dictionary
from jobs.index import index
from jobs.planning import Request
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import random_weights
from texture_store.encoding.sampling import held_out, sample_positions
from texture_store.errors import DatasetNotFoundError, DictionaryError, DictionaryNotFoundError, SchemaMismatchError
from texture_store.micrograph.reading import read_micrograph
from texture_store.objects import open_storage
from texture_store.spec import make_pixel_spec
from texture_store.store.commits import read_commits
from texture_store.store.dictionaries import choose_dictionary, read_dictionaries
from texture_store.store.samples import read_sample
from texture_store.store.snapshots import latest_snapshot

from .conftest import write_archive

LAYERS = ("input", "conv3_3")
LEARNING = Learning(LAYERS, num_words=5, share=0.5, seed=3, starts=2)
PIXELS = make_pixel_spec(size="64x64")


@pytest.fixture
def store(archive: Path, tmp_path: Path) -> str:
    store = str(tmp_path / "store")
    index(store, "steel", str(archive), shard_size=4)
    return store


@pytest.fixture(scope="module")
def sampled(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, object]:
    """An archive, a store with its samples and a dictionary, and the summary."""
    folder = tmp_path_factory.mktemp("sampled")
    archive = write_archive(folder / "archive")
    store = str(folder / "store")
    index(store, "steel", str(archive), shard_size=4)
    return archive, store, fit_at(store)


def fit_at(store: str, learning: Learning = LEARNING):
    settings = {"pixels": PIXELS, "weights": "random:0", "precision": "float32"}
    return fit_dictionary(Request(store, "steel", encoders=("sample",), layers=learning.layers, **settings), learning)


@pytest.mark.ray
def test_words_are_those_of_the_descriptors_of_the_images(sampled):
    archive, store, (summary, shards) = sampled
    assert (summary.indexed, summary.sampled, summary.rejected, summary.pending) == (10, 10, 0, 0)
    assert summary.fitted + summary.held_out == 10
    storage = open_storage(store)
    name = choose_dictionary(storage, "steel", summary.dictionary)
    found = read_dictionaries(storage, "steel", name)
    assert tuple(found.layers) == LAYERS
    table = latest_snapshot(storage, "steel").table
    source = found.layers["conv3_3"].learnt_from
    path_of = dict(zip(table["image_id"].to_pylist(), table["path"].to_pylist(), strict=True))
    assert not any(held_out(path_of[image_id]) for image_id in source.images)
    assert all(held_out(path_of[image_id]) for image_id in source.held_out)
    # The same once more by the network itself and the definition.
    network = VGG16(random_weights(seed=0), precision="float32", device="cpu")
    expected = []
    for image_id in source.images:
        expected.append(descriptors_of(network, archive, path_of[image_id]))
    commits = read_commits(storage, "steel", shards.spec)
    stored = read_sample(storage, "steel", shards.spec, commits, "conv3_3", source.images)
    np.testing.assert_allclose(stored.descriptors, np.concatenate(expected), rtol=1e-4, atol=1e-3)
    words = found.layers["conv3_3"].words.astype(np.float64)
    squared = ((stored.descriptors[:, None].astype(np.float64) - words) ** 2).sum(2)
    assert source.error == pytest.approx(squared.min(1).mean(), rel=1e-6)
    assert found.layers["conv3_3"].counts.tolist() == np.bincount(squared.argmin(1), minlength=5).tolist()
    means = [stored.descriptors[squared.argmin(1) == word].mean(0) for word in range(5)]
    np.testing.assert_allclose(words, means, rtol=1e-3, atol=1e-3)  # k-means has converged
    others = read_sample(storage, "steel", shards.spec, commits, "conv3_3", source.held_out)
    errors = ((others.descriptors[:, None].astype(np.float64) - words) ** 2).sum(2).min(1)
    per_image = [errors[others.image_of == number].mean() for number in range(len(source.held_out))]
    assert source.held_out_errors == pytest.approx(per_image, rel=1e-6)


def descriptors_of(network: VGG16, archive: Path, path: str) -> np.ndarray:
    import torch

    seen = read_micrograph((archive / path).read_bytes(), PIXELS, name=path).seen
    ((_, maps),) = network.feature_maps(torch.from_numpy(seen[None]), ["conv3_3"])
    flat = maps[0].reshape(256, -1).T.numpy()
    return flat[sample_positions(len(flat), 256, key=f"{path}\nconv3_3")]


@pytest.mark.ray
def test_a_second_run_does_nothing_and_another_store_gets_the_same_bits(sampled, tmp_path: Path):
    archive, store, (first, _) = sampled
    files = {file: file.read_bytes() for file in Path(store).rglob("*.*")}
    again, shards = fit_at(store)
    assert (again.dictionary, again.was_there, shards.computed) == (first.dictionary, True, 0)
    assert {file: file.read_bytes() for file in Path(store).rglob("*.*")} == files
    other = str(tmp_path / "other")
    index(other, "steel", str(archive), shard_size=3)
    elsewhere, _ = fit_at(other)
    assert elsewhere.dictionary == first.dictionary
    assert words_below(other, first.dictionary) == words_below(store, first.dictionary)
    assert len(words_below(other, first.dictionary)) == len(LAYERS)


def words_below(store: str, dictionary: str) -> dict[str, bytes]:
    found = Path(store, "dictionaries").rglob(f"{dictionary}.parquet")
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in found}


@pytest.mark.ray
def test_other_settings_learn_from_the_same_sample_without_the_network(sampled):
    _, store, (first, _) = sampled
    second, shards = fit_at(store, Learning(LAYERS, num_words=7, share=0.5, seed=3, starts=2))
    assert second.dictionary != first.dictionary
    assert shards.computed == 0
    assert second.error_on_sample["conv3_3"] < first.error_on_sample["conv3_3"]


@pytest.mark.ray
def test_a_broken_image_is_rejected_and_the_words_come_from_the_rest(ray_session, archive: Path, tmp_path: Path):
    (archive / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    summary, shards = fit_at(store)
    assert (summary.sampled, summary.rejected) == (10, 1)
    assert shards.rejected_by_reason == {"UnreadableImageError": 1}


@pytest.mark.ray
def test_a_dataset_of_broken_images_has_nothing_to_learn_from(ray_session, tmp_path: Path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    store = str(tmp_path / "store")
    index(store, "steel", str(folder))
    with pytest.raises(DictionaryNotFoundError, match="a sample of no image"):
        fit_at(store)


@pytest.mark.ray
def test_fewer_descriptors_than_words_is_one_clear_error(sampled):
    _, store, _ = sampled
    with pytest.raises(DictionaryError, match=r"descriptors cannot make 4000 words"):
        fit_at(store, Learning(("conv3_3",), num_words=4000, share=0.5))


@pytest.mark.ray
def test_constant_images_cannot_make_words(ray_session, tmp_path: Path):
    from PIL import Image

    folder = tmp_path / "constant"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (80, 64), 100).save(folder / f"{number}.png")
    store = str(tmp_path / "store")
    index(store, "steel", str(folder))
    with pytest.raises(DictionaryError, match="different descriptors"):
        fit_at(store, Learning(("input",), num_words=3, share=1.0))


@pytest.mark.ray
def test_a_sample_of_another_version_is_named(sampled, tmp_path: Path):
    store = str(shutil.copytree(sampled[1], tmp_path / "copied"))
    for path in Path(store, "samples").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"table": "samples", "version": "9"}), path)
    with pytest.raises(SchemaMismatchError, match="samples table, version 9; wanted samples, version 1"):
        fit_at(store, Learning(LAYERS, num_words=6, share=0.5))


def test_wrong_usage_is_one_line(store: str):
    runner = CliRunner()
    for options, said in (
        (["--sample", "0%"], "a sample of no image"),
        (["--sample", "x"], "--sample x: write a share"),
        (["--layers", "conv9"], "choose from input"),
        (["--words", "1"], "2<=x<=4096"),
    ):
        result = runner.invoke(command, ["--store", store, "--dataset", "steel", *options])
        assert result.exit_code == 2
        assert said in result.output
    result = runner.invoke(command, ["--store", store, "--dataset", "other", "--weights", "random:0"])
    assert result.exit_code == 1
    assert "no dataset other" in result.output


def test_an_unknown_dataset_is_an_error(store: str):
    request = Request(store, "other", PIXELS, encoders=("sample",), weights="random:0")
    with pytest.raises(DatasetNotFoundError):
        fit_dictionary(request, LEARNING)


@pytest.mark.ray
def test_the_command_prints_its_summary_as_json(ray_session: None, store: str):
    options = ["--size", "64", "--weights", "random:0", "--precision", "float32", "--words", "4", "--layers", "conv1_2"]
    result = CliRunner().invoke(command, ["--store", store, "--dataset", "steel", "--json", *options])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["words"] == 4
    assert list(summary["error_on_sample"]) == ["conv1_2"]
    assert summary["dictionary"].startswith("d")
