"""STORE/explanations/dataset=D/neighbours-<key>.parquet: the micrographs nearest to one, nearest first."""

import pyarrow as pa

from schemas.declare import column, table
from schemas.explained import IMAGE, IMAGES, KEY

NEIGHBOURS = table(
    "neighbours",
    1,
    [
        *KEY,
        *IMAGES,
        column("encoder", pa.string()),
        column("layer", pa.string()),
        column("same_scale", pa.bool_()),  # only those at the same um per px, within a tenth
        column("count", pa.int32()),  # that were asked for
        column("asked_id", pa.string()),
        column("asked_path", pa.string()),
        column("rank", pa.int32()),
        *IMAGE,
        column("cosine", pa.float64()),
    ],
)
