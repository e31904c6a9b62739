"""Which values of a column are missing."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


def missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(n,) True where a value of `values` (n,) is None, NaN, NA or text without a character that can be seen."""
    absent = np.asarray(pd.isna(values), dtype=np.bool_)
    if values.dtype.kind in "OU":
        absent |= np.fromiter((isinstance(value, str) and not value.strip() for value in values), np.bool_, len(values))
    return absent
