"""Pictures to a device and vectors back from it, beside the computing there."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)


class Transfer:
    """On CUDA by pinned memory and streams of their own, one for each direction; on a CPU nothing is copied."""

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

    def to_host(self, tensors: Mapping[Key, torch.Tensor]) -> Callable[[], dict[Key, np.ndarray]]:
        """Starts to copy what was computed; the function that is returned waits for the copies and gives them."""
        if self._down is None:
            return lambda: {key: tensor.numpy() for key, tensor in tensors.items()}
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        copies: dict[Key, torch.Tensor] = {}
        with torch.cuda.stream(self._down):
            for key, tensor in tensors.items():
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                copies[key] = copy.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._down)
            arrived = self._down.record_event()

        def wait() -> dict[Key, np.ndarray]:
            arrived.synchronize()
            return {key: copy.numpy() for key, copy in copies.items()}

        return wait
