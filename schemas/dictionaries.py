"""STORE/dictionaries/dataset=D/spec=S/layer=L/<dictionary>.parquet: the words of one layer, a row each."""

import pyarrow as pa

from schemas.declare import column, table
from schemas.features import VECTOR


def dictionary_schema(width: int) -> pa.Schema:
    """Words of `width` values, those with most descriptors first."""
    return table(
        "dictionary",
        1,
        [
            column("word", pa.int32()),
            column(VECTOR, pa.list_(pa.field("element", pa.float32(), nullable=False), width)),
            column("count", pa.int64()),  # descriptors of the sample that are nearest to it
            column("error", pa.float64()),  # their mean squared distance to it
            column("learnt_from", pa.string()),  # JSON, the same in each row: texture_store.store.dictionaries
        ],
    )
