"""STORE/samples/dataset=D/spec=S/layer=L/<shard>.parquet: some descriptors of each image."""

import pyarrow as pa

from schemas.declare import column, table

DESCRIPTORS = "descriptors"

SAMPLES = table(
    "samples",
    1,
    [
        column("image_id", pa.string()),
        column("path", pa.string()),
        column("num_positions", pa.int32()),  # of the whole feature map
        column("num_descriptors", pa.int32()),  # of which these were drawn
        # One after the other: num_descriptors times as many values as the layer has channels.
        column(DESCRIPTORS, pa.list_(pa.field("element", pa.float32(), nullable=False))),
    ],
)
