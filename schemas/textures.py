"""STORE/textures/<weights digest>/layer=L/recipe=R/<filter>.parquet: what a filter answers to most, one row a file.

Of the weights alone: made once, for all datasets.
"""

import pyarrow as pa

from schemas.declare import column, table
from schemas.explained import FILTER, VERSIONS

TEXTURES = table(
    "textures",
    1,
    [
        column("weights", pa.string()),  # digest
        column("lineage", pa.string()),  # caffe, foreign, random:SEED
        *FILTER,
        column("recipe", pa.string()),  # name
        column("recipe_key", pa.string()),  # name and hash of all its settings; names the folder
        column("seed", pa.int64()),
        column("picture", pa.binary()),  # PNG, grey or RGB; one grey throughout for a dead filter
        column("is_dead", pa.bool_()),  # nothing activated it
        column("activation", pa.float64()),  # mean over the picture in grey, at mean 127.5 and RMS contrast 51
        column("noise_activation", pa.float64()),  # mean over white noise of the same mean and contrast
        column("device", pa.string()),  # processor that made it; another one gives a picture of the same kind
        column("created", pa.string()),  # ISO 8601, UTC
        column("versions", VERSIONS),
    ],
)
