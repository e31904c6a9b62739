"""audit: what the metadata alone say about the labels, duplicates, groups and classes, before any score is believed."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

import click
import numpy as np

from jobs.audit_findings import duplicate_findings, label_findings, metadata_findings
from jobs.audit_scores import TOGETHER, WITH_OTHERS, FieldScores, Protocols, ScoredColumns, score_columns
from jobs.audited import Audited, audited_dataset, audited_labels, check_not_empty
from jobs.commands import JobCommand
from jobs.metadata_fields import MetadataFields
from jobs.options import json_option, printable, spec_option
from jobs.progress import progress
from texture_store.errors import UsageError
from texture_store.evaluation.classifiers import NUM_TREES, Classifier
from texture_store.evaluation.columns import num_distinct, unknown
from texture_store.evaluation.duplicates import Rows
from texture_store.evaluation.folds import singleton_groups
from texture_store.evaluation.missing import missing
from texture_store.evaluation.scores import majority_score
from texture_store.objects import Storage, open_storage

if TYPE_CHECKING:
    from jobs.audit_pictures import Duplicates

JOB = "audit"
TRIALS = 3
"""The first of evaluate's ten. The mean over 3 is within 0.01 of that over 10 (um per px of the steel archive)."""
SHOWN = 10
"""Duplicates that are printed; JSON has all."""


@dataclass(frozen=True)
class AuditRequest:
    """What to look at, and how."""

    labels: str | None = None
    store_url: str | None = None
    dataset: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    where: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Predict from these only."""
    classifier: Classifier = "forest"
    trials: int = TRIALS
    folds: int = 3
    trees: int = NUM_TREES
    spec: str | None = None
    snapshot: int | None = None
    near: bool = True
    output: str | None = None
    """Folder or URL for the sheet of duplicates, beside STORE/reports/."""


def audit(request: AuditRequest) -> dict[str, Any]:
    """Look at labels and metadata, and at files and features where there are any; returns all of it as plain values.

    Duplicates are also drawn, into the store's reports.

    Raises UsageError for what cannot be answered (one class, a class with fewer images than folds ...), and the errors
    of reading labels, store and archive.
    """
    started = time.monotonic()
    output = None if request.output is None else open_storage(request.output)
    audited = _read(request)
    check_not_empty(audited, request.where)
    labels = audited.labels[audited.labelled].astype(np.str_)
    groups = audited.groups[audited.labelled]
    fields = audited.fields(request.columns)
    scored = _score(request, audited, fields, labels, groups)
    duplicates = _duplicates(request, audited)
    found = [
        *label_findings(audited, fields, labels, groups, scored),
        *metadata_findings(fields, labels, scored),
        *duplicate_findings(audited, duplicates),
    ]
    return {
        "source": audited.source,
        "dataset": request.dataset,
        "snapshot": audited.snapshot or None,
        "label_column": audited.label_column,
        "group_column": audited.group_column,
        "images": len(labels),
        "unlabelled": int((~audited.labelled).sum()),
        "classes": {str(name): int(count) for name, count in zip(*np.unique(labels, return_counts=True), strict=True)},
        "groups": len(np.unique(singleton_groups(groups)[0])) if audited.group_column else None,
        "missing_groups": int(missing(groups).sum()) if audited.group_column else None,
        "um_per_px": _scale(fields),
        "classifier": request.classifier,
        "trials": request.trials,
        "folds": request.folds,
        "trees": request.trees,
        "baselines": {
            "majority": {"f1_weighted": majority_score(labels)},
            "shuffled": _plain(scored.by_chance),
        },
        "fields": {
            name: {
                "kind": field.kind,
                "distinct": num_distinct(field.column),
                "missing": int(unknown(field.column).sum()),
                **(_plain(scored.by_name[name]) or {}),
            }
            for name, field in fields.fields.items()
        },
        "together": _plain(_together(fields, scored)),
        "together_with_others": _plain(scored.by_name.get(WITH_OTHERS)),
        "not_used": {
            **dict.fromkeys(fields.groups, "names a piece: a group rather than a predictor"),
            **dict.fromkeys(fields.identities, "differs from image to image"),
            **dict.fromkeys(fields.constants, "the same for all images"),
        },
        "duplicates": _shown_duplicates(audited, duplicates),
        "files": _draw_duplicates(audited, duplicates, output),
        "findings": [asdict(finding) for finding in found],
        "seconds": round(time.monotonic() - started, 2),
    }


def _read(request: AuditRequest) -> Audited:
    columns = {"label_column": request.label_column, "group_column": request.group_column}
    if request.labels is not None and request.dataset is None:
        return audited_labels(request.labels, **columns, where=request.where)
    if request.labels is not None or request.store_url is None or request.dataset is None:
        raise UsageError("give --labels FILE, or --store URL and --dataset D")
    return audited_dataset(
        request.store_url,
        request.dataset,
        **columns,
        where=request.where,
        spec=request.spec,
        snapshot=request.snapshot,
    )


def _score(request: AuditRequest, audited: Audited, fields: MetadataFields, labels: Any, groups: Any) -> ScoredColumns:
    wanted = {name: [field.column] for name, field in fields.fields.items()}
    imaging, every = list(fields.columns().values()), list(fields.columns("imaging", "other").values())
    if len(imaging) > 1:
        wanted[TOGETHER] = imaging
    if len(imaging) < len(every):
        wanted[WITH_OTHERS] = every
    how = Protocols(
        dataset=audited.dataset,
        snapshot=audited.snapshot,
        label_column=audited.label_column,
        groups=singleton_groups(groups)[0] if audited.group_column else None,
        classifier=request.classifier,
        trials=request.trials,
        folds=request.folds,
        trees=request.trees,
    )
    by_chance = every or [field.column for field in fields.fields.values()]
    with progress("audit: metadata", unit="trials") as bar:
        return score_columns(wanted, labels, how, by_chance=by_chance, announce=bar.total, advance=bar.advance)


def _together(fields: MetadataFields, scored: ScoredColumns) -> FieldScores | None:
    """Of all of the imaging; one column is also all of them."""
    names = list(fields.columns())
    return scored.by_name[names[0] if len(names) == 1 else TOGETHER] if names else None


def _duplicates(request: AuditRequest, audited: Audited) -> "Duplicates | None":
    if audited.facts is None:
        return None
    from jobs.audit_pictures import find_duplicates

    with progress("audit: duplicates", unit="pairs") as bar:
        return find_duplicates(audited, near=request.near, announce=bar.total, advance=bar.advance)


def _draw_duplicates(audited: Audited, duplicates: "Duplicates | None", output: Storage | None) -> list[str]:
    if duplicates is None:
        return []
    from jobs.audit_sheet import write_sheet

    return write_sheet(audited, duplicates, output)


def _scale(fields: MetadataFields) -> dict[str, Any]:
    known = fields.um_per_px[np.isfinite(fields.um_per_px)]
    return {
        "source": fields.um_per_px_source,
        "missing": len(fields.um_per_px) - len(known),
        "min": float(known.min()) if len(known) else None,
        "max": float(known.max()) if len(known) else None,
    }


def _plain(scores: FieldScores | None) -> dict[str, dict[str, float | None]] | None:
    """Each score by protocol; null where there is none."""
    if scores is None:
        return None
    protocols = ("image", "group")
    return {
        name: {key: None if math.isnan(values.get(key, math.nan)) else values[key] for key in protocols}
        for name, values in asdict(scores).items()
    }


def _shown_duplicates(audited: Audited, duplicates: "Duplicates | None") -> dict[str, Any] | None:
    if duplicates is None:
        return None
    return {
        "files": [_members(audited, rows) for rows in duplicates.files],
        "pixels": [_members(audited, rows) for rows in duplicates.pixels],
        "near": None
        if duplicates.near is None
        else [{"images": _members(audited, [pair.row, pair.other]), **asdict(pair.match)} for pair in duplicates.near],
        "near_from": duplicates.near_from,
    }


def _members(audited: Audited, rows: Rows | Sequence[int]) -> list[dict[str, str | None]]:
    paths = audited.images.column("path")
    return [
        {"path": paths[int(row)].as_py(), "label": audited.labels[row], "group": audited.groups[row]} for row in rows
    ]


@click.command(
    JOB,
    cls=JobCommand,
    epilog="Example: texture-store audit --labels labels.csv --label-column phase --group-column specimen --where"
    " phase=pearlite --where phase=bainite; then, with features: texture-store audit --store s3://lab/store --dataset"
    " steel",
)
@click.option("--labels", metavar="FILE", default=None, help="CSV or Parquet with a column path: no store is needed.")
@click.option(
    "--store",
    "store_url",
    metavar="URL",
    default=None,
    envvar="TEXTURE_STORE",
    show_envvar=True,
    help="The store: a folder or any fsspec URL, such as s3://lab/store.",
)
@click.option("--dataset", metavar="D", default=None, help="Name of a dataset of the store.")
@click.option("--label-column", metavar="NAME", default=None, help="What is to be predicted.  [default: label]")
@click.option("--group-column", metavar="NAME", default=None, help="The specimen.  [default: specimen, if there]")
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Take only images with this value; != for all others. May be repeated: all must hold, but of several = on one"
    " column any.",
)
@click.option(
    "--columns",
    metavar="LIST",
    default="",
    help="Predict from these fields or columns only.  [default: all that do not name pieces or images]",
)
@click.option(
    "--classifier", type=click.Choice(get_args(Classifier)), default="forest", show_default=True, help="As in evaluate."
)
@click.option(
    "--trials", type=click.IntRange(1, 100), default=TRIALS, show_default=True, help="The first of evaluate's."
)
@click.option("--folds", type=click.IntRange(2, 100), default=3, show_default=True)
@click.option("--trees", type=click.IntRange(1, 10_000), default=NUM_TREES, show_default=True)
@click.option("--near/--no-near", default=True, help="Look for near duplicates; reads some images again.")
@click.option("--output", metavar="DIR", default=None, help="Write the sheet of duplicates here too.")
@click.option("--snapshot", type=int, metavar="N", default=None, help="An earlier snapshot of the dataset.")
@spec_option
@json_option
def command(*, columns: str, as_json: bool, **settings: Any) -> None:
    """Say what a score would mean: what metadata alone predict, what is there twice, what groups allow to claim.

    With --labels a labels file is enough. With --store and --dataset the facts of the files count too, and duplicates
    are looked for; a sheet in STORE/reports/ shows them side by side. um per px comes from the files, a column
    um_per_px, or micron_bar, micron_bar_px, micron_bar_units.
    """
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    report = audit(AuditRequest(columns=names, **settings))
    if as_json:
        import json

        click.echo(json.dumps(report))
        return
    from jobs.audit_text import audit_text

    for line in [*audit_text(report, shown=SHOWN), *report["files"]]:
        click.echo(printable(line))


if __name__ == "__main__":
    command()
