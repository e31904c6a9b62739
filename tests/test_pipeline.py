"""The path of one shard, without Ray: what is written is what the definitions say."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from jobs.index import index
from schemas import SAMPLES, features_schema
from texture_store.backbone.weights import random_weights
from texture_store.encoding.sampling import sample_positions
from texture_store.errors import DictionaryNotFoundError
from texture_store.objects import Storage, open_storage
from texture_store.pipeline import EncodedShard, Extractor, load_shard, write_shard
from texture_store.products import product_tables
from texture_store.spec import LAYERS, NUM_CHANNELS, Encoder, FeatureSpec, make_pixel_spec, vector_width
from texture_store.store.commits import Pair, read_commits
from texture_store.store.reader import read_catalog, read_fold_features
from texture_store.store.snapshots import Snapshot, latest_snapshot
from texture_store.store.specs import write_spec
from texture_store.store.work import Unit, plan_work

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram")
PAIRS: tuple[Pair, ...] = tuple((encoder, layer) for encoder in ENCODERS for layer in LAYERS)
WEIGHTS = random_weights(seed=3)


def spec(**changes: object) -> FeatureSpec:
    settings = {"pixels": make_pixel_spec(size="native"), "weights": WEIGHTS.digest, "lineage": WEIGHTS.lineage}
    return FeatureSpec(**(settings | changes))


@pytest.fixture
def indexed(tmp_path: Path) -> tuple[Storage, Snapshot]:
    """Five pictures of two shapes, and one that is broken."""
    archive = tmp_path / "archive"
    archive.mkdir()
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate([(48, 64), (64, 48), (48, 64), (48, 64), (64, 48)]):
        Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8)).save(archive / f"{number}.png")
    (archive / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    store = str(tmp_path / "store")
    index(store, "steel", str(archive))
    storage = open_storage(store)
    return storage, latest_snapshot(storage, "steel")


def tables_of(encoded: EncodedShard) -> dict[Pair, pa.Table]:
    return product_tables(encoded.products, encoded.loaded.members)


def only_unit(snapshot: Snapshot, pairs: tuple[Pair, ...] = PAIRS) -> Unit:
    (unit,) = plan_work(snapshot, [], pairs)
    return unit


def test_a_shard_is_loaded_with_facts_and_its_broken_images_apart(indexed: tuple[Storage, Snapshot]):
    _, snapshot = indexed
    loaded = load_shard(only_unit(snapshot), snapshot.archive_url, spec().pixels)
    assert [picture.shape for picture in loaded.seen] == [(48, 64), (64, 48), (48, 64), (48, 64), (64, 48)]
    assert [row["path"] for row in loaded.members] == [f"{number}.png" for number in range(5)]
    assert [(row["path"], row["stage"], row["error"]) for row in loaded.rejected] == [
        ("broken.png", "decode", "UnreadableImageError")
    ]
    assert loaded.changed == []
    assert set(loaded.seconds) == {"load", "decode"}


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_features_fit_their_images_whatever_the_batch_size(indexed: tuple[Storage, Snapshot], batch_size: int):
    _, snapshot = indexed
    loaded = load_shard(only_unit(snapshot), snapshot.archive_url, spec().pixels)
    encoded = Extractor(WEIGHTS, spec(batch_size=batch_size))(loaded)
    for (encoder, layer), matrix in encoded.products.vectors.items():
        assert matrix.shape == (5, vector_width(encoder, layer))
    for row, picture in enumerate(loaded.seen):
        channels = [picture.astype(np.float64) - mean for mean in (123.68, 116.779, 103.939)]
        assert encoded.products.vectors["mean", "input"][row] == pytest.approx([c.mean() for c in channels], abs=1e-3)
        assert encoded.products.vectors["max", "input"][row] == pytest.approx([c.max() for c in channels], abs=1e-4)
        triangle = [(channels[i] * channels[j]).sum() for i in range(3) for j in range(i, 3)]
        assert encoded.products.vectors["gram", "input"][row] == pytest.approx(triangle, rel=1e-5)
    strides = dict(zip(LAYERS, (1, 1, 2, 4, 8, 16), strict=True))
    for layer, counts in encoded.products.num_positions.items():
        assert counts.tolist() == [48 * 64 // strides[layer] ** 2] * 5


def test_gram_mantissas_are_cut_as_the_spec_says(indexed: tuple[Storage, Snapshot]):
    _, snapshot = indexed
    loaded = load_shard(only_unit(snapshot), snapshot.archive_url, spec().pixels)
    whole = Extractor(WEIGHTS, spec())(loaded).products.vectors
    cut = Extractor(WEIGHTS, spec(gram_mantissa_bits=7))(loaded).products.vectors
    low_bits = np.uint32((1 << (23 - 7)) - 1)
    for layer in LAYERS:
        assert not (cut["gram", layer].view(np.uint32) & low_bits).any()
        assert np.abs(cut["gram", layer] - whole["gram", layer]).max() <= 2.0**-8 * np.abs(whole["gram", layer]).max()
        assert np.array_equal(cut["mean", layer], whole["mean", layer])


def test_what_is_computed_does_not_depend_on_what_else_is(indexed: tuple[Storage, Snapshot]):
    _, snapshot = indexed
    extract = Extractor(WEIGHTS, spec())
    everything = extract(load_shard(only_unit(snapshot), snapshot.archive_url, spec().pixels)).products.vectors
    for pair in PAIRS:
        loaded = load_shard(only_unit(snapshot, (pair,)), snapshot.archive_url, spec().pixels)
        assert np.array_equal(extract(loaded).products.vectors[pair], everything[pair]), pair


def test_a_written_shard_is_committed_with_every_member_accounted_for(indexed: tuple[Storage, Snapshot]):
    storage, snapshot = indexed
    unit = only_unit(snapshot)
    encoded = Extractor(WEIGHTS, spec())(load_shard(unit, snapshot.archive_url, spec().pixels))
    written = write_shard(encoded, storage, job="featurize", dataset="steel", spec=spec(), snapshot=snapshot.number)
    (record,) = read_commits(storage, "steel", spec().fingerprint)
    assert written.record == record
    assert sorted([*record.members, *record.rejected]) == sorted(snapshot.table["image_id"].to_pylist())
    assert len(record.rejected) == 1
    assert {"processor", "threads", "kernel_path", "torch"} <= set(record.environment)
    assert {"load", "decode", "extract"} <= set(record.seconds)
    again = write_shard(encoded, storage, job="featurize", dataset="steel", spec=spec(), snapshot=snapshot.number)
    assert again.record is not None
    assert again.record.created == record.created


def test_product_tables_have_the_declared_columns(indexed: tuple[Storage, Snapshot]):
    _, snapshot = indexed
    loaded = load_shard(only_unit(snapshot), snapshot.archive_url, spec().pixels)
    for (encoder, layer), table in tables_of(Extractor(WEIGHTS, spec())(loaded)).items():
        assert table.column_names == ["image_id", "path", "num_positions", "vector"]
        assert table.schema.field("vector").type.list_size == vector_width(encoder, layer)
        assert table["vector"].null_count == 0
    assert NUM_CHANNELS["conv5_3"] == 512


SAMPLE: tuple[Pair, ...] = (("sample", "input"), ("sample", "conv3_3"))
VLAD: tuple[Pair, ...] = (("vlad", "input"), ("vlad", "conv3_3"))


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_samples_are_descriptors_at_positions_that_the_path_decides(indexed: tuple[Storage, Snapshot], batch_size: int):
    _, snapshot = indexed
    loaded = load_shard(only_unit(snapshot, SAMPLE), snapshot.archive_url, spec().pixels)
    tables = tables_of(Extractor(WEIGHTS, spec(batch_size=batch_size))(loaded))
    assert set(tables) == set(SAMPLE)
    table = tables["sample", "input"]
    assert table.schema == SAMPLES
    assert table["num_descriptors"].to_pylist() == [256] * 5
    assert tables["sample", "conv3_3"]["num_descriptors"].to_pylist() == [192] * 5  # all positions there are
    for row, (path, picture) in enumerate(zip(table["path"].to_pylist(), loaded.seen, strict=True)):
        positions = sample_positions(picture.size, 256, key=f"{path}\ninput")
        grey = picture.reshape(-1)[positions].astype(np.float32)
        expected = grey[:, None] - np.array([123.68, 116.779, 103.939], np.float32)
        np.testing.assert_allclose(np.reshape(table["descriptors"][row].as_py(), (256, 3)), expected, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_vlad_is_that_of_its_words_whatever_the_batch_size(indexed: tuple[Storage, Snapshot], batch_size: int):
    _, snapshot = indexed
    random = np.random.default_rng(1)
    words = {layer: random.normal(0, 50, (3, NUM_CHANNELS[layer])).astype(np.float32) for _, layer in VLAD}
    loaded = load_shard(only_unit(snapshot, VLAD), snapshot.archive_url, spec().pixels)
    encoded = Extractor(WEIGHTS, spec(batch_size=batch_size), words=words)(loaded)
    tables = tables_of(encoded)
    assert tables["vlad", "conv3_3"].schema == features_schema(3 * 256, 3)
    for row, picture in enumerate(loaded.seen):
        grey = picture.reshape(-1, 1).astype(np.float64)
        descriptors = grey - np.array([123.68, 116.779, 103.939])
        nearest = ((descriptors[:, None] - words["input"]) ** 2).sum(2).argmin(1)
        sums = [(descriptors[nearest == word] - words["input"][word]).sum(0) for word in range(3)]
        stored = np.reshape(tables["vlad", "input"]["vector"][row].as_py(), (3, 3))
        np.testing.assert_allclose(stored, sums, rtol=1e-4, atol=0.5)
        assert tables["vlad", "input"]["counts"][row].as_py() == np.bincount(nearest, minlength=3).tolist()


def test_fold_vectors_are_vlad_by_each_dictionary_in_a_column_of_its_name(indexed: tuple[Storage, Snapshot]):
    storage, snapshot = indexed
    random = np.random.default_rng(1)
    names = ["d" + digit * 20 for digit in "abc"]
    words = {name: random.normal(0, 50, (3, 256)).astype(np.float32) for name in names}
    write_spec(storage, spec())
    unit = only_unit(snapshot, (("fold-vlad", "conv3_3"),))
    loaded = load_shard(unit, snapshot.archive_url, spec().pixels)
    encoded = Extractor(WEIGHTS, spec(), fold_words={"conv3_3": words})(loaded)
    write_shard(encoded, storage, job="encode-folds", dataset="steel", spec=spec(), snapshot=snapshot.number)
    catalog = read_catalog(storage, "steel")
    loaded = load_shard(only_unit(snapshot, (("vlad", "conv3_3"),)), snapshot.archive_url, spec().pixels)
    for name in names:
        alone = Extractor(WEIGHTS, spec(), words={"conv3_3": words[name]})(loaded).products.vectors["vlad", "conv3_3"]
        stored = read_fold_features(catalog, "conv3_3", spec(), name)
        assert stored.rows["path"].tolist() == [f"{number}.png" for number in range(5)]
        assert np.array_equal(stored.to_numpy(), alone)
        assert np.allclose(np.linalg.norm(stored.normalised(), axis=1), 1)


def test_vlad_without_words_is_refused(indexed: tuple[Storage, Snapshot]):
    _, snapshot = indexed
    loaded = load_shard(only_unit(snapshot, VLAD), snapshot.archive_url, spec().pixels)
    with pytest.raises(DictionaryNotFoundError, match="no words for input"):
        Extractor(WEIGHTS, spec())(loaded)
