"""Gradient ascent on the mean activation of filters.

Shape suffixes: F filters, B pictures, C channels of a picture (1 or 3), D filters of a layer, H and W px.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softplus

from texture_store.backbone.vgg16 import MEANS_RGB, VGG16
from texture_store.explain.contrast import MEAN_GREY
from texture_store.explain.recipes import Recipe
from texture_store.spec import LAYERS, Layer
from texture_store.torch_switches import fixed_convolutions

_JITTER_STREAM = 1 << 20
"""A stream of random numbers beside those of the filters."""

Draw = Callable[[torch.Tensor], torch.Tensor]


def ascend(
    network: VGG16, layer: Layer, filters: Sequence[int], recipe: Recipe, *, seed: int, device: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """(pictures float32 (F, C, H, W) in units of their own, whether the filter was active at any step bool (F,)).

    A start depends on seed, layer, filter and its number alone.
    """
    starts = np.stack([_start(recipe, seed, layer, number, k) for number in filters for k in range(recipe.starts)])
    unknowns_BCHW = torch.from_numpy(starts).to(device)
    filters_B = torch.tensor(filters, device=device).repeat_interleave(recipe.starts)
    if recipe.unknowns == "pixels":
        return _ascend_pixels(network, layer, filters_B, unknowns_BCHW, recipe)
    return _ascend_spectrum(network, layer, filters_B, unknowns_BCHW, recipe, seed=seed)


def _start(recipe: Recipe, seed: int, layer: Layer, number: int, start: int) -> npt.NDArray[np.float32]:
    generator = np.random.default_rng([seed, LAYERS.index(layer), number, start])
    if recipe.unknowns == "pixels":
        uniform = generator.random((3, recipe.side_px, recipe.side_px), dtype=np.float32)
        return (uniform - np.float32(0.5)) * np.float32(20) + np.float32(128)
    return generator.standard_normal((1, recipe.side_px, recipe.side_px), dtype=np.float32)


def _ascend_pixels(
    network: VGG16, layer: Layer, filters_B: torch.Tensor, input_BCHW: torch.Tensor, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    was_active_B = torch.zeros(len(filters_B), dtype=torch.bool, device=filters_B.device)
    is_climbing_B = ~was_active_B
    for _ in range(recipe.steps):
        means_B, gradient_BCHW = _gradient(network, layer, filters_B, input_BCHW, lambda pixels: pixels, softness=0.0)
        is_climbing_B = is_climbing_B & (means_B > 0)
        was_active_B = was_active_B | is_climbing_B
        step_BCHW = gradient_BCHW / (_rms(gradient_BCHW) + 1e-5)
        input_BCHW = input_BCHW + step_BCHW * is_climbing_B[:, None, None, None]
        if not is_climbing_B.any():
            break
    return input_BCHW, was_active_B


def _ascend_spectrum(
    network: VGG16, layer: Layer, filters_B: torch.Tensor, white_B1HW: torch.Tensor, recipe: Recipe, *, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The unknowns are a white picture of rms 1, whose spectrum is shaped: the same as unknown amplitudes and phases.

    The gradient, of rms 1, is added with a weight that falls from 1 to 0 as half a cosine, and the sum is brought back
    to rms 1. Of a convex function on a sphere the gradient itself would be the next point (Journée et al. 2010, the
    generalised power method), which is why 20 such steps get as far as hundreds of small ones.
    """
    device = white_B1HW.device
    shaping_HW = _shaping(recipe).to(device)
    means_3 = torch.tensor(MEANS_RGB, device=device)
    shifts = np.random.default_rng([seed, _JITTER_STREAM])
    num_filters = len(filters_B) // recipe.starts
    was_active_F = torch.zeros(num_filters, dtype=torch.bool, device=device)
    for step in range(recipe.steps):
        reach = round(recipe.jitter_px * (1 - step / max(recipe.steps - 1, 1)))
        rows, columns = (int(shift) for shift in shifts.integers(-reach, reach + 1, 2))

        def draw(white_B1HW: torch.Tensor, rows: int = rows, columns: int = columns) -> torch.Tensor:
            grey_B1HW = (MEAN_GREY + recipe.contrast * _shaped(white_B1HW, shaping_HW)).clamp(0, 255)
            shifted_BHW1 = torch.roll(grey_B1HW, (rows, columns), dims=(2, 3)).permute(0, 2, 3, 1)
            return (shifted_BHW1 - means_3).permute(0, 3, 1, 2)

        means_B, gradient_B1HW = _gradient(network, layer, filters_B, white_B1HW, draw, softness=recipe.softness)
        was_active_F |= (means_B > 0).view(num_filters, -1).any(dim=1)
        weight = (1 + math.cos(math.pi * step / recipe.steps)) / 2
        # A gradient of 0 (no filter is that blind) leaves the picture as it is.
        white_B1HW = white_B1HW + weight * gradient_B1HW / _rms(gradient_B1HW).clamp(min=1e-30)
        white_B1HW = white_B1HW / _rms(white_B1HW)
        if len(filters_B) > num_filters and step + 1 >= recipe.trial_steps:
            best_F = means_B.view(num_filters, -1).argmax(dim=1)
            kept_F = torch.arange(num_filters, device=device) * recipe.starts + best_F
            white_B1HW, filters_B = white_B1HW[kept_F], filters_B[kept_F]
    return _shaped(white_B1HW, shaping_HW), was_active_F


def _gradient(
    network: VGG16, layer: Layer, filters_B: torch.Tensor, unknowns_BCHW: torch.Tensor, draw: Draw, *, softness: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean activations (B,) of each picture's own filter, and the gradient of what is ascended to its unknowns.

    With a softness this is the mean of a softplus. Where a filter is silent its highest position counts as being at the
    threshold: far below it softplus has no gradient that float32 could hold.
    """
    unknowns_BCHW = unknowns_BCHW.detach().requires_grad_()
    with torch.enable_grad(), fixed_convolutions():
        before_BDHW = network.preactivations(draw(unknowns_BCHW), layer)
        before_BHW = before_BDHW[torch.arange(len(filters_B), device=filters_B.device), filters_B]
        means_B = before_BHW.relu().mean(dim=(1, 2))
        ascended_B = means_B
        if softness > 0:
            fixed_BHW = before_BHW.detach()
            bend_B11 = softness * fixed_BHW.std(dim=(1, 2), keepdim=True).clamp(min=1e-6)
            threshold_B11 = fixed_BHW.amax(dim=(1, 2), keepdim=True).clamp(max=0)
            ascended_B = (bend_B11 * softplus((before_BHW - threshold_B11) / bend_B11)).mean(dim=(1, 2))
        (gradient_BCHW,) = torch.autograd.grad(ascended_B.sum(), unknowns_BCHW)
    return means_B.detach(), gradient_BCHW


def _shaping(recipe: Recipe) -> torch.Tensor:
    """Factors float32 (H, W // 2 + 1) of the spectrum: frequency to the power of -p, none of frequency 0."""
    rows_H1 = torch.fft.fftfreq(recipe.side_px)[:, None]
    columns_1W = torch.fft.rfftfreq(recipe.side_px)[None, :]
    frequencies_HW = torch.hypot(rows_H1, columns_1W)
    frequencies_HW[0, 0] = 1.0
    shaping_HW = frequencies_HW**-recipe.spectrum_power
    shaping_HW[0, 0] = 0.0
    return shaping_HW


def _shaped(white_B1HW: torch.Tensor, shaping_HW: torch.Tensor) -> torch.Tensor:
    """Pictures of mean 0 and rms 1 from white ones."""
    spectrum = torch.fft.rfft2(white_B1HW) * shaping_HW
    picture_B1HW: torch.Tensor = torch.fft.irfft2(spectrum, s=white_B1HW.shape[2:])
    return picture_B1HW / _rms(picture_B1HW)


def _rms(values_BCHW: torch.Tensor) -> torch.Tensor:
    return values_BCHW.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
