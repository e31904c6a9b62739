"""Gram matrices of feature maps (Gatys et al. 2015): which channels respond at the same places.

G = sum over positions of F Fᵀ, F being the descriptor (D,) at one position: a sum, not a mean, as in Ling et al. 2017.

Shape suffixes: B images, D channels, H and W positions, N descriptors, K blocks of them.
"""

import math
from functools import lru_cache

import torch

from texture_store.encoding.descriptors import BLOCK_ROWS, check_maps, gather
from texture_store.torch_switches import fixed_products

_BLOCKS_TOGETHER = 16


def gram(maps_BDHW: torch.Tensor) -> torch.Tensor:
    """Gram matrices as packed upper triangles: (B, D, H, W) to float32 (B, D (D + 1) / 2), row-major as in packing.py.

    Products are summed in float32 within blocks of 1024 positions (on CUDA, up to 16 of them) and in float64 over the
    blocks, whatever the maps' type. (Half precision would overflow: sums pass 65504 as soon as a channel's rms passes
    0.5 in conv1_2 at 512x512.)
    Raises DimensionMismatchError.
    """
    statistic = Gram(maps_BDHW)
    gather(maps_BDHW, [statistic])
    return statistic.vectors()


class Gram:
    """Sums of products, block by block."""

    def __init__(self, maps_BDHW: torch.Tensor) -> None:
        check_maps(maps_BDHW)
        num_images, channels = maps_BDHW.shape[:2]
        self._is_bfloat16 = maps_BDHW.dtype == torch.bfloat16
        self._sums_BDD = torch.zeros((num_images, channels, channels), dtype=torch.float64, device=maps_BDHW.device)

    def add(self, images: slice, descriptors_BND: torch.Tensor) -> None:
        """Take in descriptors of some images of the batch."""
        num_images, num_descriptors, channels = descriptors_BND.shape
        whole = num_descriptors // BLOCK_ROWS * BLOCK_ROWS
        if whole:
            # Blocks as one batch of products: on two CPU cores a quarter faster than one long product, and far more
            # parallel on a GPU.
            blocks_KND = descriptors_BND[:, :whole].reshape(-1, BLOCK_ROWS, channels)
            products_KDD = self._products(blocks_KND)
            products_BKDD = products_KDD.view(num_images, -1, channels, channels)
            if products_BKDD.is_cuda:
                products_BKDD = _few(products_BKDD)
            self._sums_BDD[images] += products_BKDD.sum(dim=1, dtype=torch.float64)
        if whole < num_descriptors:
            self._sums_BDD[images] += self._products(descriptors_BND[:, whole:])

    def vectors(self) -> torch.Tensor:
        """float32 (B, D (D + 1) / 2)."""
        triangle = _triangle(self._sums_BDD.shape[1], self._sums_BDD.device)
        return self._sums_BDD.flatten(1).index_select(1, triangle).to(torch.float32)

    def _products(self, blocks_KND: torch.Tensor) -> torch.Tensor:
        if blocks_KND.dtype == torch.bfloat16:
            return torch.bmm(blocks_KND.transpose(1, 2), blocks_KND, out_dtype=torch.float32)
        # Of bfloat16 maps: oneDNN's float32 product takes half the time of MKL's (512x512, five layers, two AMD cores:
        # 22 against 46 ms).
        with fixed_products("bfloat16" if self._is_bfloat16 else "float32"):
            return torch.bmm(blocks_KND.transpose(1, 2), blocks_KND)


def _few(products_BKDD: torch.Tensor) -> torch.Tensor:
    """Sums of up to 16 blocks each, in float32.

    A GPU makes float64 copies of all products before it sums them: that took as long as the products themselves.
    """
    num_images, num_blocks, channels, _ = products_BKDD.shape
    together = math.gcd(num_blocks, _BLOCKS_TOGETHER)
    return products_BKDD.view(num_images, -1, together, channels, channels).sum(dim=2)


@lru_cache(maxsize=16)
def _triangle(channels: int, device: torch.device) -> torch.Tensor:
    """Places of the upper triangle in a flattened (D, D) matrix."""
    triangle_2W: torch.Tensor = torch.triu_indices(channels, channels, device=device)
    return triangle_2W[0] * channels + triangle_2W[1]
