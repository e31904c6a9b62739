"""Mean activations of pictures and of noise: the measure that textures are judged by.

Shape suffixes: B pictures, D filters, H and W px, C 3 colour channels.
"""

import numpy as np
import numpy.typing as npt
import torch

from texture_store.backbone.vgg16 import MEANS_RGB, VGG16
from texture_store.errors import DimensionMismatchError
from texture_store.explain.contrast import COMPARED_CONTRAST, Pixels, at_contrast
from texture_store.spec import NUM_CHANNELS, Layer

NOISE_DRAWS = 8

_NOISE_STREAM = 1 << 21


def picture_activations(
    network: VGG16, layer: Layer, picture: Pixels, *, device: str = "cpu"
) -> npt.NDArray[np.float64]:
    """Mean activation float64 (D,) of every filter of the layer over a picture uint8 (H, W) or RGB (H, W, 3).

    It is the mean feature of the picture: grey values less the Caffe means. Raises DimensionMismatchError for other
    arrays, and what VGG16.preactivations raises.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise DimensionMismatchError(f"a picture is uint8 (H, W) or (H, W, 3), not {picture.dtype} {picture.shape}")
    pixels_HWC = picture if picture.ndim == 3 else picture[:, :, None]
    input_HWC = torch.from_numpy(pixels_HWC.astype(np.float32)).to(device) - torch.tensor(MEANS_RGB, device=device)
    with torch.inference_mode():
        before_BDHW = network.preactivations(input_HWC.permute(2, 0, 1).unsqueeze(0), layer)
        means_D: npt.NDArray[np.float64] = before_BDHW.relu().mean(dim=(2, 3), dtype=torch.float64)[0].cpu().numpy()
    return means_D


def noise_activations(
    network: VGG16,
    layer: Layer,
    *,
    side_px: int,
    seed: int,
    contrast: float = COMPARED_CONTRAST,
    is_grey: bool = True,
    draws: int = NOISE_DRAWS,
    device: str = "cpu",
) -> npt.NDArray[np.float64]:
    """Mean activation float64 (D,) of every filter over `draws` pictures of white noise, uniform before clipping.

    They have the mean and RMS contrast of textures that are compared with them; RGB ones are independent in the three
    channels.
    """
    generator = np.random.default_rng([seed, _NOISE_STREAM])
    shape = (side_px, side_px) if is_grey else (side_px, side_px, 3)
    sums_D = np.zeros(NUM_CHANNELS[layer])
    for _ in range(draws):
        sums_D += picture_activations(network, layer, at_contrast(generator.random(shape), contrast), device=device)
    return sums_D / draws
