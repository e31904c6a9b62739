"""How many trials a run of reevaluate would make, and how long they would take."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from jobs.evaluation_columns import column_of
from jobs.evaluation_request import PAPER_LAYERS, PROTOCOLS
from jobs.recipe_tables import Recipe
from texture_store.evaluation.missing import missing
from texture_store.objects import Storage
from texture_store.store.evaluations import read_evaluations
from texture_store.store.snapshots import Snapshot


@dataclass(frozen=True)
class TrialsPlan:
    """Those that the store lacks."""

    count: int
    hours: float | None
    measured: str


def pending_trials(recipe: Recipe, storage: Storage | None, snapshot: Snapshot, cores: int) -> TrialsPlan:
    """The recipe's feature sets times trials times protocols, without those that the snapshot has scores of.

    Of the store's own trials of the same classifier their seconds are taken, set by set; of a set that has none, the
    mean of all.
    """
    import numpy as np

    table = recipe.evaluate
    sets = {
        (encoder, layer)
        for encoder in recipe.encoders
        for layer in (PAPER_LAYERS if table.grid else table.layers or recipe.layers_of(encoder))
    }
    protocols = table.protocol or (PROTOCOLS if _has_groups(recipe, snapshot) else PROTOCOLS[:1])
    wanted = set(product(sets, protocols, range(table.trials)))
    if storage is None:
        return TrialsPlan(len(wanted), None, "no trial has run yet")
    names = ["snapshot", "encoder", "layer", "protocol", "trial", "classifier", "trees", "folds", "label_column"]
    rows = read_evaluations(storage, recipe.dataset).select([*names, "seconds", "error"]).to_pylist()
    like = [
        row
        for row in rows
        if row["error"] is None
        and (row["classifier"], row["folds"], row["label_column"])
        == (table.classifier, table.folds, table.label_column)
        and row["trees"] in (None, table.trees)
    ]
    if not recipe.evaluate.strict:
        here = [row for row in like if row["snapshot"] == snapshot.number]
        wanted -= {((row["encoder"], row["layer"]), row["protocol"], row["trial"]) for row in here}
    if not wanted:
        return TrialsPlan(0, 0.0, "nothing to do")
    if not like:
        return TrialsPlan(len(wanted), None, "no such trial has run yet")
    seconds: dict[tuple[str, str], list[float]] = {}
    for row in like:
        seconds.setdefault((row["encoder"], row["layer"]), []).append(row["seconds"])
    mean = float(np.mean([row["seconds"] for row in like]))
    total = sum(float(np.mean(seconds[one])) if one in seconds else mean for one, _, _ in wanted)
    return TrialsPlan(len(wanted), round(total / cores / 3600, 7), f"{len(like)} trials of this dataset")


def _has_groups(recipe: Recipe, snapshot: Snapshot) -> bool:
    column = column_of(snapshot.table, recipe.evaluate.group_column or "specimen", "group_column")
    return not missing(np.array(column.to_pylist(), object)).all()
