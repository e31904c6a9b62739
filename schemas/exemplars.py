"""STORE/explanations/dataset=D/exemplars-<key>.parquet: the micrographs that a filter is most active on, best first.

A file a filter, a row a micrograph, with the patch of it that the filter is most active on.
"""

import pyarrow as pa

from schemas.declare import column, table
from schemas.explained import FILTER, IMAGE, IMAGES, KEY, SEEN

EXEMPLARS = table(
    "exemplars",
    1,
    [
        *KEY,
        *IMAGES,
        *FILTER,
        column("count", pa.int32()),  # micrographs that were asked for
        column("rank", pa.int32()),  # 1 is the highest mean activation of the dataset
        *IMAGE,
        column("mean_activation", pa.float64()),  # over the whole picture: the feature
        *SEEN,
        column("patch", pa.binary()),  # PNG
        column("patch_left", pa.int32()),  # px of what the network saw
        column("patch_top", pa.int32()),
        column("patch_side", pa.int32()),
        column("patch_mean_activation", pa.float64()),
    ],
)
