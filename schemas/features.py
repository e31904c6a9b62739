"""STORE/features/dataset=D/spec=S/encoder=E/layer=L/<shard>.parquet: one vector per image."""

import pyarrow as pa

from schemas.declare import column, table

VECTOR = "vector"


def features_schema(width: int, num_words: int | None = None) -> pa.Schema:
    """Features whose vectors have `width` float32 values; VLAD also has the `counts` of its words."""
    fields = [
        column("image_id", pa.string()),
        column("path", pa.string()),
        column("num_positions", pa.int32()),
        column(VECTOR, pa.list_(pa.field("element", pa.float32(), nullable=False), width)),
    ]
    if num_words is not None:
        fields.append(column("counts", pa.list_(pa.field("element", pa.int32(), nullable=False), num_words)))
    return table("features", 1, fields)
