"""What reading a micrograph gives. Without the decoders: a process that only receives it needs none of them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Micrograph:
    """What the network receives, and what is known about it."""

    seen: np.ndarray
    """(h, w) uint8, C-contiguous."""
    facts: dict[str, object]
    """The columns of schemas.MICROGRAPHS other than image_id and path."""
