"""status: what is indexed, featurized, rejected and pending. Reads the store only, from any machine."""

import json

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.options import JobCommand, json_option, printable, store_option
from texture_store.spec import LAYERS
from texture_store.store.reader import open_store
from texture_store.store.status import DatasetStatus, FeatureSetStatus, SpecStatus

JOB = "status"


def status(store_url: str, dataset: str | None = None) -> list[DatasetStatus]:
    """How far one dataset is, or all of them.

    Raises StoreFormatError when there is no store, DatasetNotFoundError.
    """
    store = open_store(store_url)
    return [store.status(name) for name in ([dataset] if dataset is not None else store.datasets())]


@click.command(JOB, cls=JobCommand, epilog="Example: texture-store status --store s3://lab/store --dataset steel")
@store_option
@click.option("--dataset", metavar="D", default=None, help="Only this one; else all datasets.")
@json_option
def command(*, store_url: str, dataset: str | None, as_json: bool) -> None:
    """Show what is indexed, featurized, rejected and pending, for each spec, encoder and layer.

    A star marks the spec that commands and readers take when none is named.
    """
    found = status(store_url, dataset)
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found]))
        return
    console = console_for_output()
    if not found:
        click.echo("no dataset yet; run index first")
    for one in found:
        _show(console, one)


def console_for_output() -> Console:
    """For standard output; in a pipe lines are as long as they need to be, and nothing is cut off."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=10_000)


def _show(console: Console, one: DatasetStatus) -> None:
    labels = f", {one.labelled:,} with a label" if one.labelled else ""
    lines = [
        f"dataset {one.dataset}, snapshot {one.snapshot} of {one.created[:16].replace('T', ' ')} UTC",
        f"  {one.indexed:,} images{labels}, of {one.archive_url}",
    ]
    if not one.specs:
        lines.append("  nothing is featurized yet; run featurize")
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)
    for spec in one.specs:
        console.print(Text(printable(f"spec {spec.spec}: {spec.description}")), soft_wrap=True)
        if spec.feature_sets:
            console.print(_table(spec))
        if spec.sampled:
            console.print(Text(f"  descriptors of {spec.sampled:,} images"), soft_wrap=True)
        if spec.fold_vectors:
            text = f"  vectors of {spec.fold_vectors:,} images by dictionaries learnt inside folds (evaluate --strict)"
            console.print(Text(text), soft_wrap=True)
        if spec.dictionaries:
            console.print(Text(f"  dictionaries: {', '.join(spec.dictionaries)}"), soft_wrap=True)
        if spec.rejected_by_reason:
            reasons = ", ".join(f"{name} {count:,}" for name, count in spec.rejected_by_reason.items())
            console.print(Text(printable(f"  rejected: {reasons}")), soft_wrap=True)


def _table(spec: SpecStatus) -> Table:
    table = Table(box=None, pad_edge=True)
    for name in ("", "encoder", "layers"):
        table.add_column(name)
    for name in ("featurized", "rejected", "pending"):
        table.add_column(name, justify="right")
    table.add_column("newest commit, UTC")
    for same in _grouped(spec.feature_sets):
        first = same[0]
        table.add_row(
            "*" if first.chosen else "",
            first.encoder,
            ", ".join(one.layer for one in same),
            *(f"{count:,}" for count in (first.featurized, first.rejected, first.pending)),
            max(one.newest_commit for one in same)[:19].replace("T", " "),
        )
    return table


def _grouped(feature_sets: list[FeatureSetStatus]) -> list[list[FeatureSetStatus]]:
    """Layers of an encoder that stand the same are one line."""
    groups: dict[tuple[object, ...], list[FeatureSetStatus]] = {}
    for one in sorted(feature_sets, key=lambda one: (one.encoder, LAYERS.index(one.layer))):
        key = (one.encoder, one.chosen, one.featurized, one.rejected, one.pending)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


if __name__ == "__main__":
    command()
