"""The cost of the convolutions against torch's own counter on torchvision's network."""

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from texture_store.backbone.flops import convolution_flops


@pytest.mark.parametrize(("height", "width"), [(512, 512), (64, 96), (33, 255)])
def test_what_torch_counts(height: int, width: int):
    with torch.device("meta"):
        network = torchvision.models.vgg16(weights=None).features[:30]
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.empty(1, 3, height, width))
    assert convolution_flops(height, width) == counter.get_total_flops()


def test_a_square_of_512_is_160_gflop():
    assert convolution_flops(512, 512) == pytest.approx(160.4e9, rel=1e-3)
