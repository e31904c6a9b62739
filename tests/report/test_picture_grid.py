import warnings

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from texture_store.report.evaluation_figures import figure_bytes
from texture_store.report.picture_grid import GridCell, GridRow, grid_figure
from texture_store.report.scale_bar import PixelShape

PICTURE = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (50, 1))
HOSTILE = "a$_{b}\n\x1b[31m<script>\u202egnp.tif"


def test_pictures_keep_their_shape_and_rows_take_what_their_pictures_need() -> None:
    square = GridCell(np.zeros((64, 64), np.uint8), ("first", "second"))
    figure = grid_figure([GridRow("flat", [GridCell(PICTURE)] * 2), GridRow("square", [square])], title="t")
    assert figure is not None
    boxes = [axes.get_window_extent() for axes in figure.axes]
    figure.draw_without_rendering()
    ratios = [axes.get_window_extent().height / axes.get_window_extent().width for axes in figure.axes]
    assert ratios == pytest.approx([0.5, 0.5, 1.0], abs=0.02)
    assert boxes[0].height < boxes[2].height
    assert {text.get_text() for text in figure.texts} == {"t", "flat", "square", "first", "second"}


def test_rows_do_not_overlap_whatever_text_they_carry() -> None:
    long = "very long words " * 40
    rows = [GridRow("row", [GridCell(PICTURE, ("x",) * 4)] * 5, [long, long]) for _ in range(3)]
    figure = grid_figure(rows, title=long, notes=[long])
    assert figure is not None
    figure.draw_without_rendering()
    edges = [(axes.get_window_extent().y0, axes.get_window_extent().y1) for axes in figure.axes[::5]]
    height = figure.get_window_extent().height
    texts = [text.get_window_extent() for text in figure.texts]
    assert all(box.y0 >= 0 and box.y1 <= height and box.x1 <= figure.get_window_extent().width for box in texts)
    assert all(not (low < (box.y0 + box.y1) / 2 < high) for box in texts for low, high in edges)


def test_a_box_and_an_overlay_lie_in_px_of_the_picture() -> None:
    overlay = np.zeros((25, 50, 4), np.uint8)
    cell = GridCell(PICTURE, box=(10, 5, 40, 35), overlay=overlay, shape=PixelShape(1.0, 0.5))
    figure = grid_figure([GridRow("", [cell])], title="t")
    assert figure is not None
    [axes] = figure.axes
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert {(frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) for frame in frames} == {
        (10, 5, 30, 30)
    }
    assert [image.get_extent() for image in axes.images] == [[0, 100, 50, 0]] * 2


def test_hostile_names_are_plain_text_and_missing_pictures_leave_a_gap() -> None:
    rows = [GridRow(HOSTILE, [GridCell(None, (HOSTILE,)), GridCell(PICTURE, (HOSTILE,))], [HOSTILE])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = grid_figure(rows, title=HOSTILE, notes=[HOSTILE])
        assert figure is not None
        assert figure_bytes(figure, "png")[:4] == b"\x89PNG"
    assert len(figure.axes) == 1
    assert all(text.get_text().isprintable() for text in figure.texts)


def test_nothing_to_show_is_no_figure() -> None:
    assert grid_figure([], title="t") is None
    assert grid_figure([GridRow("empty", [])], title="t") is None
