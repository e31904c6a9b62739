"""Scores of a report's feature sets over all snapshots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.report_claims import evaluations_of
from texture_store.errors import FeaturesNotFoundError
from texture_store.objects import Storage
from texture_store.report.history_plots import history_plots
from texture_store.report.report_content import Absent, Plot
from texture_store.report.score_history import score_history
from texture_store.spec import FeatureSpec
from texture_store.store.reader import Store
from texture_store.store.specs import read_spec

if TYPE_CHECKING:
    import pandas as pd

    from texture_store.report.report_question import Question


def history_of_question(store: Store, dataset: str, question: "Question") -> Sequence[Plot] | Absent:
    """Plots of the classifier that the report is about, with the same numbers as tables."""
    every = evaluations_of(store, dataset)
    history = score_history(every, question.own, specs_of(store.storage, every))
    plots = history_plots(history, score_name=question.score_name)
    return plots or Absent("Scores are of one snapshot only: there is no history yet.")


def specs_of(storage: Storage, every: "pd.DataFrame") -> dict[str, FeatureSpec]:
    """The specs that rows are of, by fingerprint; scores outlive one that was taken away."""
    found = {}
    for name in {name for joined in every["spec"].unique() for name in joined.split("+")}:
        try:
            found[name] = read_spec(storage, name)
        except FeaturesNotFoundError:
            continue
    return found
