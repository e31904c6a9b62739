"""featurize: mean, max and packed Gram of every image of a dataset's latest snapshot."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from jobs.cluster import Workers, address_option, cluster_workers, connected, local_workers
from jobs.estimate import estimate
from jobs.options import (
    EXIT_FAILED,
    EXIT_TOO_MANY_REJECTED,
    JobCommand,
    dataset_option,
    json_option,
    pixel_options,
    pixel_settings,
    print_summary,
    store_option,
)
from jobs.planning import AutoPrecision, Plan, Request, make_plan
from jobs.progress import progress, say
from jobs.tally import tallied
from texture_store.errors import StoreError, UsageError
from texture_store.objects import Storage
from texture_store.spec import ENCODERS, LAYERS, make_pixel_spec
from texture_store.store.commits import CommitRecord, fold_commits, read_commits
from texture_store.store.coverage import check_balance, coverage

if TYPE_CHECKING:
    from jobs.stream import FailedShard

JOB = "featurize"


@dataclass(frozen=True)
class FeaturizeSummary:
    """What a run did, and how the dataset stands after it."""

    dataset: str
    snapshot: int
    spec: str
    settings: str
    indexed: int
    featurized: int
    rejected: int
    pending: int
    computed: int
    """Images that this run committed."""
    seconds: float
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    changed_since_index: list[str] = field(default_factory=list)
    failed_shards: dict[str, str] = field(default_factory=dict)


def featurize(request: Request) -> FeaturizeSummary:
    """Bring the features of the latest snapshot up to date: only what no commit covers is computed.

    Raises:
        TextureStoreError: the job cannot be done. A shard that fails does not raise: it is in the summary, and pending.
    """
    started = time.monotonic()
    outcome = _Outcome()
    with ExitStack() as session:
        plan = make_plan(request, session)
        if plan.units:
            session.enter_context(connected(request.address))
            _run(plan, cluster_workers(), outcome)
    summary = _account(request, plan, outcome, time.monotonic() - started)
    fold_commits(plan.storage, request.dataset, plan.spec.fingerprint)
    return summary


@dataclass
class _Outcome:
    """What a run did itself."""

    computed: int = 0
    changed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def _run(plan: Plan, workers: Workers, outcome: _Outcome) -> None:
    from jobs.stream import FailedShard, Target, run_stream

    target = Target(plan.storage, JOB, plan.snapshot.dataset, plan.spec, plan.snapshot.number)
    say(f"featurizing {plan.num_images:,} images in {len(plan.units):,} shards on {workers}")
    with progress("featurize", total=plan.num_images) as bar, tallied(bar, plan.num_images) as tally:
        for result in run_stream(
            plan.units,
            archive_url=plan.snapshot.archive_url,
            target=target,
            workers=workers,
            report=tally.report,
        ):
            if isinstance(result, FailedShard):
                _note_failure(result, outcome)
                continue
            outcome.changed += result.changed
            members, rejected = (len(result.record.members), len(result.record.rejected)) if result.record else (0, 0)
            outcome.computed += members + rejected
            tally.settle(result.num_images, rejected=rejected)


def _note_failure(failure: "FailedShard", outcome: _Outcome) -> None:
    if "--debug" in sys.argv:
        say(failure.details)
    if failure.is_permanent:
        raise StoreError(f"{failure.message}; stopped, what is committed stays: run the same command again")
    say(f"shard {failure.shard} failed and stays pending: {failure.message}")
    outcome.failed[failure.shard] = failure.message


def _account(request: Request, plan: Plan, outcome: _Outcome, seconds: float) -> FeaturizeSummary:
    spec = plan.spec.fingerprint
    commits = read_commits(plan.storage, request.dataset, spec)
    covered = coverage(plan.snapshot, commits, request.pairs)
    check_balance(covered)
    return FeaturizeSummary(
        dataset=request.dataset,
        snapshot=plan.snapshot.number,
        spec=spec,
        settings=plan.spec.describe(),
        indexed=covered.num_indexed,
        featurized=covered.num_featurized,
        rejected=covered.num_rejected,
        pending=covered.num_pending,
        computed=outcome.computed,
        seconds=round(seconds, 1),
        rejected_by_reason=_reasons(plan.storage, commits, covered.rejected),
        changed_since_index=sorted(outcome.changed),
        failed_shards=outcome.failed,
    )


def _reasons(storage: Storage, commits: Sequence[CommitRecord], rejected: set[str]) -> dict[str, int]:
    from schemas import REJECTED
    from texture_store.store.tables import read_table

    if not rejected:
        return {}
    paths = {file.path for commit in commits for file in commit.files if file.path.startswith("rejected/")}
    reasons: Counter[str] = Counter()
    for path in sorted(paths):
        table = read_table(storage, path, REJECTED)
        for image_id, error in zip(table["image_id"].to_pylist(), table["error"].to_pylist(), strict=True):
            if image_id in rejected:
                reasons[error] += 1
    return dict(reasons.most_common())


def _choices(text: str, allowed: Sequence[str], option: str) -> tuple[Any, ...]:
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [name for name in chosen if name not in allowed]
    if unknown or not chosen:
        raise UsageError(f"{option} {text}: choose from {', '.join(allowed)}, separated by commas")
    return chosen


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise UsageError(f"--max-rejected {text}: write a share such as 5% or 0.05")
    return share


@click.command(
    JOB,
    cls=JobCommand,
    epilog="Example: texture-store featurize --store s3://lab/store --dataset steel --size 512 --encoders mean,gram",
)
@store_option
@dataset_option
@pixel_options
@click.option("--encoders", default="mean,max,gram", show_default=True, metavar="LIST", help="Of mean, max, gram.")
@click.option("--layers", default=",".join(LAYERS), show_default=True, metavar="LIST", help="Of the six.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "tf32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: as the dataset has it; else bfloat16 where the processor has it natively.",
)
@click.option("--weights", default=None, metavar="FILE|URL", help="Weights of VGG16; else the store's, or fetched.")
@click.option("--foreign-weights", is_flag=True, help="Accept weights that are not of the paper's lineage.")
@click.option("--max-rejected", default="5%", show_default=True, metavar="SHARE", help="Above it, end with status 3.")
@click.option("--retry-rejected", is_flag=True, help="Try the rejected images again.")
@click.option("--dry-run", is_flag=True, help="Only print images, bytes, files and hours.")
@address_option
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    encoders: str,
    layers: str,
    precision: AutoPrecision,
    weights: str | None,
    foreign_weights: bool,
    max_rejected: str,
    retry_rejected: bool,
    dry_run: bool,
    address: str,
    as_json: bool,
    **pixels: Any,
) -> None:
    """Compute mean, max and Gram features of every image of the latest snapshot.

    Run the same command again to go on after a crash, to add new images, or to repair: what is committed is never
    computed twice. --encoders gram after a run with mean adds Gram alone.
    """
    computable = [encoder for encoder in ENCODERS if encoder != "vlad"]
    allowed_share = _share(max_rejected)
    request = Request(
        store_url=store_url,
        dataset=dataset,
        pixels=make_pixel_spec(**pixel_settings(**pixels)),
        encoders=_choices(encoders, computable, "--encoders"),
        layers=_choices(layers, LAYERS, "--layers"),
        precision=precision,
        weights=weights,
        allow_foreign=foreign_weights,
        retry_rejected=retry_rejected,
        address=address,
    )
    if dry_run:
        with ExitStack() as session:
            plan = make_plan(request, session)
            workers = local_workers() if address == "local" else cluster_workers()
            print_summary(asdict(estimate(plan, request.pairs, workers)), as_json=as_json)
        return
    summary = featurize(request)
    print_summary(asdict(summary), as_json=as_json)
    sys.exit(_exit_status(summary, allowed_share))


def _exit_status(summary: FeaturizeSummary, allowed_share: float) -> int:
    if summary.changed_since_index:
        say(f"{len(summary.changed_since_index)} files changed since index and wait for it; run index, then this again")
    if summary.failed_shards:
        say(f"{len(summary.failed_shards)} shards failed and stay pending; run the same command again")
        return EXIT_FAILED
    if summary.rejected > allowed_share * summary.indexed:
        say(f"{summary.rejected} of {summary.indexed} images rejected, more than --max-rejected allows")
        return EXIT_TOO_MANY_REJECTED
    return 0


if __name__ == "__main__":
    command()
