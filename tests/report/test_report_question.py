import pandas as pd
import pytest

from tests.evaluation_rows import evaluation_row
from tests.report.made_report import frame_of, grid_rows, question_of
from texture_store.report.evaluation_tables import rankings
from texture_store.report.report_question import choose_question


def test_no_scores_no_question() -> None:
    assert choose_question(frame_of([])) is None
    assert choose_question(frame_of([evaluation_row(error="OSError: gone")])) is None


def test_the_question_with_most_rows_is_chosen_and_the_others_are_counted() -> None:
    rows = [*grid_rows(trials=2), *(evaluation_row(label_column="grade", trial=trial) for trial in range(3))]
    question = question_of(rows)
    assert set(question.rows["label_column"]) == {"label"}
    assert (len(question.rows), question.num_others) == (32, 3)


def test_the_newest_snapshot_and_all_images_come_first() -> None:
    some = [evaluation_row(conditions=["label!=a"], trial=trial) for trial in range(9)]
    assert len(question_of([*some, evaluation_row()]).rows) == 1
    assert question_of([*grid_rows(trials=2), evaluation_row(snapshot=2)]).rows["snapshot"].tolist() == [2]
    assert len(question_of(some).rows) == 9


def test_one_spec_of_each_set_is_shown_the_newest_that_has_scores() -> None:
    old = evaluation_row()
    new = evaluation_row(spec="s" + "1" * 20, created="2027-01-01T00:00:00.000+00:00")
    assert question_of([old, new]).rows["spec"].tolist() == [new["spec"]]
    failed = evaluation_row(spec="s" + "1" * 20, created="2027-01-01T00:00:00.000+00:00", error="OSError: gone")
    assert question_of([old, failed]).rows["spec"].tolist() == [old["spec"]]


def test_the_forest_is_shown_where_there_is_one() -> None:
    svm = [evaluation_row(classifier="svm", trees=None, trial=trial) for trial in range(5)]
    assert question_of([*svm, evaluation_row()]).classifier == "forest"
    assert question_of(svm).classifier == "svm"


def test_the_best_set_is_that_of_the_ranking_everywhere() -> None:
    rows = grid_rows()
    # Pooled scores say another one than those of the folds.
    rows = [row | ({"f1_weighted": 0.99} if row["layer"] == "conv1_2" else {}) for row in rows]
    question = question_of(rows)
    for protocol in question.protocols:
        best = question.best(protocol)
        assert f"{best['encoder']} {best['layer']}" == rankings(question.own)[protocol][0].name == "mean conv4_3"
        assert set(question.of_best(protocol)["layer"]) == {"conv4_3"}


def test_a_single_set_is_its_own_best() -> None:
    question = question_of([evaluation_row(trial=trial) for trial in range(3)])
    assert [one.name for one in question.ranked()["image"]] == ["mean conv4_3"]
    assert question.protocols == ["image"]


def test_metadata_are_of_one_protocol() -> None:
    rows = [evaluation_row(), evaluation_row(protocol="group", metadata={"um_per_px": 0.7})]
    question = question_of(rows)
    assert question.metadata("image") == ("um_per_px", pytest.approx(0.5))
    assert question.metadata("group") == ("um_per_px", pytest.approx(0.7))


def test_regression_is_told_apart() -> None:
    scores = {"task": "regression", "r2": 0.5, "mae": 3.0, "fold_r2": [0.4, 0.6], "fold_mae": [3.0, 3.0]}
    none: dict[str, object] = dict.fromkeys(["f1_weighted", "fold_f1_weighted", "metadata", "confusion", "classes"])
    question = question_of([evaluation_row(folds=(0, 0), trial=trial, **scores, **none) for trial in range(2)])
    assert (question.is_regression, question.score_name) == (True, "R²")
    assert isinstance(question.scores, pd.DataFrame)
