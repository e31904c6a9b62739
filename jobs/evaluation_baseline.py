"""What metadata alone reach on the folds of a plan: the score to compare every other one with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.evaluation_plan import EvaluationPlan
from jobs.evaluation_trials import reason
from jobs.metadata_fields import metadata_fields
from jobs.progress import progress, say
from texture_store.evaluation.classifiers import NUM_TREES
from texture_store.evaluation.columns import Column
from texture_store.evaluation.metadata import metadata_score
from texture_store.store.evaluations import read_evaluations
from texture_store.store.reader import read_facts

TOGETHER = "together"

Baseline = dict[str, float]
"""Weighted F1 of a forest on each field alone, and `together` on all of them."""


def baselines(plan: EvaluationPlan, pending: Sequence[tuple[int, int]]) -> dict[int, Baseline]:
    """By number of a split, for those of the pending trials; none for regression and without metadata.

    What stored rows have of the same folds is taken from them. Ray must be connected.
    """
    if plan.request.task == "regression":
        return {}
    wanted = sorted({place[1] for place in pending})
    known = _stored(plan)
    found = {j: known[_fold_key(plan, j)] for j in wanted if _fold_key(plan, j) in known}
    missing = [j for j in wanted if j not in found]
    columns = metadata_columns(plan) if missing else {}
    return found | (_computed(plan, missing, columns) if columns else {})


def _computed(plan: EvaluationPlan, splits: Sequence[int], columns: Mapping[str, Column]) -> dict[int, Baseline]:
    import ray

    say(f"baseline: {', '.join(columns)}")
    shared = ray.put((dict(columns), plan.labels, _trees(plan)))
    task: Any = ray.remote(num_cpus=1, max_retries=3)(_baseline)
    waiting = {task.remote(shared, plan.splits[j].folds, plan.splits[j].seed): j for j in splits}
    found: dict[int, Baseline] = {}
    with progress("metadata alone", total=len(waiting), unit="trials") as bar:
        while waiting:
            [ready], _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(ready)
            try:
                found[number] = ray.get(ready)
            except Exception as error:
                say(f"no metadata baseline: {reason(error)}")
            bar.advance()
    return found


def _baseline(
    shared: tuple[dict[str, Column], npt.NDArray[np.str_], int], folds: npt.NDArray[np.int8], seed: int
) -> Baseline:
    columns, labels, trees = shared
    scores = metadata_score(columns, labels, folds, trees=trees, seed=seed)
    alone = {name: field.f1_weighted for name, field in scores.fields.items()}
    return alone | {TOGETHER: scores.together.f1_weighted}


def _stored(plan: EvaluationPlan) -> dict[tuple[object, ...], Baseline]:
    if not plan.done:
        return {}
    table = read_evaluations(plan.storage, plan.request.dataset)
    names = ["snapshot", "members", "label_column", "protocol", "seed", "folds", "group_column", "trees", "metadata"]
    found = {}
    for row in table.select(names).to_pylist():
        if row["metadata"] is not None:
            row["trees"] = row["trees"] or NUM_TREES
            found[tuple(row[name] for name in names[:-1])] = dict(row["metadata"])
    return found


def _fold_key(plan: EvaluationPlan, number: int) -> tuple[object, ...]:
    row = next(row for (_, j), row in plan.rows.items() if j == number)
    names = ["snapshot", "members", "label_column", "protocol", "seed", "folds", "group_column"]
    return (*(row[name] for name in names), _trees(plan))


def _trees(plan: EvaluationPlan) -> int:
    return plan.request.trees if plan.request.classifier == "forest" else NUM_TREES


def metadata_columns(plan: EvaluationPlan) -> dict[str, Column]:
    """By name, (n,) what is known about the evaluated images beside their pixels and may predict a label."""
    facts = read_facts(plan.catalog, plan.images, plan.request.spec)
    not_used = [plan.request.label_column, *([plan.grouping.column] if plan.grouping else [])]
    return metadata_fields(plan.images, facts, not_used=not_used).columns()
