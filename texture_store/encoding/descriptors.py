"""One pass over the descriptors of feature maps, for as many statistics as are asked for.

A descriptor is the vector at one position of a map. Maps are read in pieces that stay in the processor's cache while
each statistic takes its share; on a CPU a bfloat16 map becomes float32 piece by piece.

Shape suffixes: B images, D channels, H and W positions, N descriptors.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from texture_store.errors import DimensionMismatchError

BLOCK_ROWS = 1024
"""Descriptors that are summed in float32; sums of blocks are float64, so that 262,144 positions lose no digits."""

_CPU_PIECE_BYTES = 4 << 20

_ALIGNMENT_BYTES = 64
"""What MKL needs for the same bits at every address."""


class Statistic(Protocol):
    """What is gathered over all descriptors of an image."""

    def add(self, images: slice, descriptors_BND: torch.Tensor) -> None:
        """Take in descriptors of some images of the batch: float32, on CUDA also bfloat16."""

    def vectors(self) -> torch.Tensor:
        """The float32 vectors (B, width) of the images, once all descriptors are in."""


def gather(maps_BDHW: torch.Tensor, statistics: Sequence[Statistic]) -> None:
    """Show every descriptor of every image to every statistic, in an order that does not depend on which these are."""
    if not statistics:
        return
    with torch.inference_mode():
        for images, descriptors_BND in _pieces(maps_BDHW):
            for statistic in statistics:
                statistic.add(images, descriptors_BND)


def check_maps(maps_BDHW: torch.Tensor) -> None:
    """Raises DimensionMismatchError unless these are maps (B, D, H, W) of a floating type, with no side of 0."""
    if maps_BDHW.ndim != 4 or 0 in maps_BDHW.shape or not maps_BDHW.is_floating_point():
        raise DimensionMismatchError(
            f"feature maps are floating point (B, D, H, W), no side 0, not {maps_BDHW.dtype} {tuple(maps_BDHW.shape)}"
        )


def _pieces(maps_BDHW: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """(images, descriptors (images, N, D)): on a CPU float32 and one image at a time, so that it meets no neighbour.

    On CUDA all at once, and bfloat16 as it is: every copy is written and read by the whole of a batch.
    """
    num_images, channels = maps_BDHW.shape[:2]
    if maps_BDHW.is_cuda:
        descriptors_BND = maps_BDHW.permute(0, 2, 3, 1).reshape(num_images, -1, channels)
        is_taken = maps_BDHW.dtype in (torch.float32, torch.bfloat16)
        yield slice(0, num_images), descriptors_BND if is_taken else descriptors_BND.to(torch.float32)
        return
    rows = _CPU_PIECE_BYTES // (4 * channels)
    rows = max(rows // BLOCK_ROWS, 1) * BLOCK_ROWS
    # One buffer for all pieces: fresh ones cost more in page faults than the arithmetic on them.
    buffer: torch.Tensor | None = None
    for image in range(num_images):
        images = slice(image, image + 1)
        all_BND = maps_BDHW[images].permute(0, 2, 3, 1).reshape(1, -1, channels)
        for piece_BND in torch.split(all_BND, rows, dim=1):
            is_aligned = piece_BND.is_contiguous() and piece_BND.data_ptr() % _ALIGNMENT_BYTES == 0
            if is_aligned and piece_BND.dtype == torch.float32:
                yield images, piece_BND
                continue
            if buffer is None or buffer.shape != piece_BND.shape:
                buffer = torch.empty(piece_BND.shape, dtype=torch.float32, device=piece_BND.device)
            yield images, buffer.copy_(piece_BND)
