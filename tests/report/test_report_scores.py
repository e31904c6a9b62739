from typing import Any

import numpy as np

from tests.evaluation_rows import evaluation_row
from tests.report.made_report import grid_rows, question_of
from texture_store.report.report_content import Absent, Confusion, Table
from texture_store.report.report_scores import about, confusion_of, scores_of


def records(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_all_scores_stand_beside_what_is_trivial_and_their_test() -> None:
    scores = scores_of(question_of(grid_rows()), current_snapshot=1)
    found = records(scores.every)
    assert len(found) == 16
    [best] = [row for row in found if row["against the best"] == "best" and row["folds by"] == "image"]
    assert (best["encoder"], best["layer"], best["metadata alone"], best["majority class"]) == (
        "mean",
        "conv4_3",
        "0.500",
        "0.250",
    )
    assert best["weighted F1"].startswith("0.90")
    shallow = next(row for row in found if row["layer"] == "input")
    assert shallow["against the best"] == "worse, p < 0.001"


def test_numbers_are_sorted_as_numbers() -> None:
    every = scores_of(question_of(grid_rows()), current_snapshot=1).every
    for place in every.numeric:
        assert all(row[place].order is not None for row in every.rows), every.columns[place]
    assert {every.columns[place] for place in every.numeric} >= {"values", "weighted F1", "trials"} - {"trials"}


def test_the_best_layer_of_each_encoder_and_the_paper_s_table_1() -> None:
    rows = [row | {"num_features": {"input": 3, "conv1_2": 64}.get(str(row["layer"]), 512)} for row in grid_rows()]
    scores = scores_of(question_of(rows), current_snapshot=1)
    assert {(row["encoder"], row["best layer"]) for row in records(scores.best)} == {
        ("mean", "conv4_3"),
        ("max", "conv4_3"),
    }
    assert records(scores.lengths)[0] == {"layer": "input", "mean": "3", "max": "3"}


def test_what_was_asked_is_said() -> None:
    text = about(question_of(grid_rows(conditions=["label!=c"], with_columns=["carbon"])))
    for part in (
        "column label is predicted, where label!=c, with columns carbon",
        "30 images",
        "400 trees",
        "4 trials of 3 folds",
    ):
        assert part in text.replace("predicted where", "predicted, where")
    assert "groups are of column specimen" in text
    assert "Vectors are as stored, but mean as position mean, max as position mean." in about(
        question_of(grid_rows(form="position mean"))
    )


def test_what_is_unusual_is_noted() -> None:
    rows = grid_rows(form="position mean")
    rows += [evaluation_row(trial=9, form="position mean"), evaluation_row(trial=8, error="x", form="position mean")]
    notes = " ".join(scores_of(question_of([*rows, evaluation_row(label_column="grade")]), current_snapshot=2).notes)
    for part in (
        "Evaluated was snapshot 1; the current one is 2",
        "1 trials failed",
        "4 to 5 trials",
        "1 more trials of this dataset",
    ):
        assert part in notes
    assert scores_of(question_of(grid_rows()), current_snapshot=1).notes == []


def test_the_confusion_is_pooled_over_the_trials_of_the_best_set() -> None:
    found = confusion_of(question_of(grid_rows(trials=5)))
    assert isinstance(found, Confusion)
    assert [plot.title for plot in found.plots] == ["mean conv4_3, folds by image", "mean conv4_3, folds by group"]
    table = found.plots[0].table
    assert table is not None
    assert [cell.text for cell in table.rows[0]] == ["a", "92.9", "7.1", "70"]  # (13, 1) in each of 5 trials
    assert found.notes[0] == "By image, most often a is taken for b: 7.1 % of it."


def test_nothing_confused_is_said_too() -> None:
    perfect: Any = [row | {"confusion": np.diag([5, 5]).tolist()} for row in grid_rows()]
    found = confusion_of(question_of(perfect))
    assert isinstance(found, Confusion)
    assert found.notes[0] == "By image, nothing is confused."


def test_regression_has_errors_and_no_confusion() -> None:
    scores = {"task": "regression", "r2": 0.5, "mae": 3.0, "fold_r2": [0.4, 0.6], "fold_mae": [3.0, 3.0]}
    none: dict[str, object] = dict.fromkeys(["f1_weighted", "f1_macro", "accuracy", "metadata", "confusion", "classes"])
    question = question_of([evaluation_row(folds=(0, 0), trial=trial, **scores, **none) for trial in range(2)])
    [row] = records(scores_of(question, current_snapshot=1).every)
    assert (row["R²"], row["mean absolute error"]) == ("0.500 ± 0.000", "3.000")
    assert isinstance(confusion_of(question), Absent)


def test_dictionaries_inside_the_folds_are_shown_and_what_they_change_is_told() -> None:
    outside = [evaluation_row("vlad", trial=trial, folds=(0.8, 0.9, 0.7 + 0.1 * trial)) for trial in range(2)]
    inside = [evaluation_row("vlad", trial=trial, folds=(0.7, 0.8, 0.7), strict=True) for trial in range(2)]
    question = question_of([*outside, *inside, evaluation_row("mean")])
    assert question.num_others == 0
    assert sorted(zip(question.rows["encoder"], question.rows["strict"], strict=True)) == [
        ("mean", False),
        ("vlad", True),
        ("vlad", True),
    ]
    [note] = [note for note in scores_of(question, current_snapshot=1).notes if "inside the folds" in note]
    assert note.startswith(
        "vlad conv4_3 by image: 0.733 with dictionaries that are learnt inside the folds (shown), 0.817 with those of"
        " all images: -0.083 (95 % interval "
    )
