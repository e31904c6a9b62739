"""Which columns come first."""

import numpy as np
import numpy.typing as npt

from texture_store.errors import DimensionMismatchError, UsageError

Values = npt.NDArray[np.float64]


def top_columns(
    values: Values, number: int, *, ties: Values | None = None, clusters: npt.NDArray[np.integer] | None = None
) -> npt.NDArray[np.intp]:
    """The `number` columns of greatest value, greatest first; fewer when there are fewer.

    values (d,); columns without a value (NaN) are left out. Equal values come in the order of `ties` (d,), greatest
    first and NaN last, then of the columns. With clusters (d,) only the first column of each cluster is taken: the
    others say the same.

    DimensionMismatchError when the arrays do not correspond, UsageError for a negative number.
    """
    beside = [array for array in (ties, clusters) if array is not None]
    if values.ndim != 1 or any(array.shape != values.shape for array in beside):
        raise DimensionMismatchError(
            f"values {values.shape} and {', '.join(str(array.shape) for array in beside) or 'nothing'} beside them do "
            "not correspond; give (d,) each"
        )
    if number < 0:
        raise UsageError(f"{number} columns; give 0 or more")
    # lexsort: the last key counts first, and NaN comes last.
    order = np.lexsort((-(np.zeros(len(values)) if ties is None else ties), -values))
    order = order[~np.isnan(values[order])]
    if clusters is not None:
        order = order[np.sort(np.unique(clusters[order], return_index=True)[1])]
    return order[:number]
