"""evaluate: how well feature sets tell the labels apart, by cross-validation, and whether the score can be trusted."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import click

from jobs.cluster import RaySession, address_option
from jobs.commands import RecordedCommand
from jobs.evaluation_plan import EvaluationPlan, make_evaluation_plan
from jobs.evaluation_report import claims_here, frames_here, print_tables, write_report
from jobs.evaluation_request import PAPER_LAYERS, PROTOCOLS, EvaluationRequest
from jobs.options import EXIT_FAILED, dataset_option, json_option, list_of, print_summary, spec_option, store_option
from jobs.progress import say
from texture_store.evaluation.claims import Claim
from texture_store.evaluation.classifiers import CLASSIFIERS, NUM_TREES, REGRESSORS, Task
from texture_store.spec import ENCODERS
from texture_store.store.evaluations import evaluations_frame, read_evaluations

if TYPE_CHECKING:
    import pandas as pd

JOB = "evaluate"


@dataclass(frozen=True)
class EvaluationSummary:
    """What was asked, and how every feature set did."""

    dataset: str
    snapshot: int
    task: str
    classifier: str
    label_column: str
    group_column: str | None
    images: int
    groups: int | None
    missing_groups: int | None
    folds: int
    trials: int
    specs: dict[str, str]
    """By encoder."""
    computed: int
    """Trials that this run made."""
    there: int
    """Trials that the store had."""
    scores: list[dict[str, Any]]
    """Of `evaluation_tables.score_table`: one for each feature set and protocol."""
    best: dict[str, dict[str, Any]]
    """By protocol: the best feature set, and which are not distinguishable from it."""
    claims: dict[str, list[dict[str, Any]]]
    """The paper's, by protocol."""
    strict: list[dict[str, Any]]
    """Of `evaluation_tables.strict_differences`: what learning dictionaries inside the folds changes."""
    failed: dict[str, str] = field(default_factory=dict)
    """Trials without scores, and why."""
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0


def evaluate(
    request: EvaluationRequest, *, output: str | None = None, within: RaySession | None = None
) -> tuple[EvaluationSummary, "pd.DataFrame"]:
    """Run the trials that the store lacks, and sum up all that were asked for; also the rows themselves.

    `output`: a folder or URL for tables and figures, beside STORE/reports/. `within` as in `featurize`.

    Raises:
        TextureStoreError: the question cannot be answered. A trial that fails is a row with an error instead.
    """
    started = time.monotonic()
    plan = make_evaluation_plan(request, say)
    pending = plan.pending
    there = len(plan.rows) - len(pending)
    if there:
        say(f"{there} of {len(plan.rows)} trials are in the store already")
    if pending:
        from jobs.evaluation_run import run_pending

        run_pending(plan, within)
    rows = evaluations_frame({request.dataset: read_evaluations(plan.storage, request.dataset, plan.keys)})
    frames = frames_here(plan, rows)
    claims = claims_here(plan, frames)
    files = write_report(plan, rows, frames, claims, output)
    return _summary(plan, rows, claims, files, len(pending), time.monotonic() - started), rows


def _summary(
    plan: EvaluationPlan,
    rows: "pd.DataFrame",
    claims: Mapping[str, Sequence[Claim]],
    files: list[str],
    computed: int,
    seconds: float,
) -> EvaluationSummary:
    from texture_store.report.evaluation_tables import innermost, rankings, score_table, strict_differences

    request, grouping = plan.request, plan.grouping
    bad = rows[rows["error"].notna()]
    shown = innermost(rows)
    best: dict[str, dict[str, Any]] = {}
    for protocol, ranked in rankings(shown).items():
        alike = [one.name for one in ranked[1:] if not one.distinguishable]
        best[protocol] = {"name": ranked[0].name, "mean": ranked[0].mean, "not_distinguishable": alike}
    scores, differences = score_table(shown), strict_differences(rows)
    return EvaluationSummary(
        dataset=request.dataset,
        snapshot=plan.catalog.snapshot.number,
        task=request.task,
        classifier=request.classifier,
        label_column=request.label_column,
        group_column=None if grouping is None else grouping.column,
        images=plan.images.num_rows,
        groups=None if grouping is None else grouping.count,
        missing_groups=None if grouping is None else grouping.num_missing,
        folds=request.folds,
        trials=request.trials,
        specs={one.encoder: one.spec for one in plan.sets},
        computed=computed,
        there=len(plan.rows) - computed,
        scores=scores.astype(object).where(scores.notna(), None).to_dict("records"),
        strict=differences.astype(object).where(differences.notna(), None).to_dict("records"),
        best=best,
        claims={protocol: [asdict(claim) for claim in found] for protocol, found in claims.items()},
        failed={
            f"{row.encoder} {row.layer}{' strict' * row.strict} by {row.protocol}, trial {row.trial}": row.error
            for row in bad.itertuples()
        },
        files=files,
        seconds=round(seconds, 1),
    )


@click.command(
    JOB,
    cls=RecordedCommand,
    epilog="Example: texture-store evaluate --store s3://lab/store --dataset steel --grid paper",
)
@store_option
@dataset_option
@click.option(
    "--grid", type=click.Choice(["paper"]), default=None, help="All layers, and the five together, of all encoders."
)
@click.option("--encoders", default="", metavar="LIST", help="Such as mean,gram.  [default: all that exist]")
@click.option(
    "--layers", default="", metavar="LIST", help="Such as conv4_3,all (five together).  [default: all that exist]"
)
@click.option(
    "--classifier",
    type=click.Choice([*CLASSIFIERS, *(name for name in REGRESSORS if name not in CLASSIFIERS)]),
    default="forest",
    show_default=True,
    help="forest and ridge do regression.",
)
@click.option(
    "--task", type=click.Choice(get_args(Task)), default="classification", show_default=True, help="Never guessed."
)
@click.option("--trials", type=click.IntRange(min=1), default=10, show_default=True, help="Cross-validations.")
@click.option("--folds", type=click.IntRange(2, 100), default=3, show_default=True, help="Of each.")
@click.option("--trees", type=click.IntRange(min=1), default=NUM_TREES, show_default=True, help="Of a forest.")
@click.option(
    "--protocol",
    default="",
    metavar="LIST",
    help="image: folds of images, the paper's; group: of whole groups.  [default: both, where there are groups]",
)
@click.option(
    "--label-column", default="label", show_default=True, metavar="NAME", help="Of the labels file: what to predict."
)
@click.option(
    "--group-column", default=None, metavar="NAME", help="The piece that an image is of.  [default: specimen]"
)
@click.option(
    "--with-columns", default="", metavar="LIST", help="Columns of the labels file to stand beside the features."
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Only images with this value; != for all others. May be repeated.",
)
@spec_option
@click.option(
    "--snapshot", type=click.IntRange(min=1), default=None, help="An earlier one.  [default: the current one]"
)
@click.option(
    "--strict", is_flag=True, help="VLAD also by words that are learnt without the tested fold; says what it costs."
)
@click.option("--raw-sums", is_flag=True, help="Leave Gram and VLAD as stored, even where images differ in size.")
@click.option("--output", default=None, metavar="DIR", help="Also write tables and figures here.")
@address_option
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    grid: str | None,
    encoders: str,
    layers: str,
    classifier: Any,
    task: Task,
    trials: int,
    folds: int,
    trees: int,
    protocol: str,
    label_column: str,
    group_column: str | None,
    with_columns: str,
    where: tuple[str, ...],
    spec: str | None,
    snapshot: int | None,
    strict: bool,
    raw_sums: bool,
    output: str | None,
    address: str,
    as_json: bool,
) -> None:
    """Score how well each feature set tells the labels apart, beside what metadata alone reach.

    10 trials of 3-fold cross-validation with forests of 400 trees, as the paper has it: by image, and by group, so that
    no piece is on both sides of a fold. Tables and figures go to STORE/reports/dataset=D/.

    What is in the store is not run again: repeat the command to go on after a crash, or with more trials or layers.
    """
    request = EvaluationRequest(
        store_url=store_url,
        dataset=dataset,
        encoders=list_of(encoders, ENCODERS, "--encoders") if encoders else (),
        layers=list_of(layers, PAPER_LAYERS, "--layers") if layers else (),
        paper_grid=grid is not None,
        classifier=classifier,
        task=task,
        trials=trials,
        folds=folds,
        trees=trees,
        protocols=list_of(protocol, PROTOCOLS, "--protocol") if protocol else (),
        label_column=label_column,
        group_column=group_column,
        with_columns=tuple(name.strip() for name in with_columns.split(",") if name.strip()),
        where=where,
        spec=spec,
        snapshot=snapshot,
        strict=strict,
        raw_sums=raw_sums,
        address=address,
    )
    summary, rows = evaluate(request, output=output)
    if as_json:
        print_summary(asdict(summary), as_json=True)
    else:
        print_tables(summary, rows)
    sys.exit(EXIT_FAILED if summary.failed else 0)


if __name__ == "__main__":
    command()
