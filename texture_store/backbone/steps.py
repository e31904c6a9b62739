"""The steps between two feature maps, each by what the device does fastest.

What that is on CUDA was measured on an H200 (cuDNN 9.19, bfloat16, 16 pictures of 512x512, figures for one picture).

Shape suffixes: B images, D channels, H and W rows and columns.
"""

import torch
from torch.nn.functional import conv2d, max_pool2d, pad

CUDA_CHANNELS = {torch.bfloat16: 16, torch.float32: 4}
"""cuDNN's kernels for tensor cores want multiples of 16 bytes of channels, and more is faster still: the first
convolution of 9 channels takes 157 us, of 16 of which 7 are zero, 34 us."""


_INTEGERS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


def convolved(maps_BDHW: torch.Tensor, kernel: torch.Tensor, bias_D: torch.Tensor) -> torch.Tensor:
    """3x3 convolution with zero padding, bias and ReLU.

    On CUDA by one kernel, which adds the bias to the float32 sum: as three, each of which rounds to the maps' type and
    writes them, the network takes 0.73 ms instead of 0.48.
    """
    if maps_BDHW.is_cuda:
        return torch.cudnn_convolution_relu(maps_BDHW, kernel, bias_D, (1, 1), (1, 1), (1, 1), 1)
    return conv2d(maps_BDHW, kernel, bias_D, padding=1).relu_()


def pooled(maps_BDHW: torch.Tensor) -> torch.Tensor:
    """Maxima of 2x2 positions of maps after ReLU; an odd last row or column is left out.

    On CUDA as integers, whose order is that of floating-point numbers without a sign: max_pool2d takes 46 us for the
    maps of conv1_2, as it also tells which position was the greatest, and this 28.
    """
    if not maps_BDHW.is_cuda:
        return max_pool2d(maps_BDHW, 2)
    num_images, channels = maps_BDHW.shape[:2]
    height, width = (side // 2 for side in maps_BDHW.shape[2:])
    maps_BHWD = maps_BDHW.permute(0, 2, 3, 1)[:, : 2 * height, : 2 * width]
    numbers = maps_BHWD.view(_INTEGERS[maps_BDHW.dtype]).view(num_images, height, 2, width, 2, channels)
    return numbers.amax(dim=(2, 4)).view(maps_BDHW.dtype).permute(0, 3, 1, 2)


def padded_channels(values_BDHW: torch.Tensor) -> torch.Tensor:
    """On CUDA, with zeros as further channels that make the first convolution fast; they change no sum."""
    if not values_BDHW.is_cuda:
        return values_BDHW
    missing = -values_BDHW.shape[1] % CUDA_CHANNELS[values_BDHW.dtype]
    return pad(values_BDHW, (0, 0, 0, 0, 0, missing))


def looked_up(greys_BHW: torch.Tensor, values_of_grey: torch.Tensor) -> torch.Tensor:
    """The row of each grey value, (256, D), as maps (B, D, H, W), channels last. uint8 pictures on CUDA.

    In pieces of 16 bytes, as torch's lookups of whole rows take ten times as long where rows are short.
    """
    pieces = values_of_grey.view(torch.complex128)
    pieces_per_row = pieces.shape[1]
    places = greys_BHW.to(torch.int64).unsqueeze(-1) * pieces_per_row
    places = places + torch.arange(pieces_per_row, device=greys_BHW.device)
    return torch.take(pieces, places).view(values_of_grey.dtype).permute(0, 3, 1, 2)
