"""The paper's claims, tested on what a store has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from texture_store.evaluation.claims import Claim
from texture_store.report.evaluation_tables import claims_of
from texture_store.report.report_content import Absent, Claims
from texture_store.report.report_question import Question, choose_question
from texture_store.store.evaluations import random_weights
from texture_store.store.reader import Store

if TYPE_CHECKING:
    import pandas as pd


def evaluations_of(store: Store, dataset: str) -> "pd.DataFrame":
    """The rows that a report may be about: none of features with random weights, which are for tests only."""
    frame = store.evaluations(dataset)
    return frame[~random_weights(store.storage, frame)]


def claims_of_dataset(store: Store, dataset: str, question: Question) -> Sequence[Claims] | Absent:
    """By protocol, those about this dataset and those about several, for which other datasets' scores are read."""
    if question.is_regression:
        return Absent("The paper's claims are about classes; here numbers are predicted.")
    frames: dict[str, pd.DataFrame] = {dataset: question.rows}
    for other in store.datasets():
        found = question if other == dataset else choose_question(evaluations_of(store, other))
        if found is not None and not found.is_regression:
            frames[other] = found.rows
    by_protocol = {protocol: claims_of(frames, protocol) for protocol in question.protocols}
    return [Claims(protocol, _about(claims, dataset)) for protocol, claims in by_protocol.items()]


def _about(claims: Sequence[Claim], dataset: str) -> list[Claim]:
    return [claim for claim in claims if claim.dataset == dataset or "," in claim.dataset or "datasets" in claim.text]
