import pytest

from tests.evaluation_rows import evaluation_row, evaluation_table
from texture_store.report.history_plots import history_plots
from texture_store.report.score_history import best_sets, images_of_snapshots, score_history, wide_history
from texture_store.spec import FeatureSpec, PixelSpec
from texture_store.store.evaluations import evaluations_frame

BASE = FeatureSpec(weights="1" * 64, lineage="caffe")
WORDS = [BASE.model_copy(update={"dictionary": "d" + digit * 20}) for digit in "12"]
SMALL = FeatureSpec(weights="1" * 64, lineage="caffe", pixels=PixelSpec(size="256x256"))
SPECS = {one.fingerprint: one for one in (BASE, *WORDS, SMALL)}


def trials(score: float, snapshot: int, spec: FeatureSpec = BASE, created: int = 0, **changes):
    settings = {"spec": spec.fingerprint, "snapshot": snapshot, "members": f"{snapshot:032}"}
    settings |= {
        "num_images": 100 * snapshot,
        "created": f"2026-01-01T{snapshot % 24:02}:00:0{created}.000+00:00",
    } | changes
    folds = ([score - 0.01] * 3, [score + 0.01] * 3)
    return [evaluation_row(trial=t, folds=folds[t], **settings) for t in range(2)]


def frame(*groups):
    return evaluations_frame({"steel": evaluation_table([row for group in groups for row in group])})


@pytest.fixture
def history():
    every = [
        *(trials(score, snapshot) for snapshot, score in ((1, 0.9), (2, 0.8), (4, 0.85))),
        trials(0.5, 1, encoder="max"),
        trials(0.6, 2, SMALL, encoder="max"),
        trials(0.7, 4, SMALL, encoder="max"),
        trials(0.6, 1, WORDS[0], encoder="vlad"),
        trials(0.61, 2, WORDS[0], encoder="vlad"),
        trials(0.7, 4, WORDS[1], encoder="vlad"),
        trials(0.99, 4, label_column="phase"),
    ]
    like = [row for group in every[2:] for row in group if row["snapshot"] == 4 and row["label_column"] == "label"]
    return score_history(frame(*every), evaluations_frame({"steel": evaluation_table(like)}), SPECS)


def test_scores_images_and_changes_of_each_snapshot(history):
    rows = {(row.encoder, row.snapshot): row for row in history.itertuples()}
    assert len(rows) == len(history) == 9
    assert [rows["mean", snapshot].mean for snapshot in (1, 2, 4)] == [
        pytest.approx(0.9),
        pytest.approx(0.8),
        pytest.approx(0.85),
    ]
    assert rows["mean", 1].sd == pytest.approx(0.02 / 2**0.5)
    assert images_of_snapshots(history) == {1: 100, 2: 200, 4: 400}
    changes = {key: row.change for key, row in rows.items() if row.change}
    assert changes == {("max", 2): "other settings", ("vlad", 4): "dictionary learnt again"}


def test_the_newest_evaluation_of_a_snapshot_counts():
    """After a trial with other settings, and after images were featurized that had been pending."""
    old = trials(0.5, 1, SMALL)
    part = trials(0.6, 1, created=1, members="a" * 32, num_images=90)
    whole = trials(0.7, 1, created=2)
    found = score_history(frame(old, part, whole), frame(whole), SPECS)
    assert found["mean"].tolist() == [pytest.approx(0.7)]
    assert found["num_images"].tolist() == [100]


def test_a_spec_that_was_taken_away_is_another_one():
    found = score_history(frame(trials(0.8, 1, SMALL), trials(0.8, 2)), frame(trials(0.8, 2)), {})
    assert found["change"].tolist() == ["", "other settings"]


def test_a_table_has_a_column_for_each_snapshot(history):
    wide = wide_history(history).set_index("encoder")
    assert wide.loc["mean", [1, 2, 4]].tolist() == ["0.900 ± 0.014", "0.800 ± 0.014", "0.850 ± 0.014"]
    assert wide.loc["vlad", 4] == "0.700 ± 0.014*"


def test_the_figure_has_a_line_for_each_encoder_and_marks_what_changed(history):
    assert [one[1] for one in best_sets(history)] == ["max", "mean", "vlad"]
    (plot,) = history_plots(history, score_name="weighted F1")
    assert plot.title == "Folds by image"
    by_name = {trace["name"]: trace for trace in plot.figure["data"]}
    assert by_name["mean conv4_3"]["y"] == [pytest.approx(0.9), pytest.approx(0.8), pytest.approx(0.85)]
    layout = plot.figure["layout"]
    assert layout["xaxis"]["ticktext"] == ["1<br>100", "2<br>200", "4<br>400"]
    assert [shape["x0"] for shape in layout["shapes"]] == [1, 2]
    assert [note["text"] for note in layout["annotations"]] == ["other settings", "dictionary learnt again"]
    assert "At snapshot 4: dictionary learnt again." in plot.alt
    assert plot.table is not None
    assert plot.table.columns[2:] == ["snapshot 1 (100)", "snapshot 2 (200)", "snapshot 4 (400)"]
    assert [cell.text for cell in plot.table.rows[0]][:2] == ["mean", "conv4_3"]


def test_one_snapshot_is_no_history():
    rows = frame(trials(0.9, 1))
    assert history_plots(score_history(rows, rows, SPECS), score_name="F1") == []
    assert len(score_history(frame(), frame(), SPECS)) == 0


def test_many_snapshots_have_some_ticks_and_always_the_last():
    every = frame(*(trials(0.9, n, num_images=n, created=0) for n in range(1, 61)))
    (plot,) = history_plots(score_history(every, every[every["snapshot"] == 60], SPECS), score_name="F1")
    ticks = plot.figure["layout"]["xaxis"]["ticktext"]
    assert len(ticks) <= 16
    assert ticks[-1] == "60<br>60"
