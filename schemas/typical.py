"""STORE/explanations/dataset=D/typical-<key>.parquet: how usual each image is, in its class and in the dataset."""

import pyarrow as pa

from schemas.declare import column, optional, table
from schemas.explained import IMAGE, IMAGES, KEY

TYPICAL = table(
    "typical",
    1,
    [
        *KEY,
        *IMAGES,
        column("label_column", pa.string()),
        *IMAGE,
        optional("label", pa.string()),
        optional("class_distance", pa.float64()),  # to the centre of its class; 1 is the spread of the dataset
        optional("class_rank", pa.int32()),  # 1 is the most typical image of the class
        optional("class_size", pa.int32()),
        column("atypicality", pa.float64()),  # mean distance to its nearest images, 1 is the median
        column("atypical_rank", pa.int32()),  # 1 is the most atypical image of the dataset
        column("num_neighbours", pa.int32()),
    ],
)
