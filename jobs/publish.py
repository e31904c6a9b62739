"""publish: a snapshot's features with labels as few large files, for readers that glob."""

from collections.abc import Callable, Sequence

import click

from jobs.commands import RecordedCommand
from jobs.options import dataset_option, json_option, print_summary, spec_option, store_option
from jobs.progress import progress
from texture_store.errors import FeaturesNotFoundError, UsageError
from texture_store.spec import ENCODERS, LAYERS
from texture_store.store.catalog import Catalog
from texture_store.store.choice import choose_spec, chosen_pairs, named_spec
from texture_store.store.commits import FeaturePair
from texture_store.store.opening import open_for_writing
from texture_store.store.publish import PART_BYTES, Publication, publish
from texture_store.store.reader import read_catalog

JOB = "publish"


def publish_dataset(
    store_url: str,
    dataset: str,
    *,
    encoders: Sequence[str] = (),
    layers: Sequence[str] = (),
    spec: str | None = None,
    snapshot: int | None = None,
    part_bytes: int = PART_BYTES,
    allow_pending: bool = False,
    on_total: Callable[[int], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> list[Publication]:
    """Publish the feature sets of a snapshot (the current one): all that exist, or those of some encoders and layers.

    `on_total` is told the number of vectors, `on_rows` how many more are there. See
    `texture_store.store.publish.publish` for the rest, and for what it raises.
    """
    storage = open_for_writing(store_url, create=False)
    catalog = read_catalog(storage, dataset, snapshot)
    pairs = _wanted(catalog, encoders, layers, spec)
    if on_total is not None:
        on_total(sum(choose_spec(catalog, pair, spec).featurized for pair in pairs))
    return [
        publish(catalog, pair, spec=spec, part_bytes=part_bytes, allow_pending=allow_pending, on_rows=on_rows)
        for pair in pairs
    ]


def _wanted(catalog: Catalog, encoders: Sequence[str], layers: Sequence[str], spec: str | None) -> list[FeaturePair]:
    """What exists of what was asked for; something must exist of each encoder and layer that was named."""
    for named, known, what in ((encoders, ENCODERS, "encoders"), (layers, LAYERS, "layers")):
        unknown = sorted(set(named) - set(known))
        if unknown:
            raise UsageError(f"--{what} {', '.join(unknown)}: there are {', '.join(known)}")
    every = sorted(chosen_pairs(catalog)) if spec is None else catalog.pairs(named_spec(catalog, spec))
    pairs = [pair for pair in every if pair[0] in (encoders or ENCODERS) and pair[1] in (layers or LAYERS)]
    missing = sorted({*encoders, *layers} - {name for pair in pairs for name in pair})
    if missing or not pairs:
        has = ", ".join(f"{encoder} {layer}" for encoder, layer in every) or "nothing"
        raise FeaturesNotFoundError(
            f"dataset {catalog.dataset}: no features of {', '.join(missing) or 'any encoder'} to publish; it has {has};"
            " run featurize first"
        )
    return pairs


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@click.command(JOB, cls=RecordedCommand, epilog="Example: texture-store publish --store s3://lab/store --dataset steel")
@store_option
@dataset_option
@click.option("--encoders", default="", metavar="LIST", help="Such as mean,gram.  [default: all that exist]")
@click.option("--layers", default="", metavar="LIST", help="Such as conv4_3,conv5_3.  [default: all that exist]")
@spec_option
@click.option(
    "--snapshot", type=click.IntRange(min=1), default=None, help="An earlier one.  [default: the current one]"
)
@click.option(
    "--part-mb",
    type=click.IntRange(1, 4096),
    default=PART_BYTES >> 20,
    show_default=True,
    help="MiB of vectors in one file; publishing takes some three times that in memory.",
)
@click.option("--allow-pending", is_flag=True, help="Publish although images of the snapshot are pending.")
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    encoders: str,
    layers: str,
    spec: str | None,
    snapshot: int | None,
    part_mb: int,
    allow_pending: bool,
    as_json: bool,
) -> None:
    """Write a snapshot's features with labels as few large Parquet files.

    They lie under STORE/published/dataset=D/snapshot=n1/spec=S/encoder=E/layer=L/, rows sorted by path. What is
    published never changes; run it again to complete what was interrupted.
    """
    with progress("publish", unit="vectors") as bar:
        done = publish_dataset(
            store_url,
            dataset,
            encoders=_names(encoders),
            layers=_names(layers),
            spec=spec,
            snapshot=snapshot,
            part_bytes=part_mb << 20,
            allow_pending=allow_pending,
            on_total=bar.total,
            on_rows=bar.advance,
        )
    summary: dict[str, object] = {
        "dataset": dataset,
        "snapshot": done[0].snapshot,
        "feature_sets": {f"{one.encoder} {one.layer}": one.rows for one in done},
        "specs": sorted({one.spec for one in done}),
        "files": sum(len(one.parts) for one in done),
        "bytes": sum(part.bytes for one in done for part in one.parts),
    }
    print_summary(summary, as_json=as_json)


if __name__ == "__main__":
    command()
