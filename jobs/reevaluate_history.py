"""Scores of a recipe's feature sets over all snapshots."""

from typing import TYPE_CHECKING

import numpy as np

from jobs.recipe_tables import Recipe
from jobs.report_history import specs_of
from jobs.table_text import aligned
from texture_store.report.score_history import images_of_snapshots, score_history, wide_history
from texture_store.store.evaluations import evaluations_frame, read_evaluations
from texture_store.store.opening import open_for_reading

if TYPE_CHECKING:
    import pandas as pd


def history_of_recipe(recipe: Recipe) -> "pd.DataFrame":
    """`score_history` of what the recipe evaluates; empty before the first run."""
    storage = open_for_reading(str(recipe.store))
    every = evaluations_frame({recipe.dataset: read_evaluations(storage, recipe.dataset)})
    table = recipe.evaluate
    asked = {
        "label_column": table.label_column,
        "task": table.task,
        "folds": table.folds,
        "classifier": table.classifier,
    }
    keep = every["encoder"].isin(recipe.encoders).to_numpy()
    for name, value in asked.items():
        keep = keep & (every[name] == value).to_numpy()
    for name, values in (("conditions", sorted(table.where)), ("with_columns", list(table.with_columns))):
        keep = keep & np.array([list(one) == values for one in every[name]], bool)
    if table.classifier == "forest":
        keep = keep & (every["trees"] == table.trees).to_numpy()
    like = every[keep]
    return score_history(every, like, specs_of(storage, every))


def history_lines(history: "pd.DataFrame") -> list[str]:
    """A table: a line for each feature set and protocol, a column for each snapshot."""
    if not len(history):
        return []
    wide, images = wide_history(history), images_of_snapshots(history)
    names = ["encoder", "layer", "protocol"]
    header = [*names, *(f"snapshot {number}" for number in images)]
    counts = ["", "", "images", *(f"{count:,}" for count in images.values())]
    body = [[*(row[name] for name in names), *(row[number] for number in images)] for row in wide.to_dict("records")]
    lines = aligned([header, counts, *body])
    if (history["change"] != "").any():
        lines.append("* other features than the snapshot before: the dictionary was learnt again, or settings changed")
    return lines
