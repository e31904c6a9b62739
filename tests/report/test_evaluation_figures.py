import xml.etree.ElementTree as ElementTree
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.evaluation_rows import evaluation_row, evaluation_table
from texture_store.report.evaluation_figures import figure_bytes, layers_figure, together_figure
from texture_store.report.evaluation_tables import score_table
from texture_store.store.evaluations import evaluations_frame

LEVELS = {"input": 0.4, "conv1_2": 0.7, "conv4_3": 0.95, "all": 0.9}


def scores(layers: list[str], protocols: tuple[str, ...] = ("image", "group"), **changes: object) -> pd.DataFrame:
    rows = [
        evaluation_row(
            encoder,
            layer,
            trial=trial,
            protocol=protocol,
            folds=(LEVELS[layer], LEVELS[layer] - 0.05 * trial),
            **changes,
        )
        for encoder in ("mean", "gram")
        for layer in layers
        for protocol in protocols
        for trial in range(2)
    ]
    return score_table(evaluations_frame({"steel": evaluation_table(rows)}))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def test_each_encoder_has_a_line_through_its_means_in_each_panel() -> None:
    table = scores(["input", "conv1_2", "conv4_3"])
    figure = drawn(layers_figure(table, title="t", score_name="F1"))
    assert [axes.get_title() for axes in figure.axes] == ["folds by image", "folds by group"]
    for axes, protocol in zip(figure.axes, ("image", "group"), strict=True):
        lines = {c.get_label(): np.asarray(c.lines[0].get_ydata(), float) for c in axes.containers}
        expected = table[(table["protocol"] == protocol) & (table["encoder"] == "gram")]["mean"]
        np.testing.assert_allclose(lines["gram"], expected)
        assert set(lines) == {"mean", "gram"}
        assert [label.get_text() for label in axes.get_xticklabels()] == ["input", "conv1_2", "conv4_3"]


def test_baselines_below_the_axis_are_told_in_the_legend() -> None:
    figure = drawn(layers_figure(scores(["conv1_2", "conv4_3"], ("image",)), title="t", score_name="F1"))
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["mean", "gram", "metadata alone 0.50, below the axis", "majority 0.25, below the axis"]
    low, high = figure.axes[0].get_ylim()
    assert high - low >= 0.2


def test_unknown_baselines_are_not_drawn() -> None:
    table = scores(["conv1_2", "conv4_3"], ("image",), metadata=None)
    texts = [
        text.get_text()
        for text in drawn(layers_figure(table, title="t", score_name="F1")).axes[0].get_legend().get_texts()
    ]
    assert not any("metadata" in text for text in texts)


def test_all_layers_together_stand_beside_each_alone() -> None:
    figure = drawn(together_figure(scores(["input", "conv1_2", "conv4_3", "all"]), title="t", score_name="F1"))
    labels = [container.get_label() for container in figure.axes[0].containers]
    assert labels == ["conv1_2", "conv4_3", "all five"]


def test_a_figure_that_would_show_nothing_is_none() -> None:
    assert together_figure(scores(["conv1_2", "conv4_3"]), title="t", score_name="F1") is None
    assert together_figure(scores(["all"]), title="t", score_name="F1") is None
    assert layers_figure(scores(["conv1_2", "all"]), title="t", score_name="F1") is None


def test_failed_sets_leave_a_gap() -> None:
    table = scores(["conv1_2", "conv4_3"])
    table.loc[table["layer"] == "conv1_2", ["mean", "sd"]] = np.nan
    figure_bytes(drawn(layers_figure(table, title="t", score_name="F1")), "png")
    table[["mean", "sd"]] = np.nan
    figure_bytes(drawn(layers_figure(table, title="t", score_name="F1")), "png")


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_files_are_readable_and_the_same_every_time(kind: str) -> None:
    table = scores(["conv1_2", "conv4_3"], ("image",))
    first, second = (
        figure_bytes(drawn(layers_figure(table, title="µ <b>&", score_name="F1")), kind)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert first == second
    if kind == "png":
        assert np.asarray(Image.open(BytesIO(first))).std() > 0
    else:
        assert "µ <b>&" in "".join(ElementTree.fromstring(first).itertext())
