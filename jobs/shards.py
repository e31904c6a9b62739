"""A plan's shards through the stream, with progress; and how the snapshot stands after it."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from jobs.cluster import cluster_workers, see_nodes
from jobs.options import EXIT_FAILED, EXIT_TOO_MANY_REJECTED
from jobs.planning import Plan
from jobs.progress import progress, say
from jobs.tally import BatchTimes, tallied
from jobs.watchdog import IMAGE_MINUTES, Watchdog
from jobs.watched import this_run
from texture_store.errors import StoreError
from texture_store.objects import Storage
from texture_store.spec import Layer
from texture_store.store.commits import CommitRecord, fold_commits, read_log
from texture_store.store.coverage import check_balance, coverage

if TYPE_CHECKING:
    from jobs.stream import FailedShard


MAX_FAILED_IN_A_ROW = 10
"""Shards, after which storage is taken to be gone: each has waited for it as long as a request is tried."""


@dataclass(frozen=True)
class ShardsSummary:
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
    batches: BatchTimes | None = None
    """When the network worked in this run."""


@dataclass
class Outcome:
    """What a run did itself."""

    job: str
    """Name of the job, the first part of its commits' step."""
    started: float = field(default_factory=time.monotonic)
    computed: int = 0
    changed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    failed_in_a_row: int = 0
    batches: BatchTimes | None = None


def run_shards(
    plan: Plan,
    outcome: Outcome,
    *,
    doing: str,
    words: Mapping[Layer, np.ndarray] | None = None,
    fold_words: Mapping[Layer, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Put the plan's units through the connected Ray; `doing` says what that is, such as `featurizing`.

    A shard that fails for a passing reason is noted in `outcome` and stays pending. Raises StoreError for a reason that
    every other shard would meet as well or when many fail in a row, StalledError when nothing is done for too long.
    """
    from jobs.metrics import Meter
    from jobs.stream import FailedShard, Target, run_stream

    dataset, snapshot = plan.snapshot.dataset, plan.snapshot.number
    target = Target(plan.storage, outcome.job, dataset, plan.spec, snapshot, words or {}, fold_words or {})
    workers = cluster_workers()
    if (run := this_run()) is not None:
        run.work_on(str(workers))
    say(f"{doing} {plan.num_images:,} images in {len(plan.units):,} shards on {workers}")
    images = {unit.shard: unit.rows.num_rows for unit in plan.units}
    watchdog = Watchdog(doing, minutes=IMAGE_MINUTES)
    with progress(doing, total=plan.num_images) as bar, tallied(bar, plan.num_images, watchdog.alive) as tally:
        bar.step.plan_shards(len(plan.units))
        meter, left = Meter(dataset, outcome.job), plan.num_images
        meter.planned(plan.num_images, left)
        results = run_stream(
            plan.units,
            archive_url=plan.snapshot.archive_url,
            target=target,
            workers=workers,
            report=tally.report,
            tell=tally.tell,
        )
        for result in watchdog.watch(results):
            see_nodes()
            if isinstance(result, FailedShard):
                bar.step.shard_failed(images[result.shard])
                _note_failure(result, outcome)
                continue
            outcome.failed_in_a_row = 0
            bar.step.shard_done(result.record.seconds if result.record else {})
            outcome.changed += result.changed
            members, rejected = (len(result.record.members), len(result.record.rejected)) if result.record else (0, 0)
            outcome.computed += members + rejected
            tally.settle(result.num_images, rejected=rejected)
            left -= result.num_images
            meter.planned(plan.num_images, left)
        outcome.batches = tally.times()


def summarize(plan: Plan, outcome: Outcome) -> ShardsSummary:
    """How the plan's images stand now, checked; and folds the commits."""
    dataset, spec = plan.snapshot.dataset, plan.spec.fingerprint
    log = read_log(plan.storage, dataset, spec)
    covered = coverage(plan.snapshot, log.records, plan.pairs)
    check_balance(covered)
    fold_commits(plan.storage, dataset, spec, log=log)
    return ShardsSummary(
        dataset=dataset,
        snapshot=plan.snapshot.number,
        spec=spec,
        settings=plan.spec.describe(),
        indexed=covered.num_indexed,
        featurized=covered.num_featurized,
        rejected=covered.num_rejected,
        pending=covered.num_pending,
        computed=outcome.computed,
        seconds=round(time.monotonic() - outcome.started, 1),
        rejected_by_reason=_reasons(plan.storage, log.records, covered.rejected),
        changed_since_index=sorted(outcome.changed),
        failed_shards=outcome.failed,
        batches=outcome.batches,
    )


def exit_status(summary: ShardsSummary, allowed_share: float) -> int:
    """0, 1 when shards failed, 3 when more than a share of the images is rejected; says why it is not 0."""
    if summary.changed_since_index:
        say(f"{len(summary.changed_since_index)} files changed since index and wait for it; run index, then this again")
    if summary.failed_shards:
        say(f"{len(summary.failed_shards)} shards failed and stay pending; run the same command again")
        return EXIT_FAILED
    if summary.rejected > allowed_share * summary.indexed:
        say(f"{summary.rejected} of {summary.indexed} images rejected, more than --max-rejected allows")
        return EXIT_TOO_MANY_REJECTED
    return 0


def _note_failure(failure: "FailedShard", outcome: Outcome) -> None:
    if "--debug" in sys.argv:
        for line in failure.details.splitlines():
            say(line, level=logging.ERROR, shard=failure.shard)
    if failure.is_permanent:
        raise StoreError(f"{failure.message}; stopped, what is committed stays: run the same command again")
    line = f"shard {failure.shard} failed and stays pending: {failure.message}"
    say(line, level=logging.ERROR, shard=failure.shard)
    outcome.failed[failure.shard] = failure.message
    outcome.failed_in_a_row += 1
    if outcome.failed_in_a_row == MAX_FAILED_IN_A_ROW:
        raise StoreError(
            f"{MAX_FAILED_IN_A_ROW} shards in a row failed, so it is stopped; what is committed stays: see to the"
            " reason above, then run the same command again"
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
