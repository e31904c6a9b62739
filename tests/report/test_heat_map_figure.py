import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from texture_store.errors import DimensionMismatchError
from texture_store.micrograph.reading import read_micrograph
from texture_store.report.evaluation_figures import figure_bytes
from texture_store.report.heat_map_figure import heat_map_figure
from texture_store.spec import PixelSpec

STRETCHED = {"px_per_px_x": 645 / 512, "px_per_px_y": 484 / 512}
HOSTILE = "$\\frac{1}{0$ \x1b[2J\n 日本 \u202e" + "long/" * 80 + "$x^{.png"


def made(
    height: int = 512,
    width: int = 512,
    *,
    activation: np.ndarray | None = None,
    path: str = "images/a.tif",
    label: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Figure:
    picture = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    if activation is None:
        activation = np.zeros((height // 8, width // 8), np.float32)
        activation[height // 24, width // 12] = 640
    return heat_map_figure(
        picture, activation, layer="conv4_3", filter_number=17, path=path, label=label, facts=facts or {}
    )


def pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figure_bytes(figure, "png"))).convert("RGB")).astype(int)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def panel(figure: Figure, number: int) -> np.ndarray:
    """What is drawn in one of the axes."""
    drawn = pixels(figure)
    place = figure.axes[number].get_position()
    rows, columns = drawn.shape[:2]
    top, bottom = round((1 - place.y1) * rows), round((1 - place.y0) * rows)
    return drawn[top:bottom, round(place.x0 * columns) : round(place.x1 * columns)]


def test_a_picture_that_was_stretched_to_a_square_is_shown_unstretched_twice() -> None:
    figure = made(facts=STRETCHED)
    figure.draw_without_rendering()
    plain, mapped, bar = (axes.get_window_extent() for axes in figure.axes)
    for extent in (plain, mapped):
        np.testing.assert_allclose(extent.width / extent.height, 645 / 484, rtol=1e-3)
    assert (plain.width, plain.y0, plain.y1) == pytest.approx((mapped.width, mapped.y0, mapped.y1))
    assert (bar.y0, bar.y1) == pytest.approx((mapped.y0, mapped.y1))


@pytest.mark.parametrize(("height", "width"), [(512, 512), (500, 333), (128, 900), (900, 128)])
def test_the_brightest_of_the_map_lies_where_the_activation_is(height: int, width: int) -> None:
    picture = np.full((height, width), 128, np.uint8)
    activation = np.zeros((height // 8, width // 8), np.float32)
    row, column = activation.shape[0] // 3, activation.shape[1] * 2 // 3
    activation[row, column] = 100
    figure = heat_map_figure(picture, activation, layer="conv4_3", filter_number=0, path="a", facts={})
    shown = panel(figure, 1)
    brightness = shown.sum(axis=2)
    y, x = (np.nonzero(brightness >= brightness.max() - 3)[axis].mean() + 0.5 for axis in (0, 1))
    scale = shown.shape[1] / width
    assert abs(y - (row + 0.5) * 8 * scale) <= 1.5 + scale
    assert abs(x - (column + 0.5) * 8 * scale) <= 1.5 + scale


def test_the_title_tells_filter_mean_and_path() -> None:
    activation = np.full((64, 64), 23.44, np.float32)
    found = texts(made(activation=activation, label="network"))
    assert found == ["conv4_3 filter 17, mean activation 23.4", "images/a.tif  [network]"]


def test_the_colour_bar_begins_at_0_and_ends_at_the_highest_activation() -> None:
    bar = made().axes[2]
    assert bar.get_ylim() == (0, 640)
    assert bar.get_ylabel() == "activation"


def test_a_filter_that_is_silent_in_the_picture_has_a_figure() -> None:
    figure = made(activation=np.zeros((64, 64), np.float32))
    assert figure.axes[2].get_ylim() == (0, 1)
    assert texts(figure)[0].endswith("mean activation 0")
    assert pixels(figure).std() > 0


def test_the_input_layer_has_values_below_0() -> None:
    picture = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) % 256
    figure = heat_map_figure(
        picture.astype(np.uint8), picture - 123.68, layer="input", filter_number=0, path="a", facts={}
    )
    np.testing.assert_allclose(figure.axes[2].get_ylim(), (-123.68, 131.32), rtol=1e-5)


@pytest.mark.parametrize("facts", [{}, STRETCHED, STRETCHED | {"um_per_px_x": None, "um_per_px_y": 0.1}])
def test_without_a_known_scale_there_is_no_bar(facts: dict[str, Any]) -> None:
    assert not any(isinstance(a, AnchoredSizeBar) for axes in made(facts=facts).axes for a in axes.artists)


def test_hostile_paths_are_drawn_as_text_and_inside_the_figure() -> None:
    figure = made(path=HOSTILE, label="$\\x^{\n")
    (shown,) = (text for text in figure.texts if text.get_text().startswith("$"))
    assert "\n" not in shown.get_text()
    assert "\x1b" not in shown.get_text()
    assert shown.get_text().endswith("[$\\x^{?]")
    first = figure_bytes(figure, "png")
    extent = shown.get_window_extent()
    assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width
    assert len(first) > 0


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 2000), (2000, 64)])
def test_small_flat_and_tall_pictures_have_figures(height: int, width: int) -> None:
    activation = np.ones((height // 8, width // 8), np.float32)
    figure = made(height, width, activation=activation, facts={"um_per_px_x": 0.5, "um_per_px_y": 0.5})
    assert pixels(figure).std() > 0
    for text in figure.texts:
        assert text.get_window_extent().x1 <= figure.bbox.width


def test_the_same_input_makes_the_same_bytes() -> None:
    facts = STRETCHED | {"um_per_px_x": 0.1, "um_per_px_y": 0.07}
    first, second = (figure_bytes(made(facts=facts, path=HOSTILE), "png") for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_a_map_of_another_picture_is_refused() -> None:
    with pytest.raises(DimensionMismatchError, match="a conv4_3 map of a 512 x 512 px picture"):
        made(activation=np.zeros((63, 64), np.float32))


@pytest.mark.parametrize(("name", "databar_um"), [("micrograph10.png", 10), ("micrograph33.tif", 500)])
def test_the_bar_agrees_with_the_one_in_the_databar(test_data: Path, name: str, databar_um: float) -> None:
    """The instrument's own bar is white on black in the cut rows; its length is written beside it."""
    path = test_data / "uhcs" / "images" / name
    strip = np.asarray(Image.open(path).convert("L"))[484:]
    ends = np.flatnonzero(np.diff(np.pad((strip[8] > 200).astype(int), 1)))
    databar_px = (ends[1::2] - ends[::2]).max()
    rows = csv.DictReader((test_data / "uhcs" / "labels.csv").open())
    um_per_px = next(float(row["um_per_px"]) for row in rows if row["path"].endswith(f"/{name}"))
    micrograph = read_micrograph(path.read_bytes(), PixelSpec(size="512x512"), name=name)
    facts: dict[str, Any] = dict(micrograph.facts)
    facts |= {f"um_per_px_{axis}": um_per_px * facts[f"px_per_px_{axis}"] for axis in "xy"}
    activation = np.zeros((64, 64), np.float32)
    figure = heat_map_figure(micrograph.seen, activation, layer="conv4_3", filter_number=0, path=name, facts=facts)
    (bar,) = (artist for artist in figure.axes[0].artists if isinstance(artist, AnchoredSizeBar))
    figure.draw_without_rendering()
    drawn = bar.size_bar.get_children()[0].get_window_extent().width / figure.axes[0].get_window_extent().width
    length_um = float(bar.txt_label.get_children()[0].get_text().removesuffix(" µm"))
    np.testing.assert_allclose(drawn * 645 / length_um, databar_px / databar_um, rtol=0.01)
