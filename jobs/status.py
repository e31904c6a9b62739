"""status: what is indexed, featurized, rejected and pending, and what runs are at. Reads the store only."""

import json

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.commands import JobCommand
from jobs.options import json_option, printable, store_option
from jobs.status_runs import run_lines
from texture_store.spec import LAYERS
from texture_store.store.reader import open_store
from texture_store.store.runs import PAST_RUNS
from texture_store.store.status import DatasetStatus, FeatureSetStatus, SpecStatus

JOB = "status"


def status(store_url: str, dataset: str | None = None, *, past_runs: int = PAST_RUNS) -> list[DatasetStatus]:
    """How far one dataset is, or all of them, with the runs that go on and so many of those that are over.

    Raises StoreFormatError when there is no store, DatasetNotFoundError.
    """
    store = open_store(store_url)
    names = [dataset] if dataset is not None else store.datasets()
    return [store.status(name, past_runs=past_runs) for name in names]


@click.command(JOB, cls=JobCommand, epilog="Example: texture-store status --store s3://lab/store --dataset steel")
@store_option
@click.option("--dataset", metavar="D", default=None, help="Only this one; else all datasets.")
@click.option(
    "--runs",
    "past_runs",
    type=click.IntRange(min=0),
    default=PAST_RUNS,
    show_default=True,
    help="Runs that are over to show, beside those that go on.",
)
@json_option
def command(*, store_url: str, dataset: str | None, past_runs: int, as_json: bool) -> None:
    """Show what is indexed, featurized, rejected and pending, for each spec, encoder and layer; and what runs are at.

    A star marks the spec that commands and readers take when none is named. Runs, on any machine, write down how far
    they are every 15 s, at first more often, and every 2 min when they take long.
    """
    found = status(store_url, dataset, past_runs=past_runs)
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
    if one.runs:
        console.print(Text("runs"))
        for line in run_lines(one.runs):
            console.print(Text(printable(line)), soft_wrap=True)


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
