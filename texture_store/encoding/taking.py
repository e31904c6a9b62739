"""Descriptors at chosen positions of a map.

Shape suffixes: D channels, H and W positions, N descriptors.
"""

import numpy as np
import numpy.typing as npt
import torch

from texture_store.errors import DimensionMismatchError


def take_descriptors(maps_DHW: torch.Tensor, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The descriptors float32 (n, D) at positions row * W + column of one image's maps (D, H, W).

    Raises DimensionMismatchError for other maps, and for positions that they do not have.
    """
    if maps_DHW.ndim != 3 or not maps_DHW.is_floating_point():
        raise DimensionMismatchError(
            f"the maps of one image are floating point (D, H, W), not {maps_DHW.dtype} {tuple(maps_DHW.shape)}"
        )
    descriptors_DN = maps_DHW.flatten(1)
    num_positions = descriptors_DN.shape[1]
    if len(positions) and not 0 <= positions.min() <= positions.max() < num_positions:
        raise DimensionMismatchError(
            f"positions {positions.min()} to {positions.max()} are not all among the {num_positions} of the maps"
        )
    places = torch.tensor(positions, dtype=torch.int64, device=maps_DHW.device)
    taken: npt.NDArray[np.float32] = descriptors_DN.index_select(1, places).T.to(torch.float32).cpu().numpy()
    return np.ascontiguousarray(taken)
