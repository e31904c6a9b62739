import io
import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from texture_store.explain.patches import Patch
from texture_store.report.evaluation_figures import figure_bytes
from texture_store.report.exemplar_figure import Exemplar, FilterExemplars, exemplar_figure


def exemplar(
    *, patch: Patch | None = None, path: str = "images/a.tif", label: str | None = None, **facts: Any
) -> Exemplar:
    picture = np.random.default_rng(len(path)).integers(0, 256, (200, 300), np.uint8)
    return Exemplar(picture, patch or Patch(40, 60, 96, 321.4), 87.65, path, label, facts)


def row(number: int = 17, *exemplars: Exemplar, **changes: Any) -> FilterExemplars:
    return FilterExemplars("conv4_3", number, exemplars or (exemplar(), exemplar(path="b.tif")), **changes)


def drawn(*rows: FilterExemplars, title: str = "Exemplars") -> Figure:
    figure = exemplar_figure(rows, title=title)
    assert figure is not None
    figure_bytes(figure, "png")
    return figure


def pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def boxes(axes: Axes) -> set[tuple[float, float, float, float]]:
    return {patch.get_bbox().bounds for patch in axes.patches if isinstance(patch, Rectangle)}


def test_a_row_shows_texture_then_patches_then_micrographs() -> None:
    texture = np.full((128, 128), 77, np.uint8)
    first, second = exemplar(), exemplar(path="b.tif", patch=Patch(0, 0, 64, 1.0))
    found = pictures(drawn(row(17, first, second, texture=texture)))
    expected = [texture, first.picture[60:156, 40:136], first.picture, second.picture[:64, :64], second.picture]
    assert len(found) == len(expected)
    for shown, picture in zip(found, expected, strict=True):
        np.testing.assert_array_equal(shown, picture)
    order = [axes.get_position().x0 for axes in drawn(row(17, first, second, texture=texture)).axes]
    assert order[0] < order[1] < order[3] < order[2] < order[4]


def test_the_box_in_a_micrograph_is_that_of_its_patch() -> None:
    figure = drawn(row(17, exemplar(patch=Patch(33, 44, 96, 1.0))))
    assert boxes(figure.axes[0]) == set()
    assert boxes(figure.axes[1]) == {(33, 44, 96, 96)}


def test_pictures_stand_in_columns_under_each_other_and_rows_do_not_overlap() -> None:
    figure = drawn(row(1), row(2, exemplar(), texture=np.zeros((64, 64), np.uint8)), row(3, exemplar()))
    assert len(figure.axes) == 4 + 3 + 2
    lefts = sorted({round(axes.get_position(original=True).x0, 6) for axes in figure.axes})
    assert len(lefts) == 1 + 2 + 2
    extents = [
        [axes.get_window_extent() for axes in figure.axes[part]] for part in (slice(0, 4), slice(4, 7), slice(7, 9))
    ]
    for upper, lower in itertools.pairwise(extents):
        assert min(extent.y0 for extent in upper) > max(extent.y1 for extent in lower)


def test_stretched_pictures_and_their_patches_are_shown_unstretched() -> None:
    figure = drawn(row(17, exemplar(px_per_px_x=1.5, px_per_px_y=1.0)))
    patch, micrograph = (axes.get_window_extent() for axes in figure.axes)
    np.testing.assert_allclose(patch.width / patch.height, 1.5, rtol=1e-6)
    np.testing.assert_allclose(micrograph.width / micrograph.height, 300 * 1.5 / 200, rtol=1e-6)


def test_patches_and_micrographs_have_their_own_scale_bars_when_the_scale_is_known() -> None:
    known, unknown = exemplar(um_per_px_x=0.1, um_per_px_y=0.1), exemplar(um_per_px_x=None, um_per_px_y=None)
    figure = drawn(row(17, known, unknown))
    labels = [
        [a.txt_label.get_children()[0].get_text() for a in axes.artists if isinstance(a, AnchoredSizeBar)]
        for axes in figure.axes
    ]
    assert labels == [["2 µm"], ["10 µm"], [], []]


def test_text_names_filter_note_means_labels_and_paths() -> None:
    figure = drawn(row(17, exemplar(label="network"), note="importance 3 %\n[559, 329, 33]"))
    texts = [text.get_text() for text in figure.texts]
    assert texts == [
        *("Exemplars", "patches", "micrographs", "conv4_3", "filter 17", "importance 3 %", "[559, 329, 33]"),
        *("mean 321", "", "mean 87.7, network", "images/a.tif"),
    ]


def test_a_filter_without_exemplars_or_texture_has_its_name_alone() -> None:
    figure = drawn(FilterExemplars("conv5_3", 3, [], note="dead"))
    assert [text.get_text() for text in figure.texts] == ["Exemplars", "conv5_3", "filter 3", "dead"]
    assert exemplar_figure([], title="t") is None


def test_hostile_text_is_drawn_as_text_inside_the_figure() -> None:
    hostile = "$\\frac{1}{0$ \x1b[2J\n 日本 \u202e" + "long/" * 80 + "$x^{.png"
    figure = drawn(row(17, exemplar(path=hostile, label=hostile), note=hostile), title=hostile)
    for text in figure.texts:
        assert text.get_text().isprintable()
        extent = text.get_window_extent()
        assert extent.x1 <= figure.bbox.width
        assert extent.y0 >= 0


def test_the_same_input_makes_the_same_bytes() -> None:
    first, second = (figure_bytes(drawn(row(note="n"), row(18)), "png") for _ in range(2))
    assert first == second
    assert np.asarray(Image.open(io.BytesIO(first))).std() > 0
