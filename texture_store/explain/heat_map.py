"""The activation of single filters over a picture: Figure 10 of Ling et al. 2017."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from texture_store.backbone.vgg16 import VGG16
from texture_store.errors import DimensionMismatchError
from texture_store.explain.positions import STRIDES, check_filter, map_shape
from texture_store.spec import Layer


def activation_maps(network: VGG16, picture: np.ndarray, layer: Layer, filters: Sequence[int]) -> np.ndarray:
    """The activation of some filters of a layer, after ReLU, at every position of the layer's map.

    Takes a picture as the network sees it, uint8 (H, W), sides of 32 px and more. Gives float32 (filters, h, w), h and
    w being H and W divided by the layer's stride, rounded down. The mean over positions is the feature `mean`.

    Raises DimensionMismatchError for another array, UsageError for a layer or filter that does not exist.
    """
    for filter_number in filters:
        check_filter(layer, filter_number)
    if picture.ndim != 2:  # the network itself says what else a picture needs
        raise DimensionMismatchError(f"a heat map takes one uint8 picture (H, W), not {picture.dtype} {picture.shape}")
    pixels = torch.from_numpy(np.array(picture)[np.newaxis])  # a copy: pictures that were read may be read-only
    ((_, maps),) = network.feature_maps(pixels, [layer])
    return np.ascontiguousarray(maps[0, list(filters)].to(device="cpu", dtype=torch.float32).numpy())


def enlarge(activation: np.ndarray, layer: Layer, height: int, width: int, *, smooth: bool = True) -> np.ndarray:
    """A map (h, w) at the size of the picture it was made from: float32 (height, width).

    Each value stands at the centre of its receptive field; between centres it is bilinear, or without `smooth` that of
    the cell that a pixel lies in. Beyond the outermost centres the last value goes on, also over the px that pooling
    left out of a picture whose side the stride does not divide. A map that is stretched over the whole picture instead
    shows structures up to a stride away from where they are.

    Raises DimensionMismatchError when the map is not one of such a picture.
    """
    if activation.shape != map_shape(layer, height, width):
        raise DimensionMismatchError(
            f"a {layer} map of a {width} x {height} px picture is (h, w) {map_shape(layer, height, width)}, "
            f"not {activation.shape}"
        )
    stride = STRIDES[layer]
    values = torch.from_numpy(np.array(activation, np.float32))[None, None]
    if smooth:  # not align_corners: centres are half a stride from the edge
        large = interpolate(values, scale_factor=float(stride), mode="bilinear", align_corners=False)
    else:
        large = interpolate(values, scale_factor=float(stride), mode="nearest")
    covered = large[0, 0].numpy()
    rest = ((0, height - covered.shape[0]), (0, width - covered.shape[1]))
    return np.pad(covered, rest, mode="edge")
