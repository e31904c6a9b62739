"""What evaluate shows at its end: tables, figures, the best feature sets and the paper's claims."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.table import Table

from jobs.evaluation_plan import EvaluationPlan
from jobs.options import printable
from jobs.status import console_for_output
from texture_store.errors import ObjectExistsError
from texture_store.evaluation.claims import Claim
from texture_store.objects import Storage, open_storage
from texture_store.store.evaluations import evaluations_frame, random_weights, read_evaluations
from texture_store.store.layout import report_path
from texture_store.store.snapshots import list_datasets

if TYPE_CHECKING:
    import pandas as pd

    from jobs.evaluate import EvaluationSummary

FEW = 6
"""Feature sets that are named when more are not distinguishable from the best; the table marks them all."""


def frames_here(plan: EvaluationPlan, rows: "pd.DataFrame") -> dict[str, "pd.DataFrame"]:
    """By dataset the rows of classification that the store has: this one's of all classifiers, and others' newest."""
    from texture_store.report.evaluation_tables import innermost, newest_sets, same_question

    if plan.request.task == "regression" or rows["error"].notna().all():
        return {}
    frames = {}
    for dataset in list_datasets(plan.storage):
        every = evaluations_frame({dataset: read_evaluations(plan.storage, dataset)})
        every = every[(every["task"] == "classification") & every["error"].isna()]
        own = dataset == plan.request.dataset
        # Scores of random weights are compared with each other alone.
        every = every[random_weights(plan.storage, every) == (own and plan.is_random)]
        every = innermost(every) if own and plan.request.strict else every[~every["strict"]]
        if not len(every):
            continue
        like = rows.iloc[0] if own else every.sort_values("created").iloc[-1]
        frames[dataset] = newest_sets(same_question(every, like))
    return frames


def claims_here(plan: EvaluationPlan, frames: Mapping[str, "pd.DataFrame"]) -> dict[str, list[Claim]]:
    """The paper's claims by protocol, tested on `frames_here`."""
    from texture_store.report.evaluation_tables import claims_of

    protocols = dict.fromkeys(split.protocol for split in plan.splits) if frames else {}
    return {protocol: claims_of(frames, protocol) for protocol in protocols}


def write_report(
    plan: EvaluationPlan,
    rows: "pd.DataFrame",
    frames: Mapping[str, "pd.DataFrame"],
    claims: Mapping[str, Sequence[Claim]],
    output: str | None,
) -> list[str]:
    """Write tables and figures into the store's reports, and to `output` too; their URLs, those in `output` if given.

    Names end in a hash of the trials, so that the same evaluation is written once.
    """
    from texture_store.report.evaluation_figures import figure_bytes, layers_figure, together_figure
    from texture_store.report.evaluation_tables import innermost, score_table, side_by_side

    request = plan.request
    scores = score_table(innermost(rows))
    score_name = "R²" if request.task == "regression" else "weighted F1"
    trials = f"mean ± sd of {request.trials} trials of {request.folds} folds"
    about = f"{request.dataset}, {plan.images.num_rows:,} images, {request.classifier}: {trials}"
    contents = {
        "scores.csv": side_by_side(scores).to_csv(index=False).encode(),
        "tables.md": _page(plan, rows, scores, frames, claims, about).encode(),
    }
    figures = {
        "layers": layers_figure(scores, title=f"Layers and encoders. {about}", score_name=score_name),
        "together": together_figure(scores, title=f"Five layers together. {about}", score_name=score_name),
    }
    for name, figure in figures.items():
        if figure is not None:
            contents[f"{name}.png"] = figure_bytes(figure, "png")
            contents[f"{name}.svg"] = figure_bytes(figure, "svg")
    digest = hashlib.sha256("\n".join(sorted(plan.keys)).encode()).hexdigest()[:12]
    names = {f"evaluation-{digest}-{_with_hash(name, data)}": data for name, data in contents.items()}
    urls = [_create(plan.storage, report_path(request.dataset, name), data) for name, data in names.items()]
    if output is None:
        return urls
    target = open_storage(output)
    return [_create(target, f"{request.dataset}-{name}", data) for name, data in names.items()]


def print_tables(summary: "EvaluationSummary", rows: "pd.DataFrame") -> None:
    """The scores side by side, what is best, and the claims, for a terminal or a log."""
    from texture_store.report.evaluation_tables import innermost, score_table, side_by_side

    console = console_for_output()
    wide = side_by_side(score_table(innermost(rows)))
    protocols = [name for name in ("image", "group") if f"mean_{name}" in wide]
    table = Table(box=None, pad_edge=False)
    for name in ("encoder", "layer"):
        table.add_column(name)
    table.add_column("values", justify="right")
    score, trivial = ("R²", "always the mean") if summary.task == "regression" else ("F1", "majority")
    beside = {"metadata": "metadata alone", "majority": trivial}
    beside = {name: title for name, title in beside.items() if wide[f"{name}_{protocols[0]}"].notna().any()}
    for protocol in protocols:
        table.add_column(f"{score} by {protocol}", justify="right")
        for title in beside.values():
            table.add_column(title, justify="right")
    if "gap" in wide:
        table.add_column("gap", justify="right")
    for row in wide.to_dict("records"):
        cells = [row["encoder"], row["layer"], f"{row['num_features']:,}"]
        for protocol in protocols:
            name = f"{row['encoder']} {row['layer']}"
            cells.append(_score(row[f"mean_{protocol}"], row[f"sd_{protocol}"]) + _mark(summary, protocol, name))
            cells += [_number(row[f"{column}_{protocol}"]) for column in beside]
        if "gap" in wide:
            cells.append("-" if np.isnan(row["gap"]) else f"{row['gap']:+.3f}")
        table.add_row(*map(printable, cells))
    console.print(table)
    lines = [*_remarks(summary), *_best_lines(summary), *_strict_lines(summary), *_claim_lines(summary)]
    for line in [*lines, *_last_lines(summary)]:
        click.echo(printable(line))


def _remarks(summary: "EvaluationSummary") -> list[str]:
    kind = "R²" if summary.task == "regression" else "weighted F1"
    of_groups = f", {summary.groups:,} groups ({summary.group_column})" if summary.groups else ""
    if summary.missing_groups:
        of_groups += f", {summary.missing_groups:,} of them images without one"
    lines = [
        f"{kind}, mean ± sd of {summary.trials} trials of {summary.folds} folds; {summary.images:,} images{of_groups};"
        f" * best, ~ not distinguishable from it"
    ]
    if summary.task == "classification" and all(one["metadata"] is None for one in summary.scores):
        lines.append("no metadata baseline: nothing that is known of how the images were taken differs between them")
    if summary.groups:
        lines.append(
            f"by image, images of one {summary.group_column} are on both sides of a fold; believe the score by group"
            f" for a new {summary.group_column}"
        )
    return lines


def _best_lines(summary: "EvaluationSummary") -> list[str]:
    lines = []
    for protocol, best in summary.best.items():
        alike = best["not_distinguishable"]
        names = ", ".join(alike[:FEW]) + (f" and {len(alike) - FEW} more" if len(alike) > FEW else "")
        told = f"not distinguishable from {names}" if alike else "distinguishable from all others"
        lines.append(f"best by {protocol}: {best['name']} {best['mean']:.3f} (mean over folds), {told}")
    return lines


def _strict_lines(summary: "EvaluationSummary") -> list[str]:
    return [
        f"{one['encoder']} {one['layer']} by {one['protocol']}: dictionaries learnt inside the folds"
        f" {one['inside']:.3f}, outside {one['outside']:.3f}: {one['difference']:+z.3f} (95 % interval"
        f" {one['low']:+z.3f} to {one['high']:+z.3f})"
        for one in summary.strict
    ]


def _claim_lines(summary: "EvaluationSummary") -> list[str]:
    return [
        f"paper, by {protocol}: {claim['text']}: {claim['verdict']} ({claim['dataset']}: {claim['test']})"
        for protocol, found in summary.claims.items()
        for claim in found
        if claim["dataset"] == summary.dataset or "," in claim["dataset"]
    ]


def _last_lines(summary: "EvaluationSummary") -> list[str]:
    lines = [f"{len(summary.failed)} trials failed, and are tried again by the same command"] if summary.failed else []
    lines += [f"{summary.computed:,} trials run, {summary.there:,} were there; {summary.seconds:g} s", *summary.files]
    return lines


def _page(
    plan: EvaluationPlan,
    rows: "pd.DataFrame",
    scores: "pd.DataFrame",
    frames: Mapping[str, "pd.DataFrame"],
    claims: Mapping[str, Sequence[Claim]],
    about: str,
) -> str:
    import pandas as pd

    from texture_store.report.evaluation_tables import (
        best_table,
        classifier_table,
        innermost,
        length_table,
        markdown,
        rankings,
        score_table,
        side_by_side,
        strict_differences,
    )

    shown, differences = innermost(rows), strict_differences(rows)
    parts = [f"# Evaluation of {about}\n"]
    parts += ["## Values of a vector (the paper's Table 1)\n", markdown(length_table(shown))]
    parts += ["## The best feature set of each encoder\n", markdown(best_table(scores))]
    parts += ["## All scores\n", markdown(side_by_side(scores))]
    if plan.request.dataset in frames:
        compared = classifier_table(score_table(frames[plan.request.dataset]))
        if len(compared):
            parts += ["## The same feature sets with other classifiers\n", markdown(compared)]
    if len(differences):
        parts += ["## VLAD dictionaries learnt inside the folds, and outside\n", markdown(differences, digits=4)]
    for protocol, ranked in rankings(shown).items():
        parts += [f"## Against the best, by {protocol}\n", _TEST, markdown(pd.DataFrame(ranked), digits=4)]
    for folds_by, found in claims.items():
        parts += [f"## Claims of the paper, by {folds_by}\n", markdown(pd.DataFrame(found))]
    specs = {one.spec: one.layers[0].spec.describe() for one in plan.sets}
    parts += ["## Specs\n", *(f"- {spec}: {text}" for spec, text in specs.items())]
    return "\n".join(parts) + "\n"


_TEST = (
    "Corrected resampled t-test over common folds (Nadeau and Bengio 2003), p adjusted by Holm; `distinguishable` below"
    " 0.05.\n"
)


def _mark(summary: "EvaluationSummary", protocol: str, name: str) -> str:
    best = summary.best.get(protocol)
    if best is None:
        return "  "
    return " *" if name == best["name"] else " ~" if name in best["not_distinguishable"] else "  "


def _score(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return "failed"
    return f"{mean:.3f}" if np.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _with_hash(name: str, data: bytes) -> str:
    """`verify` finds damage by it."""
    stem, _, suffix = name.partition(".")
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}.{suffix}"


def _create(target: Storage, path: str, data: bytes) -> str:
    with contextlib.suppress(ObjectExistsError):  # the same evaluation was reported before
        target.create(path, data)
    return target.url_of(path)
