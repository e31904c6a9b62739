"""The trials of a plan that the store lacks: metadata baseline, fold dictionaries, trials, rows."""

from collections.abc import Mapping, Sequence
from itertools import chain, compress

from jobs.cluster import RaySession
from jobs.evaluation_baseline import baselines
from jobs.evaluation_folds import FoldDictionaries, FoldReader, plan_folds, prepare_folds
from jobs.evaluation_plan import EvaluationPlan
from jobs.evaluation_rows import row_of
from jobs.evaluation_trials import Outcome, reason, run_trials
from jobs.progress import progress, say
from texture_store.errors import DictionaryError, FeaturesNotFoundError, StoreError
from texture_store.store.evaluations import write_evaluation


def run_pending(plan: EvaluationPlan, within: RaySession | None = None) -> None:
    """Run the trials that the store lacks, and write the row of each as soon as it is done.

    A trial that fails ends as a row with its error. Raises TextureStoreError where none can be run.
    """
    pending = plan.pending
    folds = plan_folds(plan) if any(plan.sets[place[0]].strict for place in pending) else {}
    with RaySession(plan.request.address, within) as session:
        session.join()
        metadata = baselines(plan, pending)
        reader, failed, runnable = _prepared(plan, pending, folds)
        what = f"{len(plan.sets)} feature sets of {plan.images.num_rows:,} images"
        say(f"evaluating {what} by {' and '.join(dict.fromkeys(split.protocol for split in plan.splits))}")
        bar = session.enter_context(progress("evaluate", total=len(pending), unit="trials"))
        for outcome in chain(failed, run_trials(plan, runnable, reader)):
            row = row_of(plan, outcome, metadata.get(outcome.place[1]))
            write_evaluation(plan.storage, plan.request.dataset, row)
            bar.advance(rejected=int(outcome.error is not None))
            if outcome.error is not None:
                say(f"{row['encoder']} {row['layer']} by {row['protocol']}, trial {row['trial']}: {outcome.error}")


def _prepared(
    plan: EvaluationPlan, pending: Sequence[tuple[int, int]], folds: Mapping[str, FoldDictionaries]
) -> tuple[FoldReader | None, list[Outcome], list[tuple[int, int]]]:
    """What strict trials read; where that cannot be had, what became of them; and the trials that can be run."""
    if not folds:
        return None, [], list(pending)
    try:
        prepare_folds(plan, folds.values())
    except (DictionaryError, FeaturesNotFoundError, StoreError) as error:
        is_strict = [plan.sets[place[0]].strict for place in pending]
        failed = [Outcome(place, None, reason(error), 0.0) for place in compress(pending, is_strict)]
        return None, failed, [place for place in pending if not plan.sets[place[0]].strict]
    return FoldReader(plan, folds), [], list(pending)
