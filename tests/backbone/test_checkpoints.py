import os
import pickle
from pathlib import Path

import pytest
import torch

from texture_store.backbone.checkpoints import read_checkpoint
from texture_store.backbone.weights import Weights, to_safetensors
from texture_store.errors import CorruptWeightsError, WeightsNotFoundError, WrongLineageError


class _Payload:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self._command,)


def test_a_torchvision_checkpoint_is_read(caffe_weights: Weights, tmp_path: Path) -> None:
    file = tmp_path / "vgg16.pth"
    blue_first = caffe_weights.tensors["features.0.weight"].flip(1)
    junk = {"classifier.0.weight": torch.full((4, 4), torch.nan)}
    torch.save({**caffe_weights.tensors, "features.0.weight": blue_first, **junk}, file)
    assert read_checkpoint(file).digest == caffe_weights.digest


def test_an_onnx_graph_is_read(caffe_weights: Weights, onnx_bytes: bytes, tmp_path: Path) -> None:
    file = tmp_path / "vgg16.onnx"
    file.write_bytes(onnx_bytes)
    weights = read_checkpoint(file)
    assert weights.lineage == "caffe"
    # Another public copy need not have the same bits, but must be the same network.
    for name, tensor in weights.tensors.items():
        assert torch.allclose(tensor, caffe_weights.tensors[name], rtol=1e-5, atol=1e-7), name


def test_a_foreign_checkpoint_is_refused_with_its_name(some_weights: Weights, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save(dict(some_weights.tensors), file)
    with pytest.raises(WrongLineageError, match=r"other\.pth: these are not the Caffe-lineage weights"):
        read_checkpoint(file)
    foreign = read_checkpoint(file, allow_foreign=True)
    assert (foreign.lineage, foreign.digest) == ("foreign", some_weights.digest)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_corrupt(some_weights: Weights, tmp_path: Path, name: str, share: float) -> None:
    file = tmp_path / name
    if name.endswith("pth"):
        torch.save(dict(some_weights.tensors), file)
    else:
        file.write_bytes(to_safetensors(some_weights))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptWeightsError, match=rf"^[^\n]*{name}: [^\n]*$"):
        read_checkpoint(file)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_onnx_graph_is_corrupt(onnx_bytes: bytes, tmp_path: Path, share: float) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(onnx_bytes[: int(share * len(onnx_bytes))])
    with pytest.raises(CorruptWeightsError, match=r"^[^\n]*a\.onnx: [^\n]*$"):
        read_checkpoint(file)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    payload = _Payload(f"touch {trace}")
    plain, wrapped = tmp_path / "plain.pth", tmp_path / "wrapped.pth"
    plain.write_bytes(pickle.dumps(payload))
    torch.save({"features.0.weight": payload}, wrapped)
    for file in (plain, wrapped):
        with pytest.raises(CorruptWeightsError, match="not a plain checkpoint of tensors"):
            read_checkpoint(file)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["a.pth", "a.onnx", "a.safetensors"])
def test_what_is_no_checkpoint_is_corrupt(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("<!DOCTYPE html>\n<title>404</title>\n" * 100)
    with pytest.raises(CorruptWeightsError, match=name):
        read_checkpoint(file)


def test_a_checkpoint_without_named_tensors_is_corrupt(tmp_path: Path) -> None:
    file = tmp_path / "list.pth"
    torch.save([torch.zeros(3)], file)
    with pytest.raises(CorruptWeightsError, match="named tensors"):
        read_checkpoint(file)


@pytest.mark.parametrize("name", ["gone.pth", "gone.onnx", "gone.safetensors"])
def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsNotFoundError, match=rf"{name}: No such file or directory"):
        read_checkpoint(tmp_path / name)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    for suffix in (".pth", ".onnx", ".safetensors"):
        folder = tmp_path / f"folder{suffix}"
        folder.mkdir()
        with pytest.raises((WeightsNotFoundError, CorruptWeightsError), match=f"folder{suffix}"):
            read_checkpoint(folder)


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptWeightsError, match=r"weights\.h5 is none of \.safetensors"):
        read_checkpoint(tmp_path / "weights.h5")
