import hashlib
import json
import pickle
from collections.abc import Callable

import pytest
import torch

from texture_store.backbone.weights import (
    TENSOR_SHAPES,
    Weights,
    from_safetensors,
    from_tensors,
    random_weights,
    to_safetensors,
)
from texture_store.errors import CorruptWeightsError, WrongLineageError

Tensors = dict[str, torch.Tensor]


def _relabelled(data: bytes, lineage: str) -> bytes:
    """The same safetensors bytes with another lineage in the header."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = {"lineage": lineage}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def test_the_papers_weights_are_recognised_and_in_rgb_order(caffe_weights: Weights) -> None:
    assert caffe_weights.lineage == "caffe"
    assert list(caffe_weights.tensors) == list(TENSOR_SHAPES)
    assert sum(tensor.numel() for tensor in caffe_weights.tensors.values()) == 14_714_688
    # The blue kernel of Keras' block1_conv1, as published, has this value at its origin.
    assert caffe_weights.tensors["features.0.weight"][0, 2, 0, 0].item() == pytest.approx(0.42947057, abs=1e-7)


def test_bgr_ordered_weights_become_the_same_weights(caffe_weights: Weights) -> None:
    flipped = dict(caffe_weights.tensors)
    flipped["features.0.weight"] = flipped["features.0.weight"][:, [2, 1, 0]]
    found = from_tensors(flipped)
    assert found.digest == caffe_weights.digest
    assert found.lineage == "caffe"
    assert found.tensors["features.0.weight"].is_contiguous()


def test_other_names_do_not_count(caffe_weights: Weights) -> None:
    with_classifier = {**caffe_weights.tensors, "classifier.0.weight": torch.full((2, 2), torch.nan)}
    assert from_tensors(with_classifier).digest == caffe_weights.digest


def test_the_caller_cannot_change_the_weights_afterwards(some_weights: Weights) -> None:
    mine = {name: tensor.clone() for name, tensor in some_weights.tensors.items()}
    weights = from_tensors(mine, allow_foreign=True)
    mine["features.28.bias"].zero_()
    assert weights.digest == some_weights.digest


def _other_first_kernel(tensors: Tensors) -> None:
    tensors["features.0.weight"] += 0.01


def _one_value_of_the_first_kernel(tensors: Tensors) -> None:
    tensors["features.0.weight"][0, 2, 0, 1] += 0.001


def _other_first_bias(tensors: Tensors) -> None:
    tensors["features.0.bias"][0] += 0.001


def _channels_in_no_sensible_order(tensors: Tensors) -> None:
    tensors["features.0.weight"] = tensors["features.0.weight"][:, [0, 2, 1]]


def _one_deep_layer_fine_tuned(tensors: Tensors) -> None:
    noise = torch.randn(512, 512, 3, 3, generator=torch.Generator().manual_seed(0))
    tensors["features.19.weight"] += 0.001 * noise


def _one_deep_bias_fine_tuned(tensors: Tensors) -> None:
    tensors["features.28.bias"] *= 1.001


@pytest.mark.parametrize(
    "alter",
    [
        _other_first_kernel,
        _one_value_of_the_first_kernel,
        _other_first_bias,
        _channels_in_no_sensible_order,
        _one_deep_layer_fine_tuned,
        _one_deep_bias_fine_tuned,
    ],
)
def test_altered_weights_are_refused_unless_foreign_ones_are_asked_for(
    caffe_weights: Weights, alter: Callable[[Tensors], None]
) -> None:
    tensors = {name: tensor.clone() for name, tensor in caffe_weights.tensors.items()}
    alter(tensors)
    with pytest.raises(WrongLineageError, match=r"^these are not the Caffe-lineage weights .*features\.[^\n]*$"):
        from_tensors(tensors)
    assert from_tensors(tensors, allow_foreign=True).lineage == "foreign"


def test_random_tensors_are_of_the_wrong_lineage(some_weights: Weights) -> None:
    with pytest.raises(WrongLineageError, match="Caffe"):
        from_tensors(some_weights.tensors)


def _without_a_bias(tensors: Tensors) -> None:
    del tensors["features.14.bias"]


def _of_another_network(tensors: Tensors) -> None:
    tensors["features.2.weight"] = torch.zeros(64, 64, 5, 5)


def _integers(tensors: Tensors) -> None:
    tensors["features.2.bias"] = torch.zeros(64, dtype=torch.int64)


def _not_finite(tensors: Tensors) -> None:
    tensors["features.28.weight"] = torch.full((512, 512, 3, 3), torch.inf)


@pytest.mark.parametrize("alter", [_without_a_bias, _of_another_network, _integers, _not_finite])
def test_tensors_that_are_missing_misshapen_or_not_finite_are_corrupt(
    some_weights: Weights, alter: Callable[[Tensors], None]
) -> None:
    tensors = dict(some_weights.tensors)
    alter(tensors)
    with pytest.raises(CorruptWeightsError, match=r"features\.\d+\.(weight|bias)"):
        from_tensors(tensors, allow_foreign=True)


def test_the_digest_covers_names_shapes_and_bytes_in_canonical_order(some_weights: Weights) -> None:
    sha256 = hashlib.sha256()
    for place in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28):
        for kind in ("weight", "bias"):
            tensor = some_weights.tensors[f"features.{place}.{kind}"]
            sha256.update(f"features.{place}.{kind} float32 {list(tensor.shape)}\n".encode())
            sha256.update(tensor.numpy().tobytes())
    assert some_weights.digest == sha256.hexdigest()
    backwards = dict(reversed(some_weights.tensors.items()))
    assert from_tensors(backwards, allow_foreign=True).digest == some_weights.digest


def test_random_weights_are_those_of_their_seed(some_weights: Weights) -> None:
    assert some_weights.lineage == "random:1"
    assert random_weights(seed=1).digest == some_weights.digest
    assert random_weights(seed=2).digest != some_weights.digest


def test_weights_survive_safetensors_with_their_lineage(some_weights: Weights) -> None:
    data = to_safetensors(some_weights)
    assert to_safetensors(some_weights) == data
    found = from_safetensors(data, digest=some_weights.digest)
    assert found.lineage == "random:1"
    assert found.digest == some_weights.digest
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in some_weights.tensors.items())


def test_another_digest_is_refused(some_weights: Weights) -> None:
    data = bytearray(to_safetensors(some_weights))
    data[-1] ^= 1
    with pytest.raises(CorruptWeightsError, match=some_weights.digest[:12]):
        from_safetensors(bytes(data), digest=some_weights.digest)


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 1_000_000, -1])
def test_truncated_safetensors_are_corrupt(some_weights: Weights, kept: int) -> None:
    with pytest.raises(CorruptWeightsError, match=r"^not a whole safetensors file \(\d+ bytes[^\n]*$"):
        from_safetensors(to_safetensors(some_weights)[:kept])


def test_what_is_no_safetensors_is_corrupt() -> None:
    for data in (b"<!DOCTYPE html>" * 100, b"\xff" * 64, (2**63).to_bytes(8, "little") + b"{}"):
        with pytest.raises(CorruptWeightsError):
            from_safetensors(data)


def test_a_lineage_that_a_file_claims_is_not_believed(some_weights: Weights) -> None:
    claims_caffe = _relabelled(to_safetensors(some_weights), "caffe")
    with pytest.raises(WrongLineageError):
        from_safetensors(claims_caffe)
    assert from_safetensors(claims_caffe, allow_foreign=True).lineage == "foreign"
    with pytest.raises(WrongLineageError):
        from_safetensors(_relabelled(to_safetensors(some_weights), "random:1; caffe"))


def test_the_papers_weights_stay_theirs_under_any_label(caffe_weights: Weights) -> None:
    data = to_safetensors(caffe_weights)
    for label in ("caffe", "foreign", "random:1"):
        assert from_safetensors(_relabelled(data, label), digest=caffe_weights.digest).lineage == "caffe"


def test_weights_can_be_sent_to_another_process(some_weights: Weights) -> None:
    assert pickle.loads(pickle.dumps(some_weights)).digest == some_weights.digest
