"""The texture of a filter: the picture that the filter answers to most (Ling et al. 2017, Figure 8).

What is kept and what is compared. `better` makes grey pictures, as the network meets them in micrographs. `paper`
makes RGB pictures, as the Keras example does; they are kept as they came out, since a reader who compares them with the
paper's figure looks for that, colours and faint contrast included. Activations are compared on grey pictures of mean
127.5 and RMS contrast 51, for both: a filter for colours is not what a micrograph can show, and RGB pictures would gain
by what no micrograph has.

Measured with the caffe weights on 64 filters a layer, 20 steps each, one CPU thread. All were alive under `better`; the
share is of all 64. The ratio is better's activation to paper's, median; in brackets with paper's pictures left in RGB.

| layer   | 5x noise: better | paper | median gain: better | paper | better to paper | dead: paper | s/filter: better |
|---------|------------------|-------|---------------------|-------|-----------------|-------------|------------------|
| conv1_2 | 5 %              | 0 %   | 2.6                 | 1.8   | 1.24 (1.10)     | 0           | 0.5              |
| conv2_2 | 67 %             | 47 %  | 8.3                 | 4.3   | 1.25 (1.08)     | 0           | 0.9              |
| conv3_3 | 98 %             | 94 %  | 95                  | 57    | 1.34 (0.96)     | 0           | 1.6              |
| conv4_3 | 100 %            | 58 %  | 1560                | 33    | 7.7 (3.0)       | 27          | 2.4              |
| conv5_3 | 100 %            | 12 %  | noise is silent     | 0     | paper is silent | 56          | 2.8              |

The paper's low noise leaves most filters of conv5_3 silent, and its ascent has no way out of that.

Why not 5x at conv1_2 and conv2_2: their filters see 5 and 14 px. A linear filter of n x n weights w answers to a
grating with c |W(f)| and to white noise of the same contrast with c |w|, and |W(f)| is at most n |w| (Cauchy-Schwarz):
5 times is the bound at conv1_2, for a filter that passes one frequency alone; thresholds lift few above it. More steps
do not help. Of the 16 filters first measured, those with the lowest gains reach in 150 steps (white unknowns, no
jitter) 1.2 to 3.0 at conv1_2 (8 filters; in 20 steps 1.2 to 2.5) and 2.1, 3.0 and 3.4 at conv2_2 (in 20 steps 2.0, 2.6
and 3.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.errors import UsageError
from texture_store.explain.activations import noise_activations, picture_activations
from texture_store.explain.ascent import ascend
from texture_store.explain.contrast import COMPARED_CONTRAST, Pixels, as_grey, at_contrast, deprocess
from texture_store.explain.recipes import Recipe
from texture_store.spec import NETWORK_LAYERS, NUM_CHANNELS, Layer

FILTERS_PER_BATCH = {"cpu": 1, "cuda": 16}
"""Fixed, the last batch padded, so that a texture does not depend on which others are made.

A CPU gains nothing from more (measured: 0.10 s a step and picture at conv5_3 with 1 as with 8).
"""


@dataclass(frozen=True)
class Texture:
    """A filter's texture and what it achieves."""

    layer: Layer
    filter: int
    picture: Pixels
    """uint8 (H, W) grey, or (H, W, 3) RGB of a recipe that is not grey; level 128 throughout for a dead filter."""
    is_dead: bool
    """No start of the recipe activated the filter at any step."""
    activation: float
    """Mean activation over the picture in grey, at mean 127.5 and RMS contrast 51; 0 for a dead filter."""
    noise_activation: float
    """Mean activation over white noise of the same mean, contrast and size."""

    @property
    def gain(self) -> float | None:
        """Activation as a multiple of the noise's; infinite where only noise is silent, None for a dead filter."""
        if self.is_dead:
            return None
        if self.noise_activation == 0:
            return float("inf") if self.activation > 0 else None
        return self.activation / self.noise_activation


def make_textures(
    weights: Weights, layer: Layer, filters: Sequence[int], recipe: Recipe, *, seed: int = 0, device: str = "cpu"
) -> Iterator[Texture]:
    """The textures of the filters, one by one in their order, float32 throughout.

    Same weights, recipe, layer, filter, seed, processor and number of threads: same bits, whatever other filters are
    asked for. Ascent magnifies rounding: another kind of processor gives a picture of the same kind, not the same one.

    Raises UsageError, before anything is computed, for a filter that the layer does not have and for a layer that is
    not a convolution's.
    """
    check_filters(layer, filters)
    return _textures(weights, layer, [int(number) for number in filters], recipe, seed=seed, device=device)


def check_filters(layer: str, filters: Sequence[int]) -> None:
    """Raises UsageError for a layer that has no filters, or does not have one of these."""
    if layer == "input":
        raise UsageError(f"layer input is the picture itself and has no filters; the layers are {_names()}")
    if layer not in NETWORK_LAYERS:
        raise UsageError(f"no layer {layer!r}; the layers are {_names()}")
    last = NUM_CHANNELS[layer] - 1
    for number in filters:
        if not 0 <= number <= last:
            raise UsageError(f"layer {layer} has no filter {number}; its filters are 0 to {last}")


def _names() -> str:
    return " ".join(NETWORK_LAYERS)


def _textures(
    weights: Weights, layer: Layer, filters: list[int], recipe: Recipe, *, seed: int, device: str
) -> Iterator[Texture]:
    if not filters:
        return
    network = VGG16(weights, precision="float32", device=device)
    noise_D = noise_activations(network, layer, side_px=recipe.side_px, seed=seed, device=device)
    size = FILTERS_PER_BATCH[torch.device(device).type]
    for first in range(0, len(filters), size):
        asked = filters[first : first + size]
        padded = asked + asked[-1:] * (size - len(asked))
        pictures_FCHW, is_active_F = ascend(network, layer, padded, recipe, seed=seed, device=device)
        for place, number in enumerate(asked):
            picture = _finished(pictures_FCHW[place].permute(1, 2, 0).cpu().numpy(), recipe)
            is_dead = not is_active_F[place].item()
            activation = 0.0
            if is_dead:
                picture = np.full_like(picture, 128)
            else:
                grey = at_contrast(as_grey(picture), COMPARED_CONTRAST)
                activation = float(picture_activations(network, layer, grey, device=device)[number])
            yield Texture(layer, number, picture, is_dead, activation, float(noise_D[number]))


def _finished(values_HWC: npt.NDArray[np.float32], recipe: Recipe) -> Pixels:
    return at_contrast(values_HWC[:, :, 0], recipe.contrast) if recipe.is_grey else deprocess(values_HWC)
