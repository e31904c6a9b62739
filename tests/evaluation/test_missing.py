import numpy as np
import pandas as pd
import pytest

from texture_store.evaluation.missing import missing


@pytest.mark.parametrize(("values", "absent"), [
    (np.array(["a", "", " \t", "nan"]), [False, True, True, False]),
    (np.array(["a", None, np.nan, pd.NA, "", 0, False], dtype=object), [False, True, True, True, True, False, False]),
    (np.array([0.0, np.nan, np.inf]), [False, True, False]),
    (np.array([1, 0]), [False, False]),
    (np.array([], dtype=str), []),
])  # fmt: skip
def test_none_nan_and_empty_text_are_missing(values, absent: list[bool]) -> None:
    assert missing(values).tolist() == absent
