"""Which images look alike: nearest neighbours by the angle between their vectors."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError, UsageError


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows, nearest first."""

    rows: npt.NDArray[np.intp]
    """(k,) row numbers."""
    cosines: npt.NDArray[np.float64]
    """(k,) cosine of the angle to the asked row: 1 is the same direction."""


def nearest(
    features: npt.NDArray[np.floating],
    row: int,
    num_neighbours: int,
    *,
    among: npt.NDArray[np.bool_] | None = None,
) -> Neighbours:
    """The `num_neighbours` rows of `features` (n, d) whose vectors point most nearly where that of `row` does.

    The row itself is left out, and with `among` (n,) all rows where it is False: those of another um per px, say. Equal
    cosines come in the order of the rows; a vector of zeros has cosine 0 with all.
    The angle, and not the distance, because the length of a mean vector follows the picture's contrast.
    Raises DimensionMismatchError for what is not a matrix or a mask of its rows, UsageError for a row or number that it
    does not have.
    """
    if features.ndim != 2:
        raise DimensionMismatchError(f"features {features.shape} are not a matrix; give (n, d)")
    num_rows = len(features)
    if not 0 <= row < num_rows or not 0 <= num_neighbours < num_rows:
        raise UsageError(f"{num_neighbours} neighbours of row {row}: there are {num_rows} rows")
    if among is None:
        among = np.ones(num_rows, np.bool_)
    if among.shape != (num_rows,) or among.dtype != np.bool_:
        raise DimensionMismatchError(f"a mask {among.shape} {among.dtype} of {num_rows} rows; give (n,) bool")
    if num_neighbours > (others := int(among.sum()) - int(among[row])):
        raise UsageError(f"{num_neighbours} neighbours of row {row}: the mask leaves {others} other rows")
    asked = features[row].astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64)) * np.linalg.norm(asked)
    products = features @ asked
    cosines = np.divide(products, lengths, out=np.zeros(num_rows), where=lengths > 0)
    order = np.argsort(-cosines, kind="stable")
    rows = order[among[order] & (order != row)][:num_neighbours]
    return Neighbours(rows, cosines[rows])
