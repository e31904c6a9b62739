"""STORE/explanations/dataset=D/characteristics-<key>.parquet: how characteristic each filter is of each class."""

import pyarrow as pa

from schemas.declare import column, optional, table
from schemas.explained import FILTER, IMAGES, KEY

CHARACTERISTICS = table(
    "characteristics",
    1,
    [
        *KEY,
        *IMAGES,
        column("label_column", pa.string()),
        optional("group_column", pa.string()),  # null where the AUC is over images
        column("class", pa.string()),
        column("num_class_images", pa.int32()),
        column("num_class_units", pa.int32()),  # specimens (or images) of the class that the AUC compares
        *FILTER,
        column("mean", pa.float64()),  # activation over the images of the class
        column("difference", pa.float64()),  # to the mean of the other classes' means
        optional("auc", pa.float64()),  # class against the rest; null with too few specimens
        # Within the class, 1 is the most characteristic one; only one filter of a cluster of correlated ones has a
        # rank.
        optional("difference_rank", pa.int32()),
        optional("auc_rank", pa.int32()),
    ],
)
