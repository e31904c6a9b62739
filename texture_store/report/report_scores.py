"""Scores of a report: evaluations of one question in, tables, plots and sentences out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from texture_store.evaluation.folds import Protocol
from texture_store.evaluation.significance import Ranked
from texture_store.report.evaluation_tables import best_table, length_table, score_table, set_name
from texture_store.report.report_content import Absent, Cell, Confusion, Scores, Table
from texture_store.report.report_plots import confusion_plot, layers_plots, together_plots
from texture_store.report.report_question import Question

if TYPE_CHECKING:
    import pandas as pd


def scores_of(question: Question, *, current_snapshot: int) -> Scores:
    """Tables and plots of all scores."""
    scores, score_name = question.scores, question.score_name
    return Scores(
        about=about(question),
        lengths=_lengths(question.own),
        best=_best(scores, score_name),
        layers=layers_plots(scores, score_name=score_name),
        together=together_plots(scores, score_name=score_name),
        every=_every(score_table(question.rows), question.ranked(), question),
        notes=_notes(question, current_snapshot),
    )


def about(question: Question) -> str:
    """What was asked, in a sentence."""
    first = question.own.iloc[0]
    trees = f" of {int(first['trees'])} trees" if question.classifier == "forest" else ""
    groups = sorted({str(name) for name in question.own["group_column"].dropna()})
    by_group = f"; groups are of column {', '.join(groups)}" if groups else ""
    where = f", where {' and '.join(first['conditions'])}" if len(first["conditions"]) else ""
    beside = f", with columns {', '.join(first['with_columns'])}" if len(first["with_columns"]) else ""
    trials = int(question.scores["trials"].max())
    return (
        f"How well the column {first['label_column']} is predicted{where}{beside}: {first['num_images']:,} images,"
        f" {question.classifier}{trees}, {trials} {'trial' if trials == 1 else 'trials'} of {first['folds']} folds"
        f"{by_group}. Scores are {question.score_name}, mean ± standard deviation over trials.{_forms(question)}"
    )


def _forms(question: Question) -> str:
    """Which encoders were not taken as they are stored."""
    forms = question.own.drop_duplicates(["encoder", "form"])[["encoder", "form"]].itertuples(index=False, name=None)
    told = [f"{encoder} as {form}" for encoder, form in forms if form != "as stored"]
    return f" Vectors are as stored, but {', '.join(told)}." if told else ""


def confusion_of(question: Question) -> Confusion | Absent:
    """Of the best feature set of each protocol, pooled over its trials."""
    if question.is_regression:
        return Absent("Numbers are predicted, not classes.")
    plots, notes = [], []
    for protocol in question.protocols:
        rows = question.of_best(protocol)
        counts = np.sum([_matrix(one) for one in rows["confusion"]], axis=0)
        classes = [str(name) for name in rows["classes"].iloc[0]]
        name = set_name(rows["encoder"].iloc[0], rows["layer"].iloc[0])
        plots.append(confusion_plot(counts, classes, title=f"{name}, folds by {protocol}", trials=len(rows)))
        notes += _confused_most(counts, classes, protocol)
    return Confusion(plots, notes)


def _confused_most(counts: Any, classes: Sequence[str], protocol: str) -> list[str]:
    wrong = counts.astype(np.float64).copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return [f"By {protocol}, nothing is confused."]
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    true, predicted = divmod(int(np.argmax(wrong / totals)), len(classes))
    share = wrong[true, predicted] / totals[true, 0]
    return [f"By {protocol}, most often {classes[true]} is taken for {classes[predicted]}: {100 * share:.1f} % of it."]


def _matrix(value: Any) -> Any:
    return np.array([list(row) for row in value], np.int64)


def _lengths(rows: "pd.DataFrame") -> Table:
    table = length_table(rows)
    titles = {"gram": "gram, full matrix", "gram stored": "gram, as stored"}
    body = [[Cell(str(row[0])), *(_count(value) for value in row[1:])] for row in table.itertuples(index=False)]
    columns = [titles.get(str(name), str(name)) for name in table.columns]
    return Table("Values of a feature vector (the paper's Table 1)", columns, body, frozenset(range(1, len(columns))))


def _best(scores: "pd.DataFrame", score_name: str) -> Table:
    body = [
        [
            Cell(row["encoder"]),
            Cell(row["protocol"]),
            Cell(row["layer"]),
            _count(row["num_features"]),
            _score(row["mean"], row["sd"]),
            _number(row["metadata"]),
            _number(row["majority"]),
        ]
        for row in best_table(scores).to_dict("records")
    ]
    columns = ["encoder", "folds by", "best layer", "values", score_name, "metadata alone", "majority class"]
    return Table("The best layer of each encoder", columns, body, frozenset({3, 4, 5, 6}))


def _every(scores: "pd.DataFrame", ranked: Mapping[Protocol, Sequence[Ranked]], question: Question) -> Table:
    others = {"mae": "mean absolute error"} if "mae" in scores else {"f1_macro": "macro F1", "accuracy": "accuracy"}
    columns = ["encoder", "layer", "values", "folds by", question.score_name, *others.values()]
    columns += ["metadata alone", "majority class", "against the best", "trials", "classifier"]
    by_name = {(protocol, one.name): one for protocol, found in ranked.items() for one in found}
    best = {protocol: found[0].name for protocol, found in ranked.items()}
    body = []
    for row in scores.to_dict("records"):
        name = set_name(row["encoder"], row["layer"])
        own = row["classifier"] == question.classifier
        told = _against(by_name.get((row["protocol"], name)) if own else None, best.get(row["protocol"]))
        failed = f", {row['failed']} failed" if row["failed"] else ""
        body.append(
            [
                Cell(row["encoder"]),
                Cell(row["layer"]),
                _count(row["num_features"]),
                Cell(row["protocol"]),
                _score(row["mean"], row["sd"]),
                *(_number(row[column]) for column in others),
                _number(row["metadata"]),
                _number(row["majority"]),
                told,
                Cell(f"{row['trials']}{failed}", row["trials"]),
                Cell(row["classifier"]),
            ]
        )
    text = {0, 1, 3, len(columns) - 3, len(columns) - 1}
    note = (
        "Against the best of the same folds: corrected resampled t-test (Nadeau and Bengio 2003) on the folds that all"
        " have in common, p adjusted by Holm. Below 0.05 a set is worse, above it is not distinguishable from the best."
    )
    return Table(
        "Every feature set, by folds and classifier", columns, body, frozenset(range(len(columns))) - text, note
    )


def _against(one: Ranked | None, best: str | None) -> Cell:
    if one is None:
        return Cell("–", 2.0)
    if one.name == best:
        return Cell("best", -1.0)
    return Cell(f"{'worse, ' if one.distinguishable else ''}p {_p(one.p)}", 1 - one.p)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _notes(question: Question, current_snapshot: int) -> list[str]:
    own, notes = question.own, []
    snapshot = int(own["snapshot"].iloc[0])
    if snapshot != current_snapshot:
        notes.append(f"Evaluated was snapshot {snapshot}; the current one is {current_snapshot}. Run evaluate again.")
    if failed := int(own["error"].notna().sum()):
        notes.append(f"{failed} trials failed and are left out; the same evaluate command tries them again.")
    trials = question.scores["trials"]
    if trials.min() < trials.max():
        notes.append(
            f"Feature sets have {trials.min()} to {trials.max()} trials: an evaluation is not finished. Tests against"
            " the best take the trials that all have."
        )
    for one in question.strict.to_dict("records"):
        notes.append(
            f"{set_name(one['encoder'], one['layer'])} by {one['protocol']}: {one['inside']:.3f} with dictionaries that"
            f" are learnt inside the folds (shown), {one['outside']:.3f} with those of all images:"
            f" {one['difference']:+z.3f} (95 % interval {one['low']:+z.3f} to {one['high']:+z.3f})."
        )
    if question.num_others:
        notes.append(
            f"The store has {question.num_others:,} more trials of this dataset, of other questions or older specs;"
            " they are not shown."
        )
    return notes


def _score(mean: float, sd: float) -> Cell:
    if np.isnan(mean):
        return Cell("failed", -1.0)
    return Cell(f"{mean:.3f}" + ("" if np.isnan(sd) else f" ± {sd:.3f}"), mean)


def _number(value: float) -> Cell:
    return Cell("–", -1.0) if np.isnan(value) else Cell(f"{value:.3f}", value)


def _count(value: Any) -> Cell:
    return Cell("–", -1.0) if str(value) in ("<NA>", "nan", "None") else Cell(f"{int(value):,}", int(value))
