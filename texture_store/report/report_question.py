"""Which of a dataset's evaluations a report is about: one question, one spec of each feature set."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from texture_store.evaluation.folds import Protocol
from texture_store.evaluation.significance import Ranked
from texture_store.report.evaluation_tables import (
    SAME_QUESTION,
    innermost,
    metadata_baseline,
    newest_sets,
    rankings,
    score_table,
    set_name,
    strict_differences,
)

if TYPE_CHECKING:
    import pandas as pd

PROTOCOLS: tuple[Protocol, ...] = ("image", "group")


@dataclass(frozen=True)
class Question:
    """The evaluations of one dataset that answer one question, and what follows from them."""

    rows: "pd.DataFrame"
    """Of all classifiers, one spec, form and number of trees of each set; at least one without an error."""
    classifier: str
    """The one that figures, rankings and the best feature set are of."""
    strict: "pd.DataFrame"
    """`evaluation_tables.strict_differences`; where dictionaries were learnt inside the folds, `rows` are those."""
    num_others: int
    """Rows of the dataset that answer other questions, or are of older specs."""

    @property
    def own(self) -> "pd.DataFrame":
        """The rows of the classifier."""
        return self.rows[self.rows["classifier"] == self.classifier]

    @property
    def is_regression(self) -> bool:
        """Whether numbers are predicted."""
        return bool((self.rows["task"] == "regression").any())

    @property
    def score_name(self) -> str:
        """Of the score that counts."""
        return "R²" if self.is_regression else "weighted F1"

    @property
    def scores(self) -> "pd.DataFrame":
        """`evaluation_tables.score_table` of the classifier."""
        return score_table(self.own)

    @property
    def protocols(self) -> list[Protocol]:
        """Under which there are scores, `image` first."""
        good = self.own[self.own["error"].isna()]
        return [name for name in PROTOCOLS if name in set(good["protocol"])]

    def ranked(self) -> dict[Protocol, list[Ranked]]:
        """`evaluation_tables.rankings`, and the only feature set of a protocol that has one."""
        found = rankings(self.own)
        for protocol in self.protocols:
            if protocol not in found:
                best = self.best(protocol)
                found[protocol] = [Ranked(set_name(best["encoder"], best["layer"]), best["mean"], 0.0, 1.0, False)]
        return {protocol: found[protocol] for protocol in self.protocols}

    def best(self, protocol: Protocol) -> dict[str, Any]:
        """The row of `scores` of the best feature set.

        That of the ranking over common folds, where there is one, so that every part of a report names the same.
        """
        scores = self.scores
        scores = scores[(scores["protocol"] == protocol) & scores["mean"].notna()]
        ranked = rankings(self.own).get(protocol)
        if ranked:
            named = scores["encoder"] + " " + scores["layer"]
            scores = scores[named == ranked[0].name]
        row: dict[str, Any] = scores.loc[scores["mean"].idxmax()].to_dict()
        return row

    def of_best(self, protocol: Protocol) -> "pd.DataFrame":
        """The trials of the best feature set that went well."""
        best, own = self.best(protocol), self.own
        keep = (own["encoder"] == best["encoder"]) & (own["layer"] == best["layer"]) & (own["protocol"] == protocol)
        return own[keep & own["error"].isna()]

    def metadata(self, protocol: Protocol) -> tuple[str, float]:
        """The metadata field that predicts best alone, and its score; ("", NaN) without any."""
        return metadata_baseline(self.own[self.own["protocol"] == protocol])


def choose_question(frame: "pd.DataFrame") -> Question | None:
    """The question that a report is about; None when no trial has scores.

    Of the newest snapshot; one about all images and pixels alone before one with conditions or columns; then that with
    most rows, then the newest.
    """
    scored = frame[frame["error"].isna()]
    if not len(scored):
        return None
    keys = [tuple(_plain(row[name]) for name in SAME_QUESTION) for row in frame.to_dict("records")]
    by_key = dict(zip(keys, range(len(keys)), strict=True))
    key_of = np.array([by_key[key] for key in keys])
    candidates = []
    for number in set(key_of.tolist()):
        rows = frame[key_of == number]
        if rows["error"].notna().all():
            continue
        first = rows.iloc[0]
        plain = not len(first["conditions"]) and not len(first["with_columns"])
        candidates.append(((int(first["snapshot"]), plain, len(rows), str(rows["created"].max())), number))
    _, chosen = max(candidates)
    every = newest_sets(frame[key_of == chosen])
    if every["error"].notna().all():  # the newest trials of all sets failed; older specs have scores
        every = newest_sets(frame[(key_of == chosen) & frame["error"].isna().to_numpy()])
    rows = innermost(every)
    good = rows[rows["error"].isna()]
    counts = good["classifier"].value_counts()
    classifier = "forest" if "forest" in counts else str(counts.index[0])
    return Question(rows, classifier, strict_differences(every), len(frame) - len(every))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple | np.ndarray) else value
