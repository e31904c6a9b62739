"""Are these the weights of the paper, and in which channel order are they kept?

The paper takes VGG16 from Keras, which ported it from the authors' Caffe model (Simonyan & Zisserman, arXiv 1409.1556;
Oxford VGG, CC BY 4.0). Copies of it go by many names and in both channel orders, torchvision's included, and other
trainings of VGG16 go by the same names. So both questions are answered by the values, never by a file's name.
"""

from collections.abc import Mapping

import torch

CONV_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Places of the 13 convolutions in torchvision's `vgg16().features`."""

FIRST_KERNEL = "features.0.weight"

_BLUE_ORIGIN = 0.42947057
"""First value of the first filter's blue kernel; red and green have 0.48 and 0.55 there."""

_ORDER_TOLERANCE = 1e-4

_PROBES: tuple[tuple[str, tuple[int, ...], float], ...] = (
    ("features.0.weight", (0, 2, 0, 1), 0.373467),
    ("features.0.weight", (0, 2, 1, 0), 0.27476987),
    ("features.0.weight", (0, 2, 2, 2), -0.35009676),
    ("features.0.bias", (0,), 0.73429835),
    ("features.0.bias", (1,), 0.093403675),
    ("features.0.bias", (2,), 0.06775674),
    ("features.0.bias", (9,), 0.062479325),
    ("features.0.bias", (25,), 0.7446502),
    ("features.2.weight", (63, 63, 2, 2), 0.016082443),
    ("features.5.bias", (1,), 0.06440781),
    ("features.24.weight", (269, 63, 1, 0), -0.011236359),
)
"""Single values that unrelated projects printed from their own copies (Keras' and the Caffe-based SSD's)."""

_NORMS: tuple[tuple[float, float], ...] = (
    (8.592932314, 4.795278688),
    (8.210119404, 2.718929942),
    (8.749665362, 1.865161792),
    (9.040239130, 2.144931141),
    (9.436506683, 1.164276538),
    (9.482887316, 1.347732775),
    (9.743013015, 1.396555149),
    (10.928154395, 1.300523119),
    (11.733045261, 1.204935674),
    (12.283081343, 1.701468440),
    (13.383925409, 3.146600061),
    (13.504227633, 4.947390837),
    (13.128429926, 11.655468529),
)
"""Euclidean norms of kernel and bias of each layer, so that a network fine-tuned in its deeper layers shows as well."""

_NORM_TOLERANCE = 1e-4


def is_blue_first(first_kernel: torch.Tensor) -> bool | None:
    """Whether conv1_1's kernel (64, 3, 3, 3) has its input channels in BGR order; None for one of another lineage."""
    first, _, last = first_kernel[0, :, 0, 0].tolist()
    if abs(first - _BLUE_ORIGIN) < _ORDER_TOLERANCE:
        return True
    return False if abs(last - _BLUE_ORIGIN) < _ORDER_TOLERANCE else None


def difference_from_caffe(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """What tells RGB-ordered tensors from the paper's network, in words; None when nothing does."""
    if is_blue_first(tensors[FIRST_KERNEL]) is not False:
        return f"no channel of {FIRST_KERNEL} starts with {_BLUE_ORIGIN:.5f}"
    for name, place, expected in _PROBES:
        found = tensors[name][place].item()
        if abs(found - expected) > 1e-5:
            return f"{name}{list(place)} is {found:.6f} instead of {expected:.6f}"
    for index, norms in zip(CONV_INDICES, _NORMS, strict=True):
        for kind, expected in zip(("weight", "bias"), norms, strict=True):
            name = f"features.{index}.{kind}"
            found = torch.linalg.vector_norm(tensors[name], dtype=torch.float64).item()
            if abs(found - expected) > _NORM_TOLERANCE * expected:
                return f"the norm of {name} is {found:.5f} instead of {expected:.5f}"
    return None
