"""Mean and maximum of each channel over the positions of a feature map.

Shape suffixes: B images, D channels, H and W positions, N descriptors.
"""

import math

import torch

from texture_store.encoding.descriptors import check_maps, gather

_ROWS_AT_ONCE = 64
"""Descriptors of few channels that are compared side by side."""


def mean(maps_BDHW: torch.Tensor) -> torch.Tensor:
    """Mean of each channel over all positions: (B, D, H, W) to float32 (B, D). Raises DimensionMismatchError."""
    statistic = Mean(maps_BDHW)
    gather(maps_BDHW, [statistic])
    return statistic.vectors()


def maximum(maps_BDHW: torch.Tensor) -> torch.Tensor:
    """Maximum of each channel over all positions: (B, D, H, W) to float32 (B, D). Raises DimensionMismatchError."""
    statistic = Maximum(maps_BDHW)
    gather(maps_BDHW, [statistic])
    return statistic.vectors()


class Mean:
    """Sums in float32 within a piece of the map, in float64 over the pieces."""

    def __init__(self, maps_BDHW: torch.Tensor) -> None:
        check_maps(maps_BDHW)
        num_images, channels, height, width = maps_BDHW.shape
        self._num_positions = height * width
        self._sums_BD = torch.zeros((num_images, channels), dtype=torch.float64, device=maps_BDHW.device)

    def add(self, images: slice, descriptors_BND: torch.Tensor) -> None:
        """Take in descriptors of some images of the batch."""
        self._sums_BD[images] += descriptors_BND.sum(dim=1, dtype=torch.float32)

    def vectors(self) -> torch.Tensor:
        """float32 (B, D)."""
        return (self._sums_BD / self._num_positions).to(torch.float32)


class Maximum:
    """The running maximum; a NaN anywhere in a channel stays visible."""

    def __init__(self, maps_BDHW: torch.Tensor) -> None:
        check_maps(maps_BDHW)
        self._maxima_BD = torch.full(maps_BDHW.shape[:2], -torch.inf, dtype=torch.float32, device=maps_BDHW.device)

    def add(self, images: slice, descriptors_BND: torch.Tensor) -> None:
        """Take in descriptors of some images of the batch."""
        num_images, num_descriptors, channels = descriptors_BND.shape
        # Long rows: over the three channels of `input` alone a maximum took ten times as long.
        rows = math.gcd(num_descriptors, _ROWS_AT_ONCE) if channels < _ROWS_AT_ONCE else 1
        maxima_BRD = descriptors_BND.reshape(num_images, -1, rows, channels).amax(dim=1)
        maxima_BD = maxima_BRD.amax(dim=1).to(torch.float32)
        self._maxima_BD[images] = torch.maximum(self._maxima_BD[images], maxima_BD)

    def vectors(self) -> torch.Tensor:
        """float32 (B, D)."""
        return self._maxima_BD
