"""Steps of the network against torch's own in float64, on the CPU and, marked gpu, on CUDA."""

import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d

from texture_store.backbone.steps import CUDA_CHANNELS, convolved, looked_up, padded_channels, pooled
from texture_store.torch_switches import fixed_convolutions

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPES = [(2, 16, 32, 48), (1, 8, 33, 47), (3, 24, 2, 3)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


def maps_of(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """As ReLU leaves them, channels last."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu().to(dtype)
    return values.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_is_the_maximum_of_each_two_by_two(device: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    maps = maps_of(shape, dtype)
    found = pooled(maps.to(device))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == dtype
    assert torch.equal(found.cpu().double(), max_pool2d(maps.double(), 2))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-8)])
def test_a_convolution_is_rounded_once(device: str, dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = maps_of((2, 16, 20, 31), dtype)
    kernel = torch.randn((32, 16, 3, 3), generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
    bias = torch.randn(32, generator=generator).to(dtype)
    expected = conv2d(maps.double(), kernel.double(), bias.double(), padding=1).relu()
    with torch.inference_mode(), fixed_convolutions():
        found = convolved(maps.to(device), kernel.to(device), bias.to(device)).cpu().double()
    # One rounding to the type is off by half of its last place; with the bias added after it, there were two.
    assert ((found - expected).abs() <= tolerance * expected.abs().clamp(min=1)).all()


@pytest.mark.parametrize("dtype", list(CUDA_CHANNELS))
def test_each_grey_value_finds_its_row(device: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn((256, CUDA_CHANNELS[dtype]), generator=generator).to(dtype)
    greys = torch.randint(0, 256, (3, 17, 9), dtype=torch.uint8, generator=generator)
    found = looked_up(greys.to(device), rows.to(device))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.cpu(), rows[greys.long()].permute(0, 3, 1, 2))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(CUDA_CHANNELS))
@pytest.mark.parametrize("channels", [1, 3, 9, 16])
def test_further_channels_on_cuda_are_zero(dtype: torch.dtype, channels: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    values = torch.randn((2, channels, 5, 4)).to(dtype).cuda()
    found = padded_channels(values)
    assert found.shape[1] % CUDA_CHANNELS[dtype] == 0
    assert torch.equal(found[:, :channels], values)
    assert not found[:, channels:].any()
