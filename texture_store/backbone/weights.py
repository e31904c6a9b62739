"""The weights of VGG16 in one canonical form, with their digest and lineage.

Canonical: torchvision's names `features.N.weight` (out, in, 3, 3) and `features.N.bias` (out,) for the 13 convolutions,
float32, contiguous, input channels in RGB order.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from texture_store.backbone.lineage import CONV_INDICES, FIRST_KERNEL, difference_from_caffe, is_blue_first
from texture_store.errors import CorruptWeightsError, WrongLineageError

CONV_CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
"""Output channels of the 13 convolutions (configuration D of Simonyan & Zisserman)."""

_INPUTS = (3, *CONV_CHANNELS[:-1])

TENSOR_SHAPES: dict[str, tuple[int, ...]] = {
    f"features.{index}.{kind}": shape
    for index, outputs, inputs in zip(CONV_INDICES, CONV_CHANNELS, _INPUTS, strict=True)
    for kind, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,)))
}
"""Name and shape of each of the 26 tensors, in canonical order."""

_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Weights:
    """The 26 tensors in canonical form; made by the functions below, which check them."""

    tensors: Mapping[str, torch.Tensor]
    lineage: str
    """`caffe` (the paper's), `foreign` (asked for by hand) or `random:SEED` (tests only)."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) over names, shapes and little-endian bytes in canonical order."""
        sha256 = hashlib.sha256()
        for name, shape in TENSOR_SHAPES.items():
            sha256.update(f"{name} float32 {list(shape)}\n".encode())
            sha256.update(self.tensors[name].numpy().astype("<f4", copy=False).tobytes())
        return sha256.hexdigest()


def from_tensors(tensors: Mapping[str, torch.Tensor], *, allow_foreign: bool = False) -> Weights:
    """Weights in canonical form from tensors with torchvision's names; other names are left out.

    BGR-ordered Caffe weights are turned into RGB-ordered ones. Raises CorruptWeightsError for tensors that are missing,
    of another shape or not finite, and WrongLineageError for another training of VGG16, unless `allow_foreign`; that
    one is taken to be RGB-ordered.
    """
    canonical = {name: _checked(name, tensors.get(name), shape) for name, shape in TENSOR_SHAPES.items()}
    if is_blue_first(canonical[FIRST_KERNEL]):
        canonical[FIRST_KERNEL] = canonical[FIRST_KERNEL].flip(1).contiguous()
    difference = difference_from_caffe(canonical)
    if difference is None:
        return Weights(canonical, "caffe")
    if allow_foreign:
        return Weights(canonical, "foreign")
    raise WrongLineageError(
        f"these are not the Caffe-lineage weights of the paper: {difference}; use torchvision's IMAGENET1K_FEATURES or "
        f"Keras' weights, or ask for foreign weights by name"
    )


def random_weights(*, seed: int) -> Weights:
    """He-initialised weights for tests: the same seed gives the same network."""
    generator = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, shape in TENSOR_SHAPES.items():
        spread = math.sqrt(2 / math.prod(shape[1:])) if len(shape) == 4 else 0.1
        tensors[name] = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32) * np.float32(spread))
    return Weights(tensors, f"random:{seed}")


def to_safetensors(weights: Weights) -> bytes:
    """The weights as the bytes of a safetensors file that has the lineage in its metadata.

    The same weights give the same bytes.
    """
    # A second metadata key would make the bytes vary: safetensors keeps them in a hash map.
    data: bytes = safetensors.torch.save(dict(weights.tensors), metadata={"lineage": weights.lineage})
    return data


def from_safetensors(data: bytes, *, digest: str | None = None, allow_foreign: bool = False) -> Weights:
    """Weights from the bytes of a safetensors file, of to_safetensors or with torchvision's names.

    The lineage is judged anew from the values; only `random:SEED` is believed, as it makes less of the file.
    Raises CorruptWeightsError for a truncated file or another digest than `digest`, and what from_tensors raises.
    """
    try:
        tensors = safetensors.torch.load(data)
        label = _metadata(data).get("lineage", "")
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CorruptWeightsError(
            f"not a whole safetensors file ({len(data)} bytes: {_one_line(error)}); fetch it again"
        ) from None
    is_random = re.fullmatch(r"random:[0-9]+", label) is not None
    weights = from_tensors(tensors, allow_foreign=allow_foreign or is_random)
    if is_random and weights.lineage == "foreign":
        weights = Weights(weights.tensors, label)
    if digest is not None and weights.digest != digest:
        found = weights.digest[:12]
        raise CorruptWeightsError(f"the weights have digest {found} instead of {digest[:12]}; fetch them again")
    return weights


def _checked(name: str, tensor: torch.Tensor | None, shape: tuple[int, ...]) -> torch.Tensor:
    if tensor is None:
        raise CorruptWeightsError(f"the weights lack {name}, a convolution of VGG16 under torchvision's name")
    if tuple(tensor.shape) != shape or not tensor.is_floating_point():
        found = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise CorruptWeightsError(f"{name} is {found} instead of float32 {list(shape)}; this is not a VGG16")
    canonical = tensor.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()
    if not torch.isfinite(canonical).all():
        raise CorruptWeightsError(f"{name} has values that are not finite; fetch the weights again")
    return canonical


def _metadata(data: bytes) -> dict[str, str]:
    """The free text of a safetensors header; the library gives it for files only, not for bytes."""
    length = min(int.from_bytes(data[:8], "little"), _MAX_HEADER_BYTES)
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
