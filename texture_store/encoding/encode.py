"""From the name of an encoder to its vectors."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from texture_store.encoding.descriptors import Statistic, gather
from texture_store.encoding.gram import Gram
from texture_store.encoding.pooling import Maximum, Mean
from texture_store.encoding.vlad import Vlad
from texture_store.errors import EncodingError
from texture_store.spec import ENCODERS, Encoder

_STATISTICS: dict[Encoder, Callable[[torch.Tensor], Statistic]] = {"mean": Mean, "max": Maximum, "gram": Gram}
"""Those that need the maps alone."""


@dataclass(frozen=True)
class Encodings:
    """What is kept of a batch of feature maps."""

    vectors: dict[Encoder, npt.NDArray[np.float32]]
    """float32 (B, width) for each encoder; of `vlad` the raw residual sums, word by word."""
    counts: npt.NDArray[np.int32] | None
    """int32 (B, K), descriptors per word; None without `vlad`."""


def encode(
    maps_BDHW: torch.Tensor, encoders: Collection[Encoder], words: npt.NDArray[np.float32] | None = None
) -> Encodings:
    """The vectors of a batch of feature maps (B, D, H, W) by encoder, widths as vector_width gives.

    `words`, float32 (K, D), are those of the layer's dictionary, for `vlad`. All encoders share one pass over the maps;
    which ones are asked for does not change a bit of any of them. Raises EncodingError for an unknown encoder and for
    `vlad` without words, DimensionMismatchError for other arrays.
    """
    vectors, counts = encode_tensors(maps_BDHW, encoders, words)
    return Encodings(
        {encoder: tensor.cpu().numpy() for encoder, tensor in vectors.items()},
        None if counts is None else counts.cpu().numpy(),
    )


def encode_tensors(
    maps_BDHW: torch.Tensor, encoders: Collection[Encoder], words: npt.NDArray[np.float32] | None = None
) -> tuple[dict[Encoder, torch.Tensor], torch.Tensor | None]:
    """`encode`, with vectors and counts left on the device that computes them. Raises what `encode` does."""
    unknown = sorted(set(encoders) - set(ENCODERS))
    if unknown:
        raise EncodingError(f"unknown encoder {', '.join(unknown)}; the encoders are {' '.join(ENCODERS)}")
    statistics: dict[Encoder, Statistic] = {}
    residuals: Vlad | None = None
    for encoder in encoders:
        if encoder != "vlad":
            statistics[encoder] = _STATISTICS[encoder](maps_BDHW)
        elif words is None:
            raise EncodingError("encoder vlad needs a dictionary; run fit-dictionary first")
        else:
            statistics[encoder] = residuals = Vlad(maps_BDHW, words)
    gather(maps_BDHW, list(statistics.values()))
    vectors = {encoder: statistic.vectors() for encoder, statistic in statistics.items()}
    return vectors, None if residuals is None else residuals.counts()
