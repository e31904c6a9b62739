"""Results arrive at their own rows, whatever the device."""

import numpy as np
import pytest
import torch

from texture_store.transfer import Transfer


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


@pytest.mark.parametrize("rows", [[0, 1, 2], [4, 5], [1, 3, 4, 0], [5], []])
def test_each_result_comes_to_its_row(device: str, rows: list[int]) -> None:
    transfer = Transfer(device)
    computed = []
    for dtype in (np.float32, np.int32):
        array = transfer.empty((6, 3), dtype)
        assert (array.shape, array.dtype) == ((6, 3), dtype)
        array[:] = -1
        computed.append((torch.from_numpy(np.arange(12, dtype=dtype).reshape(4, 3)).to(device), array))
    wait = transfer.to_host(computed, rows)
    wait()
    for _, array in computed:
        expected = np.full((6, 3), -1)
        for place, row in enumerate(rows):
            expected[row] = [3 * place, 3 * place + 1, 3 * place + 2]
        np.testing.assert_array_equal(array, expected)


def test_pictures_come_to_the_device(device: str) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 7), dtype=np.uint8)
    there = Transfer(device).to_device(pictures)
    assert there.device.type == device
    np.testing.assert_array_equal(there.cpu().numpy(), pictures)
