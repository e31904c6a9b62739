"""STORE/explanations/dataset=D/heat_maps-<key>.parquet: a filter's activation over a micrograph, one row a file."""

import pyarrow as pa

from schemas.declare import column, table
from schemas.explained import FILTER, IMAGE, KEY, SEEN

HEAT_MAPS = table(
    "heat_maps",
    1,
    [
        *KEY,
        column("spec", pa.string()),
        *IMAGE,
        *FILTER,
        column("mean_activation", pa.float64()),
        column("highest_activation", pa.float64()),
        # Grey PNG (h, w), h and w being those of the layer's map; level 255 is the highest activation, 0 is 0.
        column("activation", pa.binary()),
        *SEEN,
    ],
)
