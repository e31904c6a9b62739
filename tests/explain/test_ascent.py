"""The ascent against its definition, written out in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d, relu

from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.explain.ascent import ascend
from texture_store.explain.recipes import BETTER, PAPER, Recipe
from texture_store.spec import LAYERS

SMALL = 32


def _conv2_2(weights: Weights, values: torch.Tensor) -> torch.Tensor:
    """Before ReLU, float64."""
    for place in (0, 2, 5, 7):
        kernel, bias = (weights.tensors[f"features.{place}.{kind}"].double() for kind in ("weight", "bias"))
        before = conv2d(values, kernel, bias, padding=1)
        values = relu(before)
        if place == 2:
            values = max_pool2d(values, 2)
    return before


def test_the_papers_ascent_is_that_of_the_keras_example(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    recipe = replace(PAPER, side_px=SMALL)
    (start,), _ = ascend(network, "conv2_2", [5], replace(recipe, steps=0), seed=3)
    assert start.min() >= 118
    assert start.max() <= 138
    assert start.mean() == pytest.approx(128, abs=0.5)
    x = start[None].double()
    for _ in range(4):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(relu(_conv2_2(some_weights, x))[:, 5].mean(), x)
        x = x + gradient / (gradient.square().mean().sqrt() + 1e-5)
    (found,), was_active = ascend(network, "conv2_2", [5], replace(recipe, steps=4), seed=3)
    assert was_active.tolist() == [True]
    moved = (x[0] - start).norm()
    assert (found - x[0]).norm() < 1e-2 * moved


def _first_step(weights: Weights, recipe: Recipe, *, seed: int, number: int, start: int) -> tuple[float, torch.Tensor]:
    """Activation of a start, and the picture (1, H, W) one step of weight 1 after it, both in float64."""
    place = LAYERS.index("conv2_2")
    noise = np.random.default_rng([seed, place, number, start]).standard_normal((1, 1, SMALL, SMALL), np.float32)
    white = torch.from_numpy(noise).double().requires_grad_()
    frequencies = np.hypot(np.fft.fftfreq(SMALL)[:, None], np.fft.rfftfreq(SMALL))
    frequencies[0, 0] = np.inf
    shaping = torch.from_numpy(frequencies**-recipe.spectrum_power)

    def picture(white: torch.Tensor) -> torch.Tensor:
        values = torch.fft.irfft2(torch.fft.rfft2(white) * shaping)
        return values / values.square().mean().sqrt()

    grey = (127.5 + recipe.contrast * picture(white)).clamp(0, 255)
    means = torch.tensor([123.68, 116.779, 103.939], dtype=torch.float64).view(3, 1, 1)
    before = _conv2_2(weights, grey - means)[:, number]
    # The softplus of the definition: log(1 + exp(x / b)) b, b half a standard deviation (of n - 1 degrees of freedom).
    bend = recipe.softness * before.std().detach()
    ascended = (torch.log1p(torch.exp(before / bend)) * bend).mean()
    (gradient,) = torch.autograd.grad(ascended, white)
    stepped = picture(white + gradient / gradient.square().mean().sqrt())
    return relu(before).mean().item(), stepped[0].detach()


def test_a_step_of_the_spectrum_ascends_the_filters_mean(some_weights: Weights) -> None:
    recipe = replace(BETTER, side_px=SMALL, starts=1, jitter_px=0, steps=1)
    _, expected = _first_step(some_weights, recipe, seed=3, number=5, start=0)
    (found,), _ = ascend(VGG16(some_weights, precision="float32"), "conv2_2", [5], recipe, seed=3)
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_pictures_of_the_spectrum_have_mean_0_and_rms_1(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    pictures, _ = ascend(network, "conv1_2", [0, 1], replace(BETTER, side_px=SMALL, steps=4), seed=0)
    assert pictures.shape == (2, 1, SMALL, SMALL)
    torch.testing.assert_close(pictures.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(pictures.square().mean(dim=(1, 2, 3)), torch.ones(2))


def test_of_several_starts_the_most_active_one_goes_on(some_weights: Weights) -> None:
    recipe = replace(BETTER, side_px=SMALL, starts=3, trial_steps=1, jitter_px=0, steps=1)
    filters = [0, 1, 2, 3, 4]
    found, _ = ascend(VGG16(some_weights, precision="float32"), "conv2_2", filters, recipe, seed=0)
    chosen = []
    for place, number in enumerate(filters):
        steps = [_first_step(some_weights, recipe, seed=0, number=number, start=start) for start in range(3)]
        chosen.append(int(np.argmax([activation for activation, _ in steps])))
        expected = steps[chosen[-1]][1]
        assert (found[place] - expected).norm() < 1e-3 * expected.norm()
    assert len(set(chosen)) > 1
