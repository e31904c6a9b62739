"""Columns that the tables of STORE/explanations/ have in common: which question a row answers, and of what.

A file holds the answer to one question, and its key is a hash of all that decides it.
"""

import pyarrow as pa

from schemas.declare import column, optional

NAMES = pa.list_(pa.string())
VERSIONS = pa.map_(pa.string(), pa.string())

KEY = [
    column("key", pa.string()),  # hash of all that decides the rows
    column("created", pa.string()),  # ISO 8601, UTC
    column("versions", VERSIONS),  # of the libraries that decide values
]

IMAGES = [
    column("snapshot", pa.int32()),
    column("spec", pa.string()),  # joined by + where layers come from several
    column("conditions", NAMES),  # on the images, as given with --where, sorted
    column("members", pa.string()),  # hash of the image_ids in order
    column("num_images", pa.int32()),
]

FILTER = [
    column("layer", pa.string()),
    column("filter", pa.int32()),  # from 0
]

IMAGE = [
    column("image_id", pa.string()),
    column("path", pa.string()),
]

SEEN = [
    column("picture", pa.binary()),  # JPEG of what the network saw, its longer side at most 512 px
    column("seen_width", pa.int32()),  # px, what the network received
    column("seen_height", pa.int32()),
    optional("um_per_px_x", pa.float64()),  # of what the network saw
    optional("um_per_px_y", pa.float64()),
    column("px_per_px_x", pa.float64()),  # file pixels per pixel that the network saw
    column("px_per_px_y", pa.float64()),
]
