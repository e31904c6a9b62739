"""STORE/folds/dataset=D/spec=S/layer=L/<shard>.parquet: VLAD by dictionaries that were learnt inside folds."""

from collections.abc import Sequence

import pyarrow as pa

from schemas.declare import column, table


def fold_vectors_schema(width: int, dictionaries: Sequence[str]) -> pa.Schema:
    """A vector of `width` values for each dictionary, in a column of its name: a trial reads its own alone."""
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), width)
    return table(
        "fold_vectors",
        1,
        [
            column("image_id", pa.string()),
            column("path", pa.string()),
            column("num_positions", pa.int32()),
            *(column(name, vector) for name in dictionaries),
        ],
    )
