import numpy as np
import pytest
import torch

from texture_store.encoding.taking import take_descriptors
from texture_store.errors import DimensionMismatchError


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_descriptors_are_the_columns_of_the_maps(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    maps = torch.randn((2, 5, 7, 9), generator=torch.Generator().manual_seed(0)).to(dtype)
    of_image = maps.contiguous(memory_format=memory_format)[1]
    positions = np.array([0, 8, 9, 40, 62])
    descriptors = take_descriptors(of_image, positions)
    assert descriptors.dtype == np.float32
    assert descriptors.flags.c_contiguous
    expected = [maps[1, :, position // 9, position % 9].float().numpy() for position in positions]
    np.testing.assert_array_equal(descriptors, expected)


def test_descriptors_do_not_share_memory_with_the_maps() -> None:
    maps = torch.zeros(3, 2, 2)
    descriptors = take_descriptors(maps, np.arange(4))
    maps += 1
    assert not descriptors.any()


def test_no_positions_give_no_descriptors() -> None:
    assert take_descriptors(torch.zeros(3, 2, 2), np.empty(0, np.int64)).shape == (0, 3)


@pytest.mark.parametrize("position", [-1, 4])
def test_positions_outside_the_maps_are_refused(position: int) -> None:
    with pytest.raises(DimensionMismatchError, match="among the 4"):
        take_descriptors(torch.zeros(3, 2, 2), np.array([position]))


@pytest.mark.parametrize("maps", [torch.zeros(1, 3, 2, 2), torch.zeros(3, 2, 2, dtype=torch.uint8)])
def test_what_is_no_maps_of_one_image_is_refused(maps: torch.Tensor) -> None:
    with pytest.raises(DimensionMismatchError, match=r"\(D, H, W\)"):
        take_descriptors(maps, np.array([0]))
