"""Pictures to a device and vectors back from it, beside the computing there."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class Transfer:
    """On CUDA by pinned memory and streams of their own, one for each direction; on a CPU nothing waits."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        is_cuda = self._device.type == "cuda"
        stream: Any = torch.cuda.Stream  # torch has not annotated it
        self._up = stream(self._device) if is_cuda else None
        self._down = stream(self._device) if is_cuda else None

    def to_device(self, pixels_BHW: np.ndarray) -> torch.Tensor:
        """The pictures uint8 (B, H, W) on the device; returns before they are there, what computes on them waits."""
        pixels = torch.from_numpy(pixels_BHW)
        if self._up is None:
            return pixels
        with torch.cuda.stream(self._up):
            there = pixels.pin_memory().to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._up)
        there.record_stream(computing)
        return there

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """An array that results are fast to come to, with whatever values."""
        if self._down is None:
            return np.empty(shape, dtype)
        made = torch.empty(shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=True)
        array: np.ndarray = made.numpy()
        return array

    def to_host(self, computed: Sequence[tuple[torch.Tensor, np.ndarray]], rows: Sequence[int]) -> Callable[[], None]:
        """Starts to copy the first rows of each tensor to these `rows` of its array; what is returned waits for it.

        The arrays are ones that `empty` made.
        """
        if self._down is None:
            for tensor, array in computed:
                array[list(rows)] = tensor[: len(rows)].numpy()
            return lambda: None
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._down):
            for tensor, array in computed:
                for first, there in _runs(rows):
                    here = tensor[first : first + len(there)]
                    torch.from_numpy(array[there.start : there.stop]).copy_(here, non_blocking=True)
                tensor.record_stream(self._down)
            arrived = self._down.record_event()
        wait: Callable[[], None] = arrived.synchronize
        return wait


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, range]]:
    """Rows that follow each other, each time with the place of the first of them: one copy for all."""
    first = 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or rows[place] != rows[place - 1] + 1:
            yield first, range(rows[first], rows[place - 1] + 1)
            first = place
