"""A listing file as the archive: CSV or Parquet with a column `path` or `uri`, or an S3 inventory.

    path          relative to the listing's own folder (or to the root that was given)
    uri           a full URL; with `path` beside it, that is its path in the dataset
    size, etag    optional; where both are there for an object on S3, it is not asked again
    mtime         optional, not used: storage is asked
    (others)      labels

S3 inventory CSV has no header. It is recognised by five fields, the third a number and the fourth a time:
Bucket, Key, Size, LastModifiedDate, ETag, keys URL-encoded. With a header (any order, more columns) it works too.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote_plus

import pyarrow as pa

from texture_store.archive.entry import Entry, whole_object
from texture_store.archive.text_table import SUFFIXES, csv_text, first_row, read_bytes, read_text_table
from texture_store.errors import LabelsError, ObjectNotFoundError, UsageError
from texture_store.objects import ObjectInfo, Storage, open_parent, open_storage

__all__ = ["SUFFIXES", "ListedFiles", "read_listing_file"]

INVENTORY = ("bucket", "key", "size", "last_modified_date", "etag")
REQUESTS_AT_ONCE = 16
ROWS_AT_ONCE = 4096
"""Rows whose requests are waiting at one time: each is an object of some kB."""


@dataclass(frozen=True)
class ListedFiles:
    """What a listing file names."""

    storage: Storage
    entries: Iterator[Entry]
    label_columns: pa.Table | None
    """path and the columns that are labels; None when there are none."""


def read_listing_file(url: str, *, root: str | None, on_skip: Callable[[str, str], None]) -> ListedFiles:
    """The files that the listing at `url` names. Those that are not there are told to `on_skip`.

    Raises LabelsError for a file that is no listing, UsageError for a uri outside the archive's root.
    """
    table = _with_plain_names(url, _read(url))
    if "key" in table.column_names and "bucket" in table.column_names:
        table = _inventory(table, is_encoded=not url.lower().endswith(".parquet"))
    if "path" not in table.column_names and "uri" not in table.column_names:
        raise LabelsError(f"{url}: a listing needs a column path or uri; it has {', '.join(table.column_names)}")
    folder = open_parent(url)[0].url
    uris = table["uri"].to_pylist() if "uri" in table.column_names else None
    names = table["path"].to_pylist() if "path" in table.column_names else None
    storage = open_storage(root or (_common_root(uris, folder) if uris else folder))
    locations = [_location(storage, uri, url) for uri in (uris or names or [])]
    # What storage calls ./a.png and a.png is one file, and has one path.
    paths = [(name or place).removeprefix("./") for name, place in zip(names or locations, locations, strict=True)]
    sizes, etags = (
        table[name] if name in table.column_names else pa.nulls(table.num_rows, pa.string())
        for name in ("size", "etag")
    )
    others = [name for name in table.column_names if name not in ("path", "uri", "size", "etag", "mtime")]
    labels = None
    if others:
        labels = pa.Table.from_arrays([pa.array(paths, pa.string()), *table.select(others).columns], ["path", *others])
    return ListedFiles(storage, _entries(storage, paths, locations, sizes, etags, on_skip), labels)


def _read(url: str) -> pa.Table:
    if url.lower().endswith(".parquet"):
        return read_text_table(url)
    row = first_row(csv_text(url, read_bytes(url)))
    is_inventory = len(row) == 5 and row[2].isdigit() and re.match(r"\d{4}-\d\d-\d\dT", row[3])
    return read_text_table(url, header=INVENTORY if is_inventory else None)


def _with_plain_names(url: str, table: pa.Table) -> pa.Table:
    """S3 writes its column names in several ways: LastModifiedDate, last_modified_date, ETag, e_tag."""
    plain = {"bucket": "bucket", "key": "key", "size": "size", "etag": "etag", "path": "path", "uri": "uri"}
    plain |= {"lastmodifieddate": "last_modified_date", "islatest": "is_latest", "isdeletemarker": "is_delete_marker"}
    names = [plain.get(name.lower().replace("_", ""), name) for name in table.column_names]
    if len(set(names)) < len(names):
        raise LabelsError(f"{url}: two columns mean the same; it has {', '.join(table.column_names)}")
    return table.rename_columns(names)


def _inventory(table: pa.Table, *, is_encoded: bool) -> pa.Table:
    keep = [name for name in ("size", "etag") if name in table.column_names]
    rows = table.to_pylist()
    rows = [row for row in rows if row.get("is_latest") != "false" and row.get("is_delete_marker") != "true"]
    keys = [unquote_plus(row["key"] or "") if is_encoded else row["key"] or "" for row in rows]
    columns = {"uri": [f"s3://{row['bucket']}/{key}" for row, key in zip(rows, keys, strict=True)]}
    columns |= {name: [row[name] for row in rows] for name in keep}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _common_root(uris: list[str | None], folder: str) -> str:
    """The bucket of s3 uris, whatever lies in it, so that paths stay the same when the listing grows; else `folder`."""
    buckets = {uri.split("/")[2] for uri in uris if uri and re.match(r"s3a?://[^/]+/", uri)}
    if len(buckets) > 1:
        raise UsageError(f"a listing over several buckets ({', '.join(sorted(buckets)[:3])}): make one for each")
    return f"s3://{buckets.pop()}" if buckets else folder


def _location(storage: Storage, uri: str | None, listing: str) -> str:
    """The path below the archive's root. Raises UsageError when it leads elsewhere."""
    uri = uri or ""
    root = storage.url.rstrip("/") + "/"
    if uri.startswith("s3a://"):
        uri = "s3://" + uri[6:]
    if uri.startswith("file:"):
        uri = open_storage(uri).url
    path = uri.removeprefix(root) if uri.startswith(root) else uri.removeprefix("./")
    if not path or "://" in path or path.startswith("/") or ".." in path.split("/"):
        shown = (path or "an empty path") if not {"@", "?"} & set(path) else "a uri with @ or ? in it"
        raise UsageError(
            f"{listing}: {shown} does not lie under {storage.url}; give the folder or prefix that"
            " holds all of them as the root"
        )
    return path


def _known(storage: Storage, path: str, size: str | None, etag: str | None) -> ObjectInfo | None:
    if storage.protocol != "s3" or size is None or not size.isdigit() or not etag:
        return None
    return ObjectInfo(path, int(size), etag.strip('"'), None)


def _entries(
    storage: Storage,
    paths: list[str],
    locations: list[str],
    sizes: pa.ChunkedArray,
    etags: pa.ChunkedArray,
    on_skip: Callable[[str, str], None],
) -> Iterator[Entry]:
    def ask(location: str) -> ObjectInfo | None:
        try:
            return storage.info(location)
        except ObjectNotFoundError:
            return None

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
        for first in range(0, len(paths), ROWS_AT_ONCE):
            some = slice(first, first + ROWS_AT_ONCE)
            versions = zip(sizes[some].to_pylist(), etags[some].to_pylist(), strict=True)
            known = [_known(storage, location, *one) for location, one in zip(locations[some], versions, strict=True)]
            missing = (location for location, info in zip(locations[some], known, strict=True) if info is None)
            asked = threads.map(ask, missing)
            for path, location, given in zip(paths[some], locations[some], known, strict=True):
                info = given or next(asked)
                if info is None:
                    on_skip(location, "listed, but not there")
                else:
                    entry = whole_object(storage, info)
                    yield entry if entry.path == path else entry._replace(path=path)
