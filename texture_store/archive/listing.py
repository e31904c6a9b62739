"""Listing an archive: a folder or prefix, tar shards, or a listing file.

A file is an image by its extension, and by nothing else: what lies in its bytes is found out when it is read.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from schemas import SNAPSHOT
from texture_store.archive.entry import Entry, suffix, whole_object
from texture_store.archive.listing_file import SUFFIXES, read_listing_file
from texture_store.archive.tar import COMPRESSED_SUFFIXES, list_tar, refuse_compressed
from texture_store.errors import ArchiveNotFoundError, DuplicatePathError, EmptyArchiveError, ObjectNotFoundError
from texture_store.objects import ObjectInfo, Storage, open_parent, open_storage

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
SIDECAR_SUFFIXES = (".hdr", ".txt")
"""Metadata files beside an image: TESCAN; JEOL and Hitachi. The first one that is there counts."""

TARS_AT_ONCE = 8
PROGRESS_STEP = 1000

COLUMNS = ("image_id", "path", "uri", "offset", "size", "etag", "mtime", "object_version", "sidecar")
"""What a listing knows of a snapshot's columns."""


@dataclass(frozen=True)
class Listing:
    """The images of an archive at one time."""

    archive_url: str
    """Every uri lies below it."""
    table: pa.Table
    """One row for each image: COLUMNS, sorted by path."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Files that are no images, by extension."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(path, reason) of what might have been an image and cannot be used."""
    label_columns: pa.Table | None = None
    """path and the other columns of a listing file, as text; None when there are none."""


def list_archive(url: str, *, root: str | None = None, progress: Callable[[int], None] | None = None) -> Listing:
    """The images of the archive at `url`: a folder or prefix (tars in it count as shards), one `.tar`, or a listing
    file (`.csv`, `.parquet`).

    `root` is what a listing file's paths are relative to, if not to its own folder. `progress` is told how many more
    files were met. Raises ArchiveNotFoundError, EmptyArchiveError, DuplicatePathError, and UsageError for an archive
    that cannot be used as it is.
    """
    collected = _Collected(progress or (lambda _: None))
    url = open_storage(url).url
    refuse_compressed(url)
    extra = None
    storage, name = _open(url)
    if name is None:
        objects = storage.list(on_skip=collected.leave_out)
        entries = _expand(storage, (whole_object(storage, info) for info in objects), collected)
    elif suffix(name) == ".tar":
        entries = _expand(storage, [whole_object(storage, storage.info(name))], collected)
    else:
        listed = read_listing_file(url, root=root, on_skip=collected.leave_out)
        storage, extra = listed.storage, listed.label_columns
        entries = _expand(storage, listed.entries, collected)
    try:
        table = _table(collected.classify(entries), collected)
    except ObjectNotFoundError as error:
        raise ArchiveNotFoundError(f"{error}; check the URL") from error
    if table.num_rows == 0:
        raise _nothing_found(url, storage if name is None else None, collected)
    return Listing(storage.url, table, dict(collected.skipped.most_common()), tuple(collected.left_out), extra)


def _open(url: str) -> tuple[Storage, str | None]:
    """The storage of an archive; with a name in it when the archive is a file."""
    if not url.lower().endswith((".tar", *SUFFIXES)):
        return open_storage(url), None
    folder, name = open_parent(url)
    if folder.exists(name):
        return folder, name
    if open_storage(url).exists():
        return open_storage(url), None
    raise ArchiveNotFoundError(f"{url}: no such file; check the URL")


def _expand(storage: Storage, entries: Iterable[Entry], collected: "_Collected") -> Iterator[Entry]:
    """Files as they are, and then the members of the tars among them."""
    tars = []
    for entry in entries:
        if entry.suffix == ".tar" and not _is_hidden(entry.path):
            tars.append(ObjectInfo(entry.uri[len(storage.url.rstrip("/")) + 1 :], entry.size, entry.etag, entry.mtime))
        else:
            yield entry
    with ThreadPoolExecutor(TARS_AT_ONCE) as threads:
        for members in threads.map(lambda tar: list_tar(storage, tar, on_skip=collected.leave_out), tars):
            yield from members


class _Collected:
    """What a listing met on its way."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self.skipped: Counter[str] = Counter()
        self.left_out: list[tuple[str, str]] = []
        self.sidecars: dict[tuple[str, str], Entry] = {}

    def leave_out(self, path: str, reason: str) -> None:
        self.left_out.append((path, reason))

    def classify(self, entries: Iterable[Entry]) -> list[Entry]:
        """The images; sidecars are kept aside, the rest is counted."""
        images = []
        seen = 0
        for entry in entries:
            seen += 1
            if seen % PROGRESS_STEP == 0:
                self._progress(PROGRESS_STEP)
            kind = entry.suffix
            if _is_hidden(entry.path):
                self.skipped["hidden"] += 1
            elif kind in IMAGE_SUFFIXES:
                images.append(entry)
            elif kind in SIDECAR_SUFFIXES:
                self.sidecars[_container(entry), entry.path[: -len(kind)] + kind] = entry
            else:
                self.skipped[next((end for end in COMPRESSED_SUFFIXES if entry.path.lower().endswith(end)), kind)] += 1
        self._progress(seen % PROGRESS_STEP)
        return images

    def sidecar(self, image: Entry) -> Entry | None:
        """`a.hdr` or `a.txt` beside `a.tif`; also `a-tif.hdr`, as TESCAN writes it, and `a.tif.txt`."""
        if not self.sidecars:
            return None
        stem, extension = image.path[: -len(image.suffix)], image.suffix[1:]
        container = _container(image)
        for name in (stem, f"{stem}-{extension}", image.path):
            for kind in SIDECAR_SUFFIXES:
                found = self.sidecars.get((container, name + kind))
                if found is not None:
                    return found
        return None


def _is_hidden(path: str) -> bool:
    return path.startswith((".", "__MACOSX/")) or "/." in path or "/__MACOSX/" in path


def _container(entry: Entry) -> str:
    return "" if entry.offset is None else entry.uri


def _table(images: list[Entry], collected: _Collected) -> pa.Table:
    images = sorted(images, key=lambda image: image.path)
    for one, other in itertools.pairwise(images):
        if one.path == other.path:
            raise DuplicatePathError(
                f"{one.path}: in {one.uri} and in {other.uri}; every image needs a path of its own, rename one"
            )
    kept, image_ids, sidecars = [], [], []
    attached = set()
    for image in images:
        sidecar = collected.sidecar(image)
        if sidecar is not None:
            attached.add(sidecar.path)
        try:
            image_id, sidecar_text = _image_id(image, sidecar), _sidecar_text(sidecar)
        except UnicodeEncodeError:
            collected.leave_out(image.path.encode(errors="replace").decode(), "name is not UTF-8")
            continue
        kept.append(image)
        image_ids.append(image_id)
        sidecars.append(sidecar_text)
    for entry in collected.sidecars.values():
        if entry.path not in attached:
            collected.skipped[entry.suffix] += 1
    schema = pa.schema([SNAPSHOT.field(name) for name in COLUMNS])
    columns = [
        pa.array(image_ids, pa.string()),
        *(pa.array([getattr(image, name) for image in kept], schema.field(name).type) for name in COLUMNS[1:-1]),
        pa.array(sidecars, pa.string()),
    ]
    return pa.table(columns, schema)


def _image_id(image: Entry, sidecar: Entry | None) -> str:
    parts = [image.path, str(image.size), image.version]
    if sidecar is not None:
        parts += [str(sidecar.size), sidecar.version]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _sidecar_text(sidecar: Entry | None) -> str | None:
    if sidecar is None:
        return None
    if sidecar.offset is None:
        return f"{sidecar.uri}@{sidecar.object_version}"
    return f"{sidecar.path}@{sidecar.offset}+{sidecar.size}"


def _nothing_found(url: str, folder: Storage | None, collected: _Collected) -> ArchiveNotFoundError | EmptyArchiveError:
    if folder is not None and not folder.exists():
        parent, name = open_parent(url)
        if parent.exists(name):
            return ArchiveNotFoundError(f"{url}: a file; an archive is a folder, a .tar, or a .csv or .parquet listing")
        return ArchiveNotFoundError(f"{url}: no such folder or prefix; check the URL")
    met = ", ".join(f"{kind or 'no extension'} {count:,}" for kind, count in collected.skipped.most_common(5))
    return EmptyArchiveError(
        f"{url}: no micrograph in it ({f'skipped: {met}' if met else 'nothing at all'}); images end in"
        f" {' '.join(IMAGE_SUFFIXES)}"
    )
