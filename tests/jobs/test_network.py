"""Which weights, precision and batch size a dataset gets, and keeps."""

from pathlib import Path

import pytest

from jobs.network import matching_spec, new_spec, weights_in_store
from texture_store.backbone.weights import from_safetensors, random_weights, to_safetensors
from texture_store.errors import UsageError, WeightsError, WeightsNotFoundError
from texture_store.objects import Storage, open_storage
from texture_store.spec import FeatureSpec, make_pixel_spec
from texture_store.store.specs import read_weights, stored_weights, write_weights

SQUARE, NATIVE = make_pixel_spec(size="512x512"), make_pixel_spec(size="native")
A, B = "a" * 64, "b" * 64


def spec(**changes: object) -> FeatureSpec:
    return FeatureSpec(**({"pixels": SQUARE, "weights": A, "lineage": "caffe"} | changes))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "store"))


def silent(_: str) -> None:
    pass


def test_a_dataset_keeps_what_it_began_with_and_the_newest_comes_first():
    newest, older = spec(precision="bfloat16", batch_size=16), spec(precision="float32")
    assert matching_spec([newest, older], SQUARE, precision="auto", lineage="caffe") == newest
    assert matching_spec([newest, older], SQUARE, precision="float32", lineage="caffe") == older
    assert matching_spec([newest, older], SQUARE, precision="tf32", lineage="caffe") is None


@pytest.mark.parametrize(
    "other",
    [
        {"pixels": NATIVE},
        {"dictionary": "d" + "0" * 20},
        {"numerics": 0},
        {"lineage": "random:0"},
        {"lineage": "foreign"},
    ],
)
def test_a_spec_that_means_something_else_is_not_taken(other: dict[str, object]):
    assert matching_spec([spec(**other)], SQUARE, precision="auto", lineage="caffe") is None


def test_weights_are_told_apart_by_their_digest():
    assert matching_spec([spec(weights=B)], SQUARE, precision="auto", digest=A) is None
    assert matching_spec([spec(weights=B), spec()], SQUARE, precision="auto", digest=A) == spec()


def test_bfloat16_keeps_12_mantissa_bits_of_gram_and_float32_all():
    made = {
        precision: new_spec(SQUARE, digest=A, lineage="caffe", precision=precision, device="cpu")
        for precision in ("bfloat16", "float32")
    }
    assert (made["bfloat16"].gram_mantissa_bits, made["float32"].gram_mantissa_bits) == (12, 23)
    assert made["float32"].batch_size == 1


@pytest.mark.parametrize(
    ("size", "images"), [("64x64", 64), ("512x512", 64), ("640x512", 51), ("2048x2048", 4), ("99999x9999", 1)]
)
def test_a_batch_on_a_gpu_has_as_many_pictures_as_its_memory_has_room_for(size: str, images: int):
    pixels = make_pixel_spec(size=size)
    made = new_spec(pixels, digest=A, lineage="caffe", precision="bfloat16", device="cuda")
    assert made.batch_size == images
    native = new_spec(make_pixel_spec(size="native"), digest=A, lineage="caffe", precision="bfloat16", device="cuda")
    assert native.batch_size == 16


def test_bits_that_are_asked_for_make_a_spec_and_find_it_again():
    kept = new_spec(SQUARE, digest=A, lineage="caffe", precision="bfloat16", device="cpu", keep_bits=10)
    assert kept.gram_mantissa_bits == 10
    assert "10 bits kept of Gram" in kept.describe()
    usual = new_spec(SQUARE, digest=A, lineage="caffe", precision="bfloat16", device="cpu")
    assert "bits" not in usual.describe()
    assert matching_spec([usual, kept], SQUARE, precision="auto", keep_bits=10, digest=A) == kept
    assert matching_spec([kept, usual], SQUARE, precision="auto", digest=A) == kept
    assert matching_spec([usual], SQUARE, precision="auto", keep_bits=10, digest=A) is None


def test_random_weights_go_into_the_store_under_their_own_name(storage: Storage):
    digest, lineage = weights_in_store(storage, "random:5", allow_foreign=False, say=silent)
    assert lineage == "random:5"
    assert stored_weights(storage) == [digest]
    assert from_safetensors(read_weights(storage, digest), digest=digest).digest == random_weights(seed=5).digest


def test_weights_come_from_a_file_or_a_url(storage: Storage, tmp_path: Path):
    weights = random_weights(seed=6)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(to_safetensors(weights))
    for given in (str(file), f"file://{file}"):
        assert weights_in_store(storage, given, allow_foreign=False, say=silent) == (weights.digest, "random:6")


@pytest.mark.parametrize("given", ["nothing.pth", "file:///no/such/folder/nothing.pth"])
def test_weights_that_are_not_there_are_named(storage: Storage, given: str):
    with pytest.raises(WeightsNotFoundError, match=r"nothing\.pth"):
        weights_in_store(storage, given, allow_foreign=False, say=silent)


def test_a_truncated_file_is_one_line(storage: Storage, tmp_path: Path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(to_safetensors(random_weights(seed=6))[:100_000])
    with pytest.raises(WeightsError) as caught:
        weights_in_store(storage, str(file), allow_foreign=False, say=silent)
    assert "\n" not in str(caught.value)
    assert stored_weights(storage) == []


def test_a_seed_is_a_whole_number(storage: Storage):
    with pytest.raises(UsageError, match="random:SEED"):
        weights_in_store(storage, "random:many", allow_foreign=False, say=silent)


def test_the_stores_own_copy_needs_no_network(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from texture_store.backbone.sources import find_weights

    try:
        weights = find_weights()
    except WeightsNotFoundError as error:
        pytest.skip(f"needs the weights of VGG16 or network: {error}")
    write_weights(storage, weights.digest, to_safetensors(weights))
    write_weights(storage, random_weights(seed=0).digest, to_safetensors(random_weights(seed=0)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("texture_store.backbone.sources.find_weights", None)  # whoever calls it now fails
    assert weights_in_store(storage, None, allow_foreign=False, say=silent) == (weights.digest, "caffe")
