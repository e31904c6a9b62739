"""Weights from files of other projects: PyTorch checkpoints and ONNX graphs. Nothing in them is executed."""

import pickle
from pathlib import Path

import torch

from texture_store.backbone.lineage import CONV_INDICES
from texture_store.backbone.weights import Weights, from_safetensors, from_tensors
from texture_store.errors import CorruptWeightsError, MissingExtraError, WeightsError, WeightsNotFoundError

SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")


def read_checkpoint(file: Path, *, allow_foreign: bool = False) -> Weights:
    """The weights in a .safetensors, .pth, .pt or .onnx file; its name is in the message of every error.

    Raises WeightsNotFoundError for a file that is not there, CorruptWeightsError for a truncated one or another kind,
    and WrongLineageError as from_tensors does.
    """
    if file.suffix not in SUFFIXES:
        raise CorruptWeightsError(f"{file} is none of {' '.join(SUFFIXES)}; convert the weights to one of them")
    try:
        if file.suffix == ".safetensors":
            return from_safetensors(file.read_bytes(), allow_foreign=allow_foreign)
        tensors = onnx_tensors(file.read_bytes()) if file.suffix == ".onnx" else _pytorch_tensors(file)
        return from_tensors(tensors, allow_foreign=allow_foreign)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsNotFoundError(f"weights file {file}: {reason}; check --weights") from None
    except WeightsError as error:
        raise type(error)(f"{file}: {error}") from None


def onnx_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """The first 13 convolutions of an ONNX graph, under torchvision's names. Raises CorruptWeightsError."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("reading .onnx weights needs onnx: pip install 'texture-store[jobs]'") from None
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        graph = onnx.load_model_from_string(data).graph
    except DecodeError:
        raise CorruptWeightsError(f"not a whole ONNX file ({len(data)} bytes); fetch it again") from None
    constants = {constant.name: constant for constant in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    tensors: dict[str, torch.Tensor] = {}
    for index, node in zip(CONV_INDICES, convolutions, strict=False):
        for kind, name in zip(("weight", "bias"), node.input[1:], strict=False):
            if name in constants:
                # A tensor kept outside the file fails here: no other file is opened for a graph.
                try:
                    array = onnx.numpy_helper.to_array(constants[name])
                except (ValueError, TypeError, OSError):
                    raise CorruptWeightsError(f"the ONNX tensor {name} cannot be read; fetch the file again") from None
                tensors[f"features.{index}.{kind}"] = torch.from_numpy(array.copy())
    return tensors


def _pytorch_tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError:
        raise CorruptWeightsError("not a plain checkpoint of tensors (anything else is not opened)") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CorruptWeightsError(f"not a whole PyTorch checkpoint ({reason}); fetch it again") from None
    if not isinstance(content, dict):
        raise CorruptWeightsError("not a checkpoint with named tensors")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}
