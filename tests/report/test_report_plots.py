import json

import numpy as np
import pandas as pd
import pytest

from tests.report.made_report import HOSTILE, frame_of, grid_rows, question_of
from texture_store.report.evaluation_tables import score_table
from texture_store.report.explanation_plots import bars_plot, map_plot
from texture_store.report.plotly_style import label
from texture_store.report.report_plots import confusion_plot, layers_plots, together_plots


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return question_of(grid_rows()).scores


def traces(plot: object) -> list[dict[str, object]]:
    return plot.figure["data"]  # type: ignore[attr-defined, no-any-return]


def test_a_label_is_drawn_as_it_is() -> None:
    assert label("<b>a</b> & &lt;") == "&lt;b&gt;a&lt;/b&gt; &amp; &amp;lt;"
    assert label("a\nb\u202e") == "a?b?"


def test_scores_by_layer_are_those_of_the_table_one_plot_a_protocol(scores: pd.DataFrame) -> None:
    plots = layers_plots(scores, score_name="weighted F1")
    assert [plot.title for plot in plots] == ["Folds by image", "Folds by group"]
    for plot, protocol in zip(plots, ("image", "group"), strict=True):
        own = scores[(scores["protocol"] == protocol) & (scores["encoder"] == "mean") & (scores["layer"] != "all")]
        [mean] = [trace for trace in traces(plot) if trace["name"] == "mean"]
        assert mean["y"] == pytest.approx(own["mean"].tolist())
        assert mean["error_y"]["array"] == pytest.approx(own["sd"].tolist())  # type: ignore[index]
        assert plot.figure["layout"]["xaxis"]["ticktext"] == ["input", "conv1_2", "conv4_3"]  # type: ignore[index]
    ranges = [plot.figure["layout"]["yaxis"]["range"] for plot in plots]  # type: ignore[index]
    assert ranges[0] == ranges[1]  # so that they can be compared


def test_baselines_are_lines_with_their_number(scores: pd.DataFrame) -> None:
    for plot in layers_plots(scores, score_name="weighted F1"):
        lines = {str(trace["name"]): trace["y"] for trace in traces(plot) if trace["mode"] == "lines"}
        assert lines == {"metadata alone 0.50": [0.5, 0.5], "majority 0.25": [0.25, 0.25]}


def test_metadata_are_always_in_sight_and_a_baseline_below_the_axis_is_said(scores: pd.DataFrame) -> None:
    good = scores[scores["layer"].isin(["conv4_3", "all"])].assign(metadata=0.2, majority=0.1)
    [plot, _] = together_plots(good, score_name="weighted F1")
    assert plot.figure["layout"]["yaxis"]["range"][0] < 0.2  # type: ignore[index]
    assert [trace["name"] for trace in traces(plot)][-1] == "majority 0.10, below"


def test_all_layers_together_stand_beside_each_alone(scores: pd.DataFrame) -> None:
    [by_image, _] = together_plots(scores, score_name="weighted F1")
    assert [trace["name"] for trace in traces(by_image)][:3] == ["conv1_2", "conv4_3", "all five"]
    assert "Highest mean conv4_3 0.9" in by_image.alt
    assert together_plots(scores[scores["layer"] != "all"], score_name="x") == []
    assert layers_plots(scores[scores["layer"] == "input"], score_name="x") == []


def test_a_set_without_scores_leaves_a_gap_and_no_nan() -> None:
    rows = grid_rows()
    for row in rows:
        if row["encoder"] == "max" and row["layer"] == "conv1_2":
            row["error"] = "OSError: gone"
    scores = score_table(frame_of(rows))
    [plot, _] = layers_plots(scores, score_name="weighted F1")
    [line] = [trace for trace in traces(plot) if trace["name"] == "max"]
    assert line["y"][1] is None  # type: ignore[index]
    json.dumps(plot.figure, allow_nan=False)


def test_a_confusion_matrix_is_in_per_cent_of_each_true_class() -> None:
    plot = confusion_plot(np.array([[3, 1], [0, 0]]), ["01", "1"], title="mean conv4_3, folds by image", trials=2)
    [heat] = traces(plot)
    assert heat["z"] == [[75.0, 25.0], [0.0, 0.0]]
    assert heat["x"] == [0, 1]  # and not the names, which Plotly would take for numbers
    assert plot.figure["layout"]["xaxis"]["ticktext"] == ["01", "1"]  # type: ignore[index]
    assert heat["customdata"][0][1] == "01 taken for 1<br>25.0 % of 01<br>1 of 4 predictions in 2 trials"  # type: ignore[index]
    assert plot.table is not None
    assert [[cell.text for cell in row] for row in plot.table.rows] == [
        ["01", "75.0", "25.0", "4"],
        ["1", "0", "0", "0"],
    ]
    assert "1 of 4 predictions in 2 trials are wrong" in plot.alt


def test_many_classes_have_no_room_for_numbers() -> None:
    names = [f"class {number}" for number in range(30)]
    [heat] = traces(confusion_plot(np.eye(30, dtype=np.int64), names, title="x", trials=1))
    assert "texttemplate" not in heat


def test_a_map_has_a_mark_for_each_label_and_names_its_points() -> None:
    positions = np.arange(10.0).reshape(5, 2)
    small = [np.full((4, 4), number, np.uint8) for number in range(5)]
    plot = map_plot(positions, list("vwxyz"), ["a", "b", None, "a", "b"], title="t", value_name="l", thumbnails=small)
    assert [(trace["name"], trace["x"]) for trace in traces(plot)] == [("a", [0, 6]), ("b", [2, 8]), ("unknown", [4])]
    assert list(plot.names) == ["v", "y", "w", "z", "x"]  # the order of the points
    assert [int(one[0, 0]) for one in plot.thumbnails if one is not None] == [0, 3, 1, 4, 2]


def test_a_map_of_many_labels_keeps_the_most_frequent_ones() -> None:
    labels = [f"l{number % 12}" for number in range(60)] + ["l0"]
    plot = map_plot(np.zeros((61, 2)), [str(n) for n in range(61)], labels, title="t", value_name="l")
    names = [trace["name"] for trace in traces(plot)]
    assert (names[0], names[-1]) == ("l0", "other (5 values)")
    assert sum(len(trace["x"]) for trace in traces(plot)) == 61  # type: ignore[arg-type]


def test_a_map_of_numbers_has_a_scale_and_keeps_unknown_ones() -> None:
    plot = map_plot(np.zeros((3, 2)), ["a", "b", "c"], np.array([1.0, np.nan, 3.0]), title="t", value_name="um per px")
    assert [trace["name"] for trace in traces(plot)] == ["unknown", "known"]
    assert traces(plot)[1]["marker"]["color"] == [1.0, 3.0]  # type: ignore[index]
    json.dumps(plot.figure, allow_nan=False)


def test_bars_have_their_spread_and_their_numbers() -> None:
    plot = bars_plot(["conv1_2 3", "conv4_3 7"], {"impurity": ([0.2, 0.1], [0.01, 0.02])}, title="t", axis="importance")
    [bars] = traces(plot)
    assert (bars["x"], bars["error_x"]["array"]) == ([0.2, 0.1], [0.01, 0.02])  # type: ignore[index]
    assert plot.table is not None
    assert plot.table.rows[1][1].text == "0.1000 ± 0.0200"


def test_hostile_text_is_neutral_in_every_figure() -> None:
    plots = [
        confusion_plot(np.eye(2, dtype=np.int64), [HOSTILE, "b"], title="t", trials=1),
        map_plot(np.zeros((2, 2)), [HOSTILE, "b"], [HOSTILE, "b"], title="t", value_name="l", axes=(HOSTILE, "")),
        map_plot(np.zeros((2, 2)), [HOSTILE, "b"], np.zeros(2), title="t", value_name="l"),
        bars_plot([HOSTILE], {HOSTILE: ([1.0], [0.0])}, title="t", axis=HOSTILE),
    ]
    for plot in plots:
        for text in _texts(plot.figure):
            assert set(_tags(text)) <= {"<br>", "<extra></extra>"}, text
            assert "\x00" not in text
    templates = [text for plot in plots for text in _texts(plot.figure, only="hovertemplate")]
    assert templates
    assert not any("bold" in text for text in templates)  # text comes in by customdata, where %{x} is no placeholder


def _tags(text: str) -> list[str]:
    rest = text.replace("<extra></extra>", "\n<extra></extra>\n").split("\n")
    found = [part for part in rest if part == "<extra></extra>"]
    for part in rest:
        if part != "<extra></extra>":
            found += ["<br>"] * part.count("<br>")
            found += list("<" * part.replace("<br>", "").count("<"))
    return found


def _texts(value: object, only: str | None = None, name: str | None = None) -> list[str]:
    if isinstance(value, dict):
        return [text for key, one in value.items() for text in _texts(one, only, key)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one, only, name)]
    return [value] if isinstance(value, str) and only in (None, name) else []
