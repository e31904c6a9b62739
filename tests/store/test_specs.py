import pytest

from texture_store.errors import (
    CommitConflictError,
    FeaturesNotFoundError,
    InvalidNameError,
    StoreFormatError,
    WeightsNotFoundError,
)
from texture_store.objects import Storage, open_storage
from texture_store.spec import FeatureSpec, PixelSpec
from texture_store.store.specs import read_spec, read_weights, stored_weights, write_spec, write_weights

SPEC = FeatureSpec(weights="a" * 64, lineage="caffe", pixels=PixelSpec(value_range=(0.5, 10.0)))


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(str(tmp_path))


def test_a_spec_is_kept_under_its_fingerprint_and_comes_back_equal(storage):
    write_spec(storage, SPEC)
    write_spec(storage, SPEC)
    assert read_spec(storage, SPEC.fingerprint) == SPEC
    assert storage.read(f"specs/{SPEC.fingerprint}.json").decode() == SPEC.canonical_json


@pytest.mark.s3
def test_specs_and_weights_come_back_from_s3(s3_url):
    storage = open_storage(s3_url)
    write_spec(storage, SPEC)
    write_spec(storage, SPEC)
    write_weights(storage, "b" * 64, b"tensors")
    write_weights(storage, "b" * 64, b"tensors")
    assert read_spec(storage, SPEC.fingerprint) == SPEC
    assert read_weights(storage, "b" * 64) == b"tensors"


def test_a_missing_spec_and_a_wrong_name_are_said(storage):
    with pytest.raises(FeaturesNotFoundError, match=SPEC.fingerprint):
        read_spec(storage, SPEC.fingerprint)
    with pytest.raises(InvalidNameError):
        read_spec(storage, "../store")


def test_a_spec_whose_content_has_another_fingerprint_is_refused(storage):
    other = SPEC.model_copy(update={"batch_size": 7})
    storage.create(f"specs/{SPEC.fingerprint}.json", other.canonical_json.encode())
    with pytest.raises(StoreFormatError, match=other.fingerprint):
        read_spec(storage, SPEC.fingerprint)
    with pytest.raises(CommitConflictError):
        write_spec(storage, SPEC)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"weights": 1}', b"\xff"])
def test_a_damaged_spec_is_one_clear_line(storage, content):
    storage.create(f"specs/{SPEC.fingerprint}.json", content)
    with pytest.raises(StoreFormatError, match="damaged") as caught:
        read_spec(storage, SPEC.fingerprint)
    assert "\n" not in str(caught.value)


def test_weights_are_kept_under_their_digest_and_never_replaced(storage):
    assert stored_weights(storage) == []
    write_weights(storage, "b" * 64, b"tensors")
    write_weights(storage, "b" * 64, b"others")
    write_weights(storage, "a" * 64, b"more")
    storage.create("weights/readme.txt", b"x")
    assert read_weights(storage, "b" * 64) == b"tensors"
    assert stored_weights(storage) == ["a" * 64, "b" * 64]


def test_missing_weights_are_said_with_what_to_do(storage):
    with pytest.raises(WeightsNotFoundError, match="--weights"):
        read_weights(storage, "c" * 64)
