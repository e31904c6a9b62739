"""What the convolutions cost, counted from the table of layers."""

from texture_store.backbone.lineage import CONV_INDICES
from texture_store.backbone.weights import TENSOR_SHAPES


def convolution_flops(height: int, width: int) -> int:
    """Floating-point operations of the 13 convolutions for one picture (height, width) in px.

    A multiplication and an addition count as two; biases, ReLU and pooling, under 1 %, are left out.
    """
    total, previous = 0, CONV_INDICES[0]
    for index in CONV_INDICES:
        if index - previous == 3:  # a pooling lies between
            height, width = height // 2, width // 2
        outputs, inputs, *kernel = TENSOR_SHAPES[f"features.{index}.weight"]
        total += 2 * outputs * inputs * kernel[0] * kernel[1] * height * width
        previous = index
    return total
