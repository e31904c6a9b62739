"""Which images are misclassified, and how often."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError


@dataclass(frozen=True)
class Mistakes:
    """Of n images over some trials."""

    shares: npt.NDArray[np.float64]
    """(n,) of the trials in which an image was misclassified."""
    taken_for: npt.NDArray[np.intp]
    """(n,) the wrong class that was predicted most often, of equals the first; -1 where none ever was."""

    @property
    def worst(self) -> npt.NDArray[np.intp]:
        """Rows that were misclassified at least once, the most often first, of equals the first."""
        order = np.argsort(-self.shares, kind="stable")
        return order[self.shares[order] > 0]


def find_mistakes(predicted: npt.NDArray[np.integer], true: npt.NDArray[np.integer], num_classes: int) -> Mistakes:
    """predicted (t, n) and true (n,): places of classes. Raises DimensionMismatchError."""
    if predicted.ndim != 2 or true.ndim != 1 or predicted.shape[1] != len(true) or not len(predicted):
        raise DimensionMismatchError(f"predictions {predicted.shape} do not belong to {true.shape} images")
    wrong = predicted != true
    votes = np.stack([((predicted == one) & wrong).sum(axis=0) for one in range(num_classes)], axis=1)
    taken_for = np.where(wrong.any(axis=0), votes.argmax(axis=1), -1)
    return Mistakes(wrong.mean(axis=0), taken_for)
