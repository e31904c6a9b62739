"""Looking at micrographs again: read from the archive, shown to the network, and what some filters make of them.

Each image is read and shown once, whatever number of filters ask for it; a Ray task looks at some images of one spec.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.cluster import cluster_workers
from jobs.explain_request import Filter
from jobs.explain_textures import gpu_share
from jobs.fan_out import fan_out
from texture_store.objects import Storage
from texture_store.spec import NETWORK_LAYERS, FeatureSpec, Layer

BATCH = 4
"""Images of a task: few enough to spread over the cores of a machine, and the weights are read in 0.3 s."""

PICTURE_PX = 512
"""Longer side of the micrographs that are kept: what a screen shows."""

_FACTS = ("seen_width", "seen_height", "px_per_px_x", "px_per_px_y")


@dataclass
class Wanted:
    """What is wanted of one image."""

    patches: list[Filter] = field(default_factory=list)
    heat_maps: list[Filter] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.patches or self.heat_maps)


@dataclass(frozen=True)
class Looked:
    """What was found in one image: columns of schemas.EXEMPLARS and schemas.HEAT_MAPS."""

    seen: dict[str, Any]
    """The columns SEEN, without the scale, which the labels may say."""
    patches: dict[Filter, dict[str, Any]]
    heat_maps: dict[Filter, dict[str, Any]]


def look_at(
    storage: Storage,
    archive_url: str,
    images: pa.Table,
    wanted: Mapping[int, Wanted],
    spec_of: Callable[[Layer], FeatureSpec],
    join: Callable[[], None],
    *,
    doing: str,
) -> dict[tuple[int, str], Looked | None]:
    """What is found, by row of `images` (of a snapshot) and spec; None for an image that is not the indexed one now.

    `wanted` is by row. `join` connects to Ray, and is called only if something is wanted. Storage that cannot be read
    raises its StoreError.
    """
    by_spec: dict[str, tuple[FeatureSpec, dict[int, Wanted]]] = {}
    for row, one in wanted.items():
        for layer in NETWORK_LAYERS:
            spec = spec_of(layer)
            part = Wanted(
                [each for each in one.patches if each[0] == layer], [each for each in one.heat_maps if each[0] == layer]
            )
            if part:
                mine = by_spec.setdefault(spec.fingerprint, (spec, {}))[1].setdefault(row, Wanted())
                mine.patches += part.patches
                mine.heat_maps += part.heat_maps
    if not by_spec:
        return {}
    join()
    workers = cluster_workers()
    arguments, sizes = {}, {}
    for name, (spec, rows) in by_spec.items():
        order = sorted(rows)
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            key = (name, first)
            arguments[key] = (
                storage,
                archive_url,
                spec,
                images.take(pa.array(some)),
                [rows[row] for row in some],
                workers.device,
            )
            sizes[key] = len(some)
    answers = fan_out(_look, arguments, doing=doing, unit="images", sizes=sizes, num_gpus=gpu_share(workers))
    found: dict[tuple[int, str], Looked | None] = {}
    for name, (_, rows) in by_spec.items():
        order = sorted(rows)
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            found |= {(row, name): one for row, one in zip(some, answers[name, first], strict=True)}
    return found


def _look(
    storage: Storage,
    archive_url: str,
    spec: FeatureSpec,
    rows: pa.Table,
    wanted: Sequence[Wanted],
    device: str,
) -> list[Looked | None]:
    from texture_store.archive.fetch import fetch
    from texture_store.backbone.vgg16 import VGG16
    from texture_store.backbone.weights import from_safetensors
    from texture_store.errors import RejectedImageError
    from texture_store.micrograph.reading import read_micrograph
    from texture_store.store.specs import read_weights

    digest = spec.weights
    weights = from_safetensors(read_weights(storage, digest), digest=digest, allow_foreign=True)
    # What is kept are pictures: that a CPU has no TF32 does not show in them.
    precision = "float32" if spec.precision == "tf32" and device == "cpu" else spec.precision
    network = VGG16(weights, precision=precision, device=device)
    found: list[Looked | None] = []
    for fetched in fetch(rows, archive_url):
        if fetched.data is None:
            found.append(None)
            continue
        try:
            micrograph = read_micrograph(fetched.data, spec.pixels, sidecar=fetched.sidecar)
        except RejectedImageError:
            found.append(None)
            continue
        found.append(_found(network, micrograph.seen, micrograph.facts, wanted[fetched.index]))
    return found


def _found(network: Any, seen: npt.NDArray[np.uint8], facts: Mapping[str, Any], wanted: Wanted) -> Looked:
    import torch

    from texture_store.report.encoded import jpeg_bytes
    from texture_store.report.thumbnail import thumbnail

    looked = Looked(
        {name: facts[name] for name in _FACTS} | {"picture": jpeg_bytes(thumbnail(seen, PICTURE_PX, PICTURE_PX))},
        {},
        {},
    )
    every = [*wanted.patches, *wanted.heat_maps]
    layers = [layer for layer in NETWORK_LAYERS if any(layer == one for one, _ in every)]
    for layer, maps in network.feature_maps(torch.from_numpy(seen.copy())[None], layers):
        numbers = sorted({number for one, number in every if one == layer})
        activations = maps[0, numbers].to(device="cpu", dtype=torch.float32).numpy()
        for number, activation in zip(numbers, activations, strict=True):
            if (layer, number) in wanted.patches:
                looked.patches[layer, number] = _patch(seen, activation, layer)
            if (layer, number) in wanted.heat_maps:
                looked.heat_maps[layer, number] = _heat_map(activation)
    return looked


def _patch(seen: npt.NDArray[np.uint8], activation: npt.NDArray[np.float32], layer: Layer) -> dict[str, Any]:
    from texture_store.explain.patches import best_patch
    from texture_store.report.encoded import png_bytes

    patch = best_patch(activation, layer, *seen.shape)
    return {
        "patch": png_bytes(np.ascontiguousarray(patch.cut(seen))),
        "patch_left": patch.left,
        "patch_top": patch.top,
        "patch_side": patch.side,
        "patch_mean_activation": patch.mean_activation,
    }


def _heat_map(activation: npt.NDArray[np.float32]) -> dict[str, Any]:
    from texture_store.report.encoded import png_bytes

    highest = float(activation.max())
    levels = np.rint(activation * (255 / highest)).astype(np.uint8) if highest > 0 else activation.astype(np.uint8)
    return {
        "mean_activation": float(activation.mean(dtype=np.float64)),
        "highest_activation": highest,
        "activation": png_bytes(levels),
    }
