"""STORE/commits/dataset=D/spec=S/checkpoint-<n>.parquet: commit records folded into one file."""

import pyarrow as pa

from schemas.declare import column, table

CHECKPOINT = table(
    "checkpoint",
    1,
    [
        column("step", pa.string()),
        column("shard", pa.string()),
        column("record", pa.string()),  # the commit record's JSON
    ],
)
