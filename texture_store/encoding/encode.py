"""From the name of an encoder to its vectors."""

from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt
import torch

from texture_store.encoding.descriptors import Statistic, gather
from texture_store.encoding.gram import Gram
from texture_store.encoding.pooling import Maximum, Mean
from texture_store.errors import EncodingError
from texture_store.spec import Encoder

_STATISTICS: dict[Encoder, Callable[[torch.Tensor], Statistic]] = {"mean": Mean, "max": Maximum, "gram": Gram}


def encode(maps_BDHW: torch.Tensor, encoders: Collection[Encoder]) -> dict[Encoder, npt.NDArray[np.float32]]:
    """The vectors of a batch of feature maps (B, D, H, W) by encoder: float32 arrays (B, width), widths as vector_width
    gives.

    All encoders share one pass over the maps; which ones are asked for does not change a bit of any of them.
    Raises EncodingError for an encoder that needs more than the maps, DimensionMismatchError for other arrays.
    """
    unknown = sorted(set(encoders) - set(_STATISTICS))
    if unknown:
        known = " ".join(_STATISTICS)
        raise EncodingError(
            f"encoder {', '.join(unknown)} cannot be computed from maps alone; those that can are {known}"
        )
    statistics = {encoder: _STATISTICS[encoder](maps_BDHW) for encoder in encoders}
    gather(maps_BDHW, list(statistics.values()))
    return {encoder: statistic.vectors().cpu().numpy() for encoder, statistic in statistics.items()}
