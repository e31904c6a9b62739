from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.encoding.encode import encode
from texture_store.errors import UsageError
from texture_store.explain import textures
from texture_store.explain.contrast import at_contrast
from texture_store.explain.recipes import BETTER, PAPER, Recipe
from texture_store.explain.textures import Texture, make_textures
from texture_store.spec import NUM_CHANNELS, Layer

SMALL_PAPER = replace(PAPER, side_px=32)
SMALL_BETTER = replace(BETTER, side_px=32)
BOTH = pytest.mark.parametrize("recipe", [SMALL_PAPER, SMALL_BETTER], ids=["paper", "better"])


def _with_biases(weights: Weights, place: int, filters: Sequence[int], bias: float) -> Weights:
    tensors = dict(weights.tensors)
    biases = tensors[f"features.{place}.bias"].clone()
    biases[list(filters)] = bias
    return Weights({**tensors, f"features.{place}.bias": biases}, weights.lineage)


@BOTH
def test_textures_come_in_the_order_asked_for_with_their_activations(some_weights: Weights, recipe: Recipe) -> None:
    found = list(make_textures(some_weights, "conv2_2", [9, 2, 9], recipe))
    assert [(texture.layer, texture.filter) for texture in found] == [("conv2_2", 9), ("conv2_2", 2), ("conv2_2", 9)]
    np.testing.assert_array_equal(found[0].picture, found[2].picture)
    for texture in found:
        picture = texture.picture
        assert picture.dtype == np.uint8
        assert picture.shape == ((32, 32) if recipe.is_grey else (32, 32, 3))
        assert picture.mean() == pytest.approx(127.5, abs=1)
        assert picture.std() == pytest.approx(recipe.contrast, abs=0.5)
        # The activation is the mean feature of the picture, once it is grey and of the contrast of comparisons.
        grey = at_contrast(picture.astype(float).reshape(32, 32, -1).mean(axis=2), 51)
        ((_, maps),) = VGG16(some_weights, precision="float32").feature_maps(torch.from_numpy(grey[None]), ["conv2_2"])
        expected = encode(maps, ["mean"]).vectors["mean"][0, texture.filter]
        assert texture.activation == pytest.approx(expected, rel=1e-4)
        assert texture.gain == texture.activation / texture.noise_activation


def test_the_better_recipe_raises_every_activation_and_more_than_the_papers(some_weights: Weights) -> None:
    filters = range(0, 128, 16)
    better, paper = (list(make_textures(some_weights, "conv2_2", filters, r)) for r in (SMALL_BETTER, SMALL_PAPER))
    assert all(texture.activation > 1.2 * texture.noise_activation for texture in better)
    assert sum(b.activation > p.activation for b, p in zip(better, paper, strict=True)) > 4


@BOTH
def test_the_same_seed_gives_the_same_bits_and_another_one_another_picture(
    some_weights: Weights, recipe: Recipe
) -> None:
    first, again, other = (next(make_textures(some_weights, "conv1_2", [3], recipe, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.picture, again.picture)
    assert first.activation == again.activation
    assert (first.picture != other.picture).mean() > 0.1


@BOTH
@pytest.mark.parametrize("size", [1, 4])
def test_a_texture_does_not_depend_on_place_and_neighbours_in_its_batch(
    some_weights: Weights, recipe: Recipe, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(textures.FILTERS_PER_BATCH, "cpu", size)
    recipe = replace(recipe, steps=5)
    (expected,) = make_textures(some_weights, "conv3_3", [7], recipe)
    for filters in ([1, 2, 3, 7, 4], [0, 1, 2, 3, 4, 7], [9, 7]):
        found = list(make_textures(some_weights, "conv3_3", filters, recipe))[filters.index(7)]
        np.testing.assert_array_equal(found.picture, expected.picture)
        assert found.activation == expected.activation


@BOTH
@pytest.mark.parametrize("layer", ["conv1_2", "conv4_3", "conv5_3"])
def test_every_layer_has_textures_for_its_last_filter(some_weights: Weights, recipe: Recipe, layer: Layer) -> None:
    last = NUM_CHANNELS[layer] - 1
    (texture,) = make_textures(some_weights, layer, [last], replace(recipe, steps=3))
    assert (texture.layer, texture.filter) == (layer, last)
    assert np.isfinite([texture.activation, texture.noise_activation]).all()


@BOTH
def test_a_filter_that_nothing_activates_is_named_dead(some_weights: Weights, recipe: Recipe) -> None:
    weights = _with_biases(some_weights, 2, [6], -1e6)
    alive, dead = make_textures(weights, "conv1_2", [5, 6], recipe)
    assert (alive.is_dead, dead.is_dead) == (False, True)
    assert (dead.picture == 128).all()
    assert dead.picture.shape == alive.picture.shape
    assert (dead.activation, dead.noise_activation, dead.gain) == (0.0, 0.0, None)


@BOTH
def test_a_filter_without_any_gradient_makes_no_nan(some_weights: Weights, recipe: Recipe) -> None:
    kernel = some_weights.tensors["features.2.weight"].clone()
    kernel[6] = 0
    blind = Weights({**some_weights.tensors, "features.2.weight": kernel}, some_weights.lineage)
    for bias, is_dead in ((-1.0, True), (1.0, False)):
        (texture,) = make_textures(_with_biases(blind, 2, [6], bias), "conv1_2", [6], recipe)
        assert texture.is_dead == is_dead
        assert texture.gain == (None if is_dead else pytest.approx(1.0))


def test_the_better_recipe_wakes_filters_that_noise_leaves_silent(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    noise = torch.from_numpy(np.random.default_rng(0).normal(127.5, 51, (8, 32, 32)).clip(0, 255).astype(np.uint8))
    ((_, maps),) = network.feature_maps(noise, ["conv2_2"])
    highest = maps.amax(dim=(0, 2, 3))
    filters = [4, 40, 70]
    weights = some_weights
    for number in filters:
        raised = float(some_weights.tensors["features.7.bias"][number] - 1.5 * highest[number])
        weights = _with_biases(weights, 7, [number], raised)
    for texture in make_textures(weights, "conv2_2", filters, SMALL_BETTER):
        assert not texture.is_dead
        assert texture.noise_activation == 0
        assert texture.activation > 0
        assert texture.gain == float("inf")
    assert [texture.is_dead for texture in make_textures(weights, "conv2_2", filters, SMALL_PAPER)] == [True] * 3


def test_no_filters_are_no_textures(some_weights: Weights) -> None:
    assert list(make_textures(some_weights, "conv1_2", [], BETTER)) == []


@pytest.mark.parametrize(
    ("layer", "filters", "message"),
    [
        ("conv1_2", [0, 64], "conv1_2 has no filter 64; its filters are 0 to 63"),
        ("conv5_3", [-1], "conv5_3 has no filter -1; its filters are 0 to 511"),
        ("conv9_9", [0], r"no layer 'conv9_9'; the layers are conv1_2 .* conv5_3"),
        ("input", [0], "layer input is the picture itself and has no filters"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_the_network_does_not_have_is_refused_before_anything_is_computed(
    some_weights: Weights, layer: Layer, filters: list[int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_textures(some_weights, layer, filters, BETTER)


def _coherence(picture: npt.NDArray[np.uint8]) -> float:
    """How much the gradients of a picture agree on an orientation: 0 not at all, 1 altogether (structure tensor)."""
    by_row, by_column = np.gradient(picture.astype(float))
    products = [[(one * other).mean() for one in (by_row, by_column)] for other in (by_row, by_column)]
    low, high = np.linalg.eigvalsh(products)
    return float((high - low) / (high + low))


@pytest.mark.slow
def test_real_filters_of_conv1_2_answer_to_gratings(caffe_weights: Weights) -> None:
    """Simple cells in all but name: most of the layer's filters have an orientation."""
    found = list(make_textures(caffe_weights, "conv1_2", [11, 12, 26, 28, 32, 47], BETTER))
    assert min(_coherence(texture.picture) for texture in found) > 0.7
    assert all(texture.activation > 1.5 * texture.noise_activation for texture in found)


def _gains(found: list[Texture]) -> list[float]:
    return [texture.gain if texture.gain is not None else 0.0 for texture in found]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("layer", ["conv3_3", "conv4_3", "conv5_3"])
def test_real_filters_answer_to_their_textures_five_times_as_much_as_to_noise(
    caffe_weights: Weights, layer: Layer
) -> None:
    filters = [8, 38, 211]
    better, paper = (list(make_textures(caffe_weights, layer, filters, recipe)) for recipe in (BETTER, PAPER))
    assert min(_gains(better)) >= 5
    assert np.median([b.activation - p.activation for b, p in zip(better, paper, strict=True)]) > 0


@pytest.mark.gpu
def test_a_gpu_achieves_what_the_cpu_does(some_weights: Weights) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    filters = [3, 1, 4]
    by_cpu = list(make_textures(some_weights, "conv3_3", filters, SMALL_BETTER))
    found = list(make_textures(some_weights, "conv3_3", filters, SMALL_BETTER, device="cuda"))
    alone = [next(make_textures(some_weights, "conv3_3", [n], SMALL_BETTER, device="cuda")) for n in filters]
    for cpu, gpu, single in zip(by_cpu, found, alone, strict=True):
        assert gpu.activation == pytest.approx(cpu.activation, rel=0.1)
        np.testing.assert_array_equal(gpu.picture, single.picture)
