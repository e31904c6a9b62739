"""Points around the corners of a simplex, to be told apart."""

import numpy as np
import numpy.typing as npt

LABELS = np.repeat(["a", "b", "c"], 20)


def clouds(distance: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """(60, 4) normal clouds, one for each of LABELS, around corners that are `distance` standard deviations out."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]) * distance
    return (centres.repeat(20, axis=0) + rng.standard_normal((60, 4))).astype(np.float32)
