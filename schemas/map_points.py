"""STORE/explanations/dataset=D/map-<key>.parquet: a dataset in two dimensions, one row an image."""

import pyarrow as pa

from schemas.declare import column, optional, table
from schemas.explained import IMAGE, IMAGES, KEY

MAP_POINTS = table(
    "map",
    1,
    [
        *KEY,
        *IMAGES,
        column("encoder", pa.string()),
        column("layer", pa.string()),  # `all`: conv1_2 ... conv5_3 side by side
        column("label_column", pa.string()),
        column("method", pa.string()),  # pca, tsne
        column("seed", pa.int64()),
        optional("explained_x", pa.float64()),  # of pca: share of the variance along the axis
        optional("explained_y", pa.float64()),
        optional("perplexity", pa.float64()),  # of tsne
        *IMAGE,
        optional("label", pa.string()),
        column("x", pa.float64()),
        column("y", pa.float64()),
    ],
)
