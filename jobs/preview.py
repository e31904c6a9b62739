"""preview: a contact sheet of what featurize will see, before a long run."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np

from jobs.commands import JobCommand
from jobs.options import dataset_option, json_option, pixel_options, pixel_settings, print_summary, store_option
from jobs.progress import progress
from texture_store.archive.fetch import Fetched, fetch
from texture_store.errors import EmptyArchiveError, ObjectExistsError, RejectedImageError
from texture_store.objects import Storage, open_storage
from texture_store.pipeline import isolated_reader
from texture_store.report.contact_sheet import contact_sheet
from texture_store.report.preview_page import preview_page
from texture_store.report.previewed import Previewed, overview
from texture_store.report.thumbnail import thumbnail
from texture_store.spec import PixelSpec, make_pixel_spec
from texture_store.store.layout import report_path
from texture_store.store.opening import open_for_reading
from texture_store.store.snapshots import Snapshot, latest_snapshot

JOB = "preview"
NUM_IMAGES = 50


def preview(
    store_url: str,
    dataset: str,
    pixels: PixelSpec,
    *,
    num_images: int = NUM_IMAGES,
    output: str | None = None,
    advance: Callable[[int, int], None] = lambda _done, _rejected: None,
) -> list[str]:
    """Draw a contact sheet of a dataset's latest snapshot; returns the URLs of the PNG and of the HTML page.

    Args:
        store_url: an existing store.
        dataset: one of its datasets.
        pixels: what decides how the network sees a picture.
        num_images: pictures to show, spread evenly over the snapshot in the order of their paths.
        output: folder or URL to write to; None: STORE/reports/dataset=D/. Names end in a hash of the page, so that the
            same sheet is written once.
        advance: told how many more images were read, and how many of them cannot be used.

    Raises:
        TextureStoreError: the store or the archive cannot be read. An image that cannot be used is shown as such.
    """
    storage = open_for_reading(store_url)
    snapshot = latest_snapshot(storage, dataset)
    if not len(snapshot):
        raise EmptyArchiveError(f"dataset {dataset} has no images in snapshot {snapshot.number}; run index again")
    images = []
    for image in _images(snapshot, pixels, num_images):
        images.append(image)
        advance(1, int(image.seen is None))
    summary = overview(images, len(snapshot))
    title = f"Preview of {dataset}: {len(images)} of {len(snapshot):,} images, snapshot {snapshot.number}"
    settings = describe(pixels)
    page = preview_page(images, summary, title=title, settings=settings).encode()
    sheet = contact_sheet(images, summary, title=title, settings=settings)
    # Each is named by its own content: `verify` finds damage by it.
    names = [
        f"preview-{hashlib.sha256(data).hexdigest()[:16]}.{kind}" for data, kind in ((sheet, "png"), (page, "html"))
    ]
    target, paths = storage, [report_path(dataset, name) for name in names]
    if output is not None:
        target, paths = open_storage(output), [f"{dataset}-{name}" for name in names]
    return [_create(target, path, data) for path, data in zip(paths, (sheet, page), strict=True)]


def describe(pixels: PixelSpec) -> str:
    """The settings in one line."""
    size = f"{pixels.um_per_px:g} um per px" if pixels.um_per_px is not None else f"size {pixels.size}"
    parts = [size, f"fit {pixels.fit}", f"resize {pixels.resize}", f"databar {pixels.databar}"]
    parts.append(f"intensity {pixels.intensity}")
    if pixels.value_range is not None:
        parts.append(f"range {pixels.value_range[0]:g}:{pixels.value_range[1]:g}")
    return ", ".join(parts)


def _images(snapshot: Snapshot, pixels: PixelSpec, num_images: int) -> Iterator[Previewed]:
    table = snapshot.table
    chosen = np.unique(np.linspace(0, len(snapshot) - 1, min(num_images, len(snapshot))).round().astype(np.int64))
    rows = table.take(chosen)
    names = rows.select(["path", "label"]).to_pylist()
    for fetched in fetch(rows, snapshot.archive_url):
        yield _previewed(fetched, names[fetched.index], pixels)


def _previewed(fetched: Fetched, row: dict[str, Any], pixels: PixelSpec) -> Previewed:
    path, label = row["path"], row["label"]
    if fetched.data is None:
        return Previewed(path, label, None, None, reason=str(fetched.problem))
    whole = _whole(fetched.data, pixels)
    try:
        micrograph = isolated_reader()(fetched.data, pixels, sidecar=fetched.sidecar, name=path)
    except RejectedImageError as error:
        return Previewed(path, label, whole, None, reason=f"rejected ({error.stage}): {error}")
    return Previewed(path, label, whole, thumbnail(micrograph.seen, 512, 512), facts=micrograph.facts)


def _whole(data: bytes, pixels: PixelSpec) -> np.ndarray | None:
    """The file's picture with its databar, on the same grey scale, no larger than a screen needs."""
    as_it_is = PixelSpec(size="native", databar="none", value_range=pixels.value_range)
    try:
        return thumbnail(isolated_reader()(data, as_it_is).seen, 512, 512)
    except RejectedImageError:
        return None


def _create(storage: Storage, path: str, data: bytes) -> str:
    with contextlib.suppress(ObjectExistsError):  # the name holds the page's hash: it is there already
        storage.create(path, data)
    return storage.url_of(path)


@click.command(
    JOB,
    cls=JobCommand,
    epilog="Example: texture-store preview --store s3://lab/store --dataset steel --size 512 --output ./preview",
)
@store_option
@dataset_option
@click.option("--images", "num_images", type=click.IntRange(1, 1000), default=NUM_IMAGES, show_default=True)
@click.option("--output", metavar="DIR", default=None, help="Where to write.  [default: STORE/reports/dataset=D/]")
@pixel_options()
@json_option
def command(
    *, store_url: str, dataset: str, num_images: int, output: str | None, as_json: bool, **settings: Any
) -> None:
    """Show what featurize will see: some 50 images, whole and as the network receives them.

    Each is shown with its databar and cut edge, grey range, um per px and warnings, as one PNG and as an HTML page with
    the numbers. Use the options of featurize, and look before a long run.
    """
    pixels = make_pixel_spec(**pixel_settings(**settings))
    with progress("preview") as bar:
        written = preview(
            store_url,
            dataset,
            pixels,
            num_images=num_images,
            output=output,
            advance=lambda done, rejected: bar.advance(done, rejected=rejected),
        )
    print_summary({"sheet": written[0], "page": written[1]}, as_json=as_json)


if __name__ == "__main__":
    command()
