"""STORE/rejected/dataset=D/spec=S/<shard>.parquet: images that have no features, and why."""

import pyarrow as pa

from schemas.declare import column, table

REJECTED = table(
    "rejected",
    1,
    [
        column("image_id", pa.string()),
        column("path", pa.string()),
        column("stage", pa.string()),  # decode, intensity, scale, isolation
        column("error", pa.string()),  # class of texture_store.errors
        column("message", pa.string()),
    ],
)
