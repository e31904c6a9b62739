"""Process-wide switches that several threads set at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from texture_store.torch_switches import SharedSwitch, fixed_convolutions, fixed_products

mkldnn: Any = torch.backends.mkldnn
cudnn: Any = torch.backends.cudnn


class Lamp:
    """A switch that records what it was set to."""

    def __init__(self) -> None:
        self.value = "before"
        self.switch = SharedSwitch(lambda: self.value, self._set)

    def _set(self, value: str) -> None:
        self.value = value


def test_a_block_sees_its_value_and_what_was_there_comes_back():
    lamp = Lamp()
    with lamp.switch.at("on"), lamp.switch.at("on"):
        assert lamp.value == "on"
    assert lamp.value == "before"
    with pytest.raises(ZeroDivisionError), lamp.switch.at("on"):
        _ = 1 / 0
    assert lamp.value == "before"


def test_equal_blocks_overlap_and_the_first_to_leave_changes_nothing():
    lamp = Lamp()
    inside, leave = threading.Barrier(2, timeout=10), threading.Event()

    def stay() -> str:
        with lamp.switch.at("on"):
            inside.wait()
            leave.wait(10)
            return lamp.value

    with ThreadPoolExecutor(1) as pool:
        staying = pool.submit(stay)
        with lamp.switch.at("on"):
            inside.wait()
        assert lamp.value == "on"
        leave.set()
        assert staying.result() == "on"
    assert lamp.value == "before"


def test_a_block_that_wants_another_value_waits():
    lamp = Lamp()
    entered = threading.Event()

    def other() -> str:
        with lamp.switch.at("off"):
            entered.set()
            return lamp.value

    with ThreadPoolExecutor(1) as pool:
        with lamp.switch.at("on"):
            waiting = pool.submit(other)
            assert not entered.wait(0.2)
            assert lamp.value == "on"
        assert waiting.result(timeout=10) == "off"
    assert lamp.value == "before"


def test_many_threads_never_see_a_foreign_value():
    lamp = Lamp()

    def work(number: int) -> bool:
        wanted = ("on", "off", "dim")[number % 3]
        with lamp.switch.at(wanted):
            return all(lamp.value == wanted for _ in range(50))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(300)))
    assert lamp.value == "before"


def test_torch_is_switched_and_switched_back():
    before = mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision, cudnn.deterministic
    with fixed_products("bfloat16"):
        assert mkldnn.matmul.fp32_precision == "bf16"
    with fixed_products(), fixed_convolutions():
        assert (mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision) == ("ieee", "ieee")
        assert cudnn.deterministic
    assert (mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision, cudnn.deterministic) == before


def test_products_of_bfloat16_values_are_those_of_float64():
    factors = torch.randn(3, 1024, 64, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    exact = torch.bmm(factors.double().transpose(1, 2), factors.double())
    scale = torch.bmm(factors.double().abs().transpose(1, 2), factors.double().abs())
    with fixed_products("bfloat16"):
        found = torch.bmm(factors.transpose(1, 2), factors)
    assert found.dtype == torch.float32
    # Of sums in float32, one after another at worst; sums in bfloat16 would be off by 4e-3.
    assert ((found.double() - exact).abs() / scale).max() < 1024 * 2.0**-24
