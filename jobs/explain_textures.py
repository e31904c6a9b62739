"""Textures of filters: what the store lacks is made by Ray tasks, each of some filters of one layer."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from jobs.cluster import Workers, cluster_workers
from jobs.explain_plan import ExplanationPlan
from jobs.explain_request import Filter
from jobs.explain_versions import network_versions
from jobs.fan_out import fan_out
from schemas import TEXTURES
from texture_store.objects import Storage
from texture_store.spec import NETWORK_LAYERS, Layer
from texture_store.store.specs import read_weights
from texture_store.store.textures import read_textures, textures_there, write_texture

FILTERS_PER_TASK = {"cpu": 4, "cuda": 16}
"""What is lost when a task is killed is 10 s of one core, and the weights are read in 0.3 s. A GPU makes 16 at once."""
SEED = 0

_Missing = tuple[str, Layer, str, list[int]]
"""Weights, layer, recipe, filters."""


def textures(plan: ExplanationPlan, filters: Sequence[Filter], join: Callable[[], None]) -> tuple[pa.Table, int]:
    """Rows of schemas.TEXTURES of these filters, by the recipes that are asked for, and how many had to be made.

    `join` connects to Ray, and is called only where one is made.
    """
    from texture_store.explain.recipes import RECIPES

    asked = plan.request.recipe
    recipes = [recipe for name, recipe in RECIPES.items() if asked in (name, "both")]
    by_layer = {layer: sorted({number for one, number in filters if one == layer}) for layer in NETWORK_LAYERS}
    by_layer = {layer: numbers for layer, numbers in by_layer.items() if numbers}
    missing: list[_Missing] = []
    for layer, numbers in by_layer.items():
        weights = plan.spec_of(layer).weights
        for recipe in recipes:
            there = textures_there(plan.storage, weights, layer, recipe.key)
            if lacking := [number for number in numbers if number not in there]:
                missing.append((weights, layer, recipe.name, lacking))
    if missing:
        join()
        _make_all(plan.storage, missing)
    tables = [
        read_textures(
            plan.storage, weights=plan.spec_of(layer).weights, layer=layer, filters=numbers, recipe=recipe.key
        )
        for layer, numbers in by_layer.items()
        for recipe in recipes
    ]
    return pa.concat_tables([TEXTURES.empty_table(), *tables]), sum(len(one[3]) for one in missing)


def _make_all(storage: Storage, missing: Sequence[_Missing]) -> None:
    workers = cluster_workers()
    size = FILTERS_PER_TASK[workers.device]
    # The deep layers take longest: last, they would leave cores idle at the end.
    order = sorted(missing, key=lambda one: -NETWORK_LAYERS.index(one[1]))
    parts = [
        (weights, layer, recipe, numbers[first : first + size])
        for weights, layer, recipe, numbers in order
        for first in range(0, len(numbers), size)
    ]
    arguments = {place: (storage, *part, workers.device) for place, part in enumerate(parts)}
    sizes = {place: len(part[3]) for place, part in enumerate(parts)}
    fan_out(_make, arguments, doing="textures", unit="filters", sizes=sizes, num_gpus=gpu_share(workers))


def gpu_share(workers: Workers) -> float:
    """Of a GPU that a task of the network asks for."""
    return 1.0 if workers.device == "cuda" else 0.0


def _make(storage: Storage, digest: str, layer: Layer, recipe_name: str, numbers: list[int], device: str) -> None:
    import torch

    from texture_store.backbone.weights import from_safetensors
    from texture_store.explain.recipes import find_recipe
    from texture_store.explain.textures import make_textures
    from texture_store.report.encoded import png_bytes

    torch.set_num_threads(1)  # a texture's bits depend on their number
    recipe = find_recipe(recipe_name)
    weights = from_safetensors(read_weights(storage, digest), digest=digest, allow_foreign=True)
    name = torch.cuda.get_device_name() if device == "cuda" else str(torch.cpu.get_capabilities().get("cpu_name"))
    for texture in make_textures(weights, layer, numbers, recipe, seed=SEED, device=device):
        write_texture(
            storage,
            {
                "weights": digest,
                "lineage": weights.lineage,
                "layer": layer,
                "filter": texture.filter,
                "recipe": recipe.name,
                "recipe_key": recipe.key,
                "seed": SEED,
                "picture": png_bytes(texture.picture),
                "is_dead": texture.is_dead,
                "activation": texture.activation,
                "noise_activation": texture.noise_activation,
                "device": name,
                "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "versions": network_versions(),
            },
        )
