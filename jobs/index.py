"""index: list an archive of micrographs, join labels, take a snapshot of what belongs to a dataset."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from jobs.commands import RecordedCommand
from jobs.options import dataset_option, json_option, print_summary, store_option
from jobs.progress import progress, say
from texture_store.archive.labels import Labels, labels_of, parse_condition, read_labels
from texture_store.archive.listing import Listing, list_archive
from texture_store.archive.snapshot import SHARD_SIZE, SnapshotChange, next_snapshot
from texture_store.errors import CommitConflictError, DatasetNotFoundError, UsageError
from texture_store.objects import Storage, open_storage
from texture_store.store.layout import STORE_FILE, check_dataset
from texture_store.store.opening import open_for_reading, open_for_writing
from texture_store.store.snapshots import Snapshot, latest_snapshot, write_snapshot

JOB = "index"
MAX_CONFLICTS = 10
"""Times that somebody else may write a snapshot first, before this job gives up."""
FEW = 5


@dataclass(frozen=True)
class IndexSummary:
    """What an index found, and how it differs from the snapshot before."""

    dataset: str
    snapshot: int
    """The latest one now; the one before, when nothing changed."""
    is_new: bool
    archive: str
    images: int
    shards: int
    new: int
    changed: int
    gone: int
    relabelled: int
    moved: int
    excluded: int
    """By --where."""
    labels_without_image: int
    images_without_label: int
    seconds: float
    skipped: dict[str, int] = field(default_factory=dict)
    """Files that are no images, by extension."""
    left_out: list[str] = field(default_factory=list)
    """`path: reason`, of what might have been an image."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def index(
    store_url: str,
    dataset: str,
    archive_url: str,
    *,
    labels: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    where: Sequence[str] = (),
    root: str | None = None,
    shard_size: int = SHARD_SIZE,
    tell: Callable[[str], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> IndexSummary:
    """Take a new snapshot of a dataset, if anything is new, changed, gone or labelled otherwise.

    Args:
        store_url: made if it is not there yet.
        dataset: a-z, 0-9, _ and -, a letter first.
        archive_url: a folder or prefix, a `.tar`, or a listing file (`.csv`, `.parquet`).
        labels: URL of a CSV or Parquet file with a column `path`; None keeps the labels of the last snapshot.
        label_column: its column to predict; `label` if it is there.
        group_column: its column that says which specimen an image is of; `specimen` if it is there.
        where: conditions `COLUMN=VALUE` or `COLUMN!=VALUE` on the labels; images must meet all of them, of several = on
            one column any.
        root: what a listing file's paths are relative to, if not its own folder.
        shard_size: images of a new shard.
        tell: told about what a user should know.
        advance: told how many more files were met.

    Raises:
        TextureStoreError: the archive, the labels or the store cannot be used.
    """
    started = time.monotonic()
    check_dataset(dataset)
    conditions = [parse_condition(text) for text in where]
    open_storage(archive_url)  # a bad URL stops before a store is made
    storage = open_for_writing(store_url)
    listing = list_archive(archive_url, root=root, progress=advance)
    known = _labels(labels, label_column, group_column, listing)
    for _ in range(MAX_CONFLICTS):
        previous = _latest(storage, dataset)
        change = next_snapshot(
            previous.table if previous else None, listing, known, shard_size=shard_size, where=conditions
        )
        _tell(tell, previous, listing, known, change)
        try:
            current = _write(storage, dataset, previous, listing, known, change)
        except CommitConflictError:
            tell("another index of this dataset was faster: comparing with its snapshot")
            continue
        return _summary(current, listing, change, time.monotonic() - started)
    raise CommitConflictError(f"dataset {dataset}: others kept writing snapshots meanwhile; run index again")


def look(
    store_url: str,
    dataset: str,
    archive_url: str,
    *,
    labels: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    where: Sequence[str] = (),
    root: str | None = None,
    shard_size: int = SHARD_SIZE,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[IndexSummary, Snapshot]:
    """What `index` would find, and the snapshot that it would leave as the latest; nothing is written."""
    started = time.monotonic()
    check_dataset(dataset)
    listing = list_archive(archive_url, root=root, progress=advance)
    known = _labels(labels, label_column, group_column, listing)
    storage = open_storage(store_url)
    previous = _latest(open_for_reading(store_url), dataset) if storage.exists(STORE_FILE) else None
    conditions = [parse_condition(text) for text in where]
    change = next_snapshot(
        previous.table if previous else None, listing, known, shard_size=shard_size, where=conditions
    )
    snapshot = previous
    if snapshot is None or change.is_new:
        number = 1 + (previous.number if previous else 0)
        snapshot = Snapshot(dataset, number, change.table, listing.archive_url, "", known.source if known else None)
    return _summary(snapshot, listing, change, time.monotonic() - started), snapshot


def _labels(source: str | None, label_column: str | None, group_column: str | None, listing: Listing) -> Labels | None:
    if source is not None:
        return read_labels(source, label_column=label_column, group_column=group_column)
    if listing.label_columns is not None:
        return labels_of(
            listing.label_columns,
            source=listing.archive_url,
            label_column=label_column,
            group_column=group_column,
        )
    if label_column is not None or group_column is not None:
        raise UsageError("--label-column and --group-column name columns of a labels file; give it with --labels FILE")
    return None


def _latest(storage: Storage, dataset: str) -> Snapshot | None:
    try:
        return latest_snapshot(storage, dataset)
    except DatasetNotFoundError:
        return None


def _write(
    storage: Storage,
    dataset: str,
    previous: Snapshot | None,
    listing: Listing,
    labels: Labels | None,
    change: SnapshotChange,
) -> Snapshot:
    if previous is not None and not change.is_new:
        return previous
    before = previous.labels_source if previous is not None else None
    return write_snapshot(
        storage,
        dataset,
        change.table,
        previous=previous.number if previous is not None else None,
        archive_url=listing.archive_url,
        labels_source=labels.source if labels is not None else before,
    )


def _tell(
    tell: Callable[[str], None],
    previous: Snapshot | None,
    listing: Listing,
    labels: Labels | None,
    change: SnapshotChange,
) -> None:
    if previous is not None and previous.archive_url != listing.archive_url:
        tell(f"the last snapshot was of another archive, {previous.archive_url}")
    for path, reason in listing.left_out[:FEW]:
        tell(f"left out: {path}: {reason}")
    if len(listing.left_out) > FEW:
        tell(f"left out: {len(listing.left_out) - FEW:,} more")
    if labels is not None and change.labels_without_image == labels.table.num_rows > 0:
        example = change.table["path"][0].as_py()
        tell(f"no label fits any image: labels say {change.few_without_image[0]}, images are called like {example}")
        return
    if change.labels_without_image:
        few = ", ".join(change.few_without_image)
        tell(f"{change.labels_without_image:,} labels without image, such as {few}")
    if change.images_without_label:
        few = ", ".join(change.few_without_label)
        tell(f"{change.images_without_label:,} images without label, such as {few}")


def _summary(current: Snapshot, listing: Listing, change: SnapshotChange, seconds: float) -> IndexSummary:
    return IndexSummary(
        dataset=current.dataset,
        snapshot=current.number,
        is_new=change.is_new,
        archive=listing.archive_url,
        images=change.table.num_rows,
        shards=len(change.table["shard"].unique()),
        new=change.added,
        changed=change.changed,
        gone=change.gone,
        relabelled=change.relabelled,
        moved=change.moved,
        excluded=change.excluded,
        labels_without_image=change.labels_without_image,
        images_without_label=change.images_without_label,
        seconds=round(seconds, 2),
        skipped=listing.skipped,
        left_out=[f"{path}: {reason}" for path, reason in listing.left_out],
    )


@click.command(
    JOB,
    cls=RecordedCommand,
    epilog="Example: texture-store index --store s3://lab/store --dataset steel s3://lab/archive --labels labels.csv",
)
@store_option
@dataset_option
@click.argument("archive", metavar="ARCHIVE")
@click.option("--labels", metavar="FILE", default=None, help="CSV or Parquet with a column path; else the last ones.")
@click.option("--label-column", metavar="NAME", default=None, help="What to predict.  [default: label, if there]")
@click.option("--group-column", metavar="NAME", default=None, help="The specimen.  [default: specimen, if there]")
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Take only images with this label value; != for all others. May be repeated: all must hold, but of several ="
    " on one column any. Compared as text; an image without a value has the empty one.",
)
@click.option("--root", metavar="URL", default=None, help="What a listing's paths are relative to, if not its folder.")
@click.option("--shard-size", type=click.IntRange(1, 4096), default=SHARD_SIZE, show_default=True, help="Images.")
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    archive: str,
    labels: str | None,
    label_column: str | None,
    group_column: str | None,
    where: tuple[str, ...],
    root: str | None,
    shard_size: int,
    as_json: bool,
) -> None:
    """List the micrographs in ARCHIVE and take a snapshot of what belongs to a dataset.

    ARCHIVE is a folder or prefix (tars in it count as shards), one .tar, or a listing: CSV or Parquet with a column
    path or uri, or an S3 inventory. Files that are no images are skipped and counted.

    Run it again for what is new, changed or gone: images that stay keep their features. When nothing changed, no
    snapshot is written.
    """
    with progress("list", unit="files") as bar:
        summary = index(
            store_url,
            dataset,
            archive,
            labels=labels,
            label_column=label_column,
            group_column=group_column,
            where=where,
            root=root,
            shard_size=shard_size,
            tell=say,
            advance=bar.advance,
        )
    report = summary.to_json()
    if not as_json:
        report["left_out"] = len(summary.left_out)
    print_summary(report, as_json=as_json)


if __name__ == "__main__":
    command()
