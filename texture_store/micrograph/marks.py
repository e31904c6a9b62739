"""Marks that were drawn inside a picture: scale bars in a corner, boxes with text."""

import numpy as np
from numpy.typing import NDArray


def has_marks(levels: NDArray[np.uint8]) -> bool:
    """Whether (H, W) levels hold drawn marks."""
    return False
