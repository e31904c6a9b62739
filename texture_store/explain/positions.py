"""Where the positions of a feature map lie in the picture that the network sees.

Coordinates count in px from the top left corner of the picture: pixel k is the interval [k, k + 1). A 3x3 convolution
with zero padding leaves centres where they are, and a 2x2 pooling puts a centre into the middle of its two, so position
i of a map at stride s is centred on (i + 1/2) s and its cell is [i s, (i + 1) s). Pooling floors: the last side % s px
of an odd picture are in no cell, though the receptive fields of the last positions reach over them.
"""

from texture_store.errors import UsageError
from texture_store.spec import LAYERS, NUM_CHANNELS, Layer

STRIDES: dict[Layer, int] = {"input": 1, "conv1_2": 1, "conv2_2": 2, "conv3_3": 4, "conv4_3": 8, "conv5_3": 16}
"""Px of the seen picture from one position to the next."""

RECEPTIVE_FIELDS_PX: dict[Layer, int] = {
    "input": 1,
    "conv1_2": 5,
    "conv2_2": 14,
    "conv3_3": 40,
    "conv4_3": 92,
    "conv5_3": 196,
}
"""Side of the square that one activation depends on: every 3x3 convolution adds 2 strides, every pooling 1."""

Box = tuple[float, float, float, float]
"""left, top, right, bottom in px; the last two are exclusive."""


def receptive_field(layer: Layer, row: int, column: int) -> Box:
    """What the activation at one position depends on, in px of the seen picture; it may reach over the picture's edge.

    Its middle is the centre of the position.
    """
    stride, side = STRIDES[layer], RECEPTIVE_FIELDS_PX[layer]
    left, top = ((place + 0.5) * stride - side / 2 for place in (column, row))
    return left, top, left + side, top + side


def map_shape(layer: Layer, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a layer's map for a seen picture of height x width px."""
    return height // STRIDES[layer], width // STRIDES[layer]


def check_filter(layer: Layer, filter_number: int) -> None:
    """Raises UsageError for a layer or a filter that does not exist."""
    if layer not in LAYERS:
        raise UsageError(f"unknown layer {layer}; the layers are {' '.join(LAYERS)}")
    if not 0 <= filter_number < NUM_CHANNELS[layer]:
        raise UsageError(
            f"{layer} has no filter {filter_number}; choose one of its {NUM_CHANNELS[layer]}, "
            f"0 to {NUM_CHANNELS[layer] - 1}"
        )
