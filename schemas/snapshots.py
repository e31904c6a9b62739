"""STORE/index/dataset=D/snapshot-<n>.parquet: the whole membership of a dataset at one time, sorted by path."""

from collections.abc import Sequence

import pyarrow as pa

from schemas.declare import column, optional, table

META_PREFIX = "meta_"
"""The other columns of the labels file get this prefix."""

SNAPSHOT = table(
    "snapshot",
    1,
    [
        column("image_id", pa.string()),  # 32 hex digits, a hash of path, size and etag or mtime
        column("path", pa.string()),  # relative to the archive; in a tar shard the member's name
        column("uri", pa.string()),  # the object that holds the bytes
        optional("offset", pa.int64()),  # first byte of a tar member in it; null for a whole object
        column("size", pa.int64()),  # bytes of the image
        optional("etag", pa.string()),  # of the object, where storage gives one
        optional("mtime", pa.string()),  # of the file or tar member, ns since 1970
        column("object_version", pa.string()),  # etag, or size and mtime, of `uri`: checked again before reading
        optional("sidecar", pa.string()),  # metadata file beside it: uri@version; in a tar, member@offset+size
        column("shard", pa.string()),
        optional("label", pa.string()),
        optional("specimen", pa.string()),
    ],
)


def snapshot_schema(meta_columns: Sequence[str] = ()) -> pa.Schema:
    """SNAPSHOT with the labels file's other columns (given without prefix) as text."""
    return pa.schema(
        [*SNAPSHOT, *(optional(META_PREFIX + name, pa.string()) for name in meta_columns)],
        metadata=SNAPSHOT.metadata,
    )
