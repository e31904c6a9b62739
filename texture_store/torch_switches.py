"""Switches of torch that hold for the whole process, set by blocks of code that may run in several threads at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any, Generic, Literal, TypeVar

import torch

T = TypeVar("T")

Factors = Literal["float32", "bfloat16"]


class SharedSwitch(Generic[T]):
    """A switch that overlapping blocks agree on.

    Blocks that want the same value run side by side; one that wants another waits until they have left. The last one
    puts back what was there before the first. A block must not ask for a second value inside itself.
    """

    def __init__(self, read: Callable[[], T], write: Callable[[T], None]) -> None:
        self._read = read
        self._write = write
        self._changed = Condition()
        self._num_blocks = 0
        self._value: T
        self._before: T

    @contextmanager
    def at(self, value: T) -> Iterator[None]:
        """Holds `value` for as long as the block runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._num_blocks == 0 or self._value == value)
            if self._num_blocks == 0:
                self._before = self._read()
                self._value = value
                self._write(value)
            self._num_blocks += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_blocks -= 1
                if self._num_blocks == 0:
                    self._write(self._before)
                    self._changed.notify_all()


# Any: torch has these switches, its annotations do not.
_cudnn: Any = torch.backends.cudnn
_mkldnn: Any = torch.backends.mkldnn
_cuda: Any = torch.backends.cuda


def _write_convolutions(values: tuple[str, str, bool, bool]) -> None:
    _cudnn.conv.fp32_precision, _mkldnn.conv.fp32_precision, _cudnn.deterministic, _cudnn.benchmark = values


def _write_products(values: tuple[str, str]) -> None:
    _cuda.matmul.fp32_precision, _mkldnn.matmul.fp32_precision = values


_convolutions = SharedSwitch(
    lambda: (
        _cudnn.conv.fp32_precision,
        _mkldnn.conv.fp32_precision,
        _cudnn.deterministic,
        _cudnn.benchmark,
    ),
    _write_convolutions,
)
_products = SharedSwitch(lambda: (_cuda.matmul.fp32_precision, _mkldnn.matmul.fp32_precision), _write_products)


@contextmanager
def fixed_convolutions(*, tf32: bool = False) -> Iterator[None]:
    """Convolutions of float32 in float32 (or TF32 on CUDA), by kernels that do not change from run to run."""
    with _convolutions.at(("tf32" if tf32 else "ieee", "ieee", True, False)):
        yield


@contextmanager
def fixed_products(factors: Factors = "float32") -> Iterator[None]:
    """Matrix products of float32 arrays with sums in float32, whatever the process allows elsewhere.

    With `factors="bfloat16"` the factors may go through any type that holds bfloat16 values exactly (bfloat16 or
    float32 on a CPU, TF32 on CUDA): for arrays that hold such values no product changes, only the order of sums.
    """
    with _products.at(("tf32", "bf16") if factors == "bfloat16" else ("ieee", "ieee")):
        yield
