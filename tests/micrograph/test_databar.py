import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from texture_store.errors import ImageTooSmallError
from texture_store.micrograph.databar import MAX_CUT, MAX_FLOATING_CUT, Databar, find_databar
from texture_store.micrograph.decode import decode

WORDS = ("EHT = 5.00 kV", "WD = 4.1 mm", "Mag = 10.00 K X", "Signal A = SE2", "Date 3 Feb 2016", "10 um")


def texture(height: int = 600, width: int = 800, *, seed: int = 0, mean: float = 120, spread: float = 35) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2)
    return (mean + spread * blurred / blurred.std()).clip(0, 255).astype(np.uint8)


def strip(height: int, width: int, background: int, ink: int, *, lines: int = 2, smooth: bool = True) -> np.ndarray:
    drawn = np.full((height, width), background, np.uint8)
    line_height = (height - 4) / lines
    for line in range(lines):
        baseline = int(2 + line_height * (line + 0.75))
        for x, word in zip(range(8 + 5 * line, width - 100, width // 5), WORDS[line:], strict=False):
            kind = cv2.LINE_AA if smooth else cv2.LINE_8
            cv2.putText(drawn, word, (x, baseline), cv2.FONT_HERSHEY_SIMPLEX, line_height / 45, ink, 1, kind)
    return drawn


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def with_bottom(bar: np.ndarray, picture: np.ndarray | None = None) -> np.ndarray:
    return np.vstack([texture(width=bar.shape[1]) if picture is None else picture, bar])


def grey_files(folder: Path, step: int = 1, *, bare: bool = False) -> list[tuple[dict[str, str], np.ndarray]]:
    """Rows of the labels with their pictures; `bare`: only of those without a databar."""
    with (folder / "labels.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if (row.get("databar") != "with-databar") or not bare]
    return [(row, decode((folder / row["path"]).read_bytes()).grey) for row in rows[::step]]


# Real micrographs. The truth of nffa comes from its pictures: rows that are white over 60 % of the width and the black
# line around them; every one of them was looked at.


def test_the_bar_of_the_steel_archive_is_found_to_the_row(test_data: Path) -> None:
    found = [find_databar(grey) for _, grey in grey_files(test_data / "uhcs")]
    assert [(bar.method, bar.top, bar.bottom) for bar in found] == [("bottom", 484, 522)] * 38


def test_no_bar_pixel_is_left_of_data_zones_inside_the_picture_and_no_more_is_cut(test_data: Path) -> None:
    folder = test_data / "nffa"
    with (folder / "labels.csv").open() as lines:
        paths = [row["path"] for row in csv.DictReader(lines) if row["databar"] == "with-databar"]
    images = [decode((folder / path).read_bytes()).grey for path in paths]
    assert len(images) == 30
    for grey in images:
        white = np.flatnonzero((grey >= 250).mean(axis=1) > 0.6)
        bar = find_databar(grey)
        assert (bar.method, bar.top, bar.bottom) == ("floating", white[0] - 1, white[-1] + 2)
        assert bar.top >= (1 - MAX_FLOATING_CUT) * len(grey)
        assert find_databar(grey, policy="none").has_marks  # what is not cut is at least reported


@pytest.mark.parametrize(
    ("folder", "step"),
    [
        ("nffa", 3),
        ("neu", 20),
        ("schott", 20),
        *(pytest.param(folder, 1, marks=pytest.mark.slow) for folder in ("nffa", "neu", "schott")),
    ],
)
def test_nothing_is_cut_of_real_pictures_without_a_bar(test_data: Path, folder: str, step: int) -> None:
    found = [find_databar(grey) for _, grey in grey_files(test_data / folder, step, bare=True)]
    assert len(found) >= 17
    assert all(bar.method == "none" and bar.kept_rows(7) == 7 for bar in found)
    assert sum(bar.has_marks for bar in found) <= max(1, 0.02 * len(found))


# Drawn bars.


@pytest.mark.parametrize(("background", "ink"), [(0, 255), (255, 0), (0, 200), (200, 20), (60, 250), (128, 255)])
@pytest.mark.parametrize("height", [28, 60, 110])
def test_a_bar_under_the_picture_is_cut_at_its_top_whatever_its_colours_and_height(
    background: int, ink: int, height: int
) -> None:
    grey = with_bottom(strip(height, 800, background, ink))
    assert find_databar(grey) == Databar("bottom", 600, 0, 800, 600 + height)


@pytest.mark.parametrize(("background", "ink"), [(255, 0), (0, 255), (160, 0)])
def test_a_bar_inside_the_picture_is_cut_at_its_top_with_the_rows_below(background: int, ink: int) -> None:
    grey = texture()
    grey[500:550, 3:796] = strip(50, 793, background, ink)
    assert find_databar(grey) == Databar("floating", 500, 3, 796, 550)


def test_the_line_around_a_bar_belongs_to_it() -> None:
    grey = texture()
    grey[500:550, 3:796] = strip(50, 793, 255, 0)
    cv2.rectangle(grey, (2, 499), (796, 550), 0, 1)
    bar = find_databar(grey)
    assert (bar.method, bar.top, bar.bottom) == ("floating", 499, 551)


def test_cells_of_a_bar_do_not_hide_it() -> None:
    drawn = strip(60, 800, 0, 255)
    drawn[:, ::133] = 255
    drawn[30] = 255
    assert find_databar(with_bottom(drawn)).top == 600


@pytest.mark.parametrize("quality", [60, 80, 95])
@pytest.mark.parametrize(("background", "ink"), [(0, 255), (255, 0), (128, 255)])
def test_jpeg_leaves_the_top_within_a_row(quality: int, background: int, ink: int) -> None:
    found = find_databar(jpeg(with_bottom(strip(60, 800, background, ink)), quality))
    assert found.method == "bottom"
    assert found.top is not None
    assert 599 <= found.top <= 600


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_a_dim_picture_of_many_bits_beside_text_at_full_scale_is_read_alike(kind: type) -> None:
    picture = texture().astype(kind) * 3 + 100
    drawn = (strip(60, 800, 0, 255, smooth=False) > 0).astype(kind) * 65535
    assert find_databar(np.vstack([picture, drawn])).top == 600
    grey = np.vstack([picture, 65535 - drawn])
    assert find_databar(grey).top == 600


def test_a_dark_picture_over_a_black_bar_keeps_its_own_rows() -> None:
    dark = texture(mean=9, spread=2).clip(2, 255)
    assert find_databar(with_bottom(strip(60, 800, 0, 255), dark)).top == 600


def test_a_void_that_reaches_the_bar_does_not_move_its_top() -> None:
    picture = texture()
    picture[400:, 500:] = 0
    assert find_databar(with_bottom(strip(60, 800, 0, 255), picture)).top == 600


def test_two_bars_differ_by_the_picture_added_above() -> None:
    grey = with_bottom(strip(60, 800, 0, 255))
    taller = np.vstack([texture(300, seed=5), grey])
    assert find_databar(taller).top == find_databar(grey).top + 300  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(6))
def test_a_mirrored_picture_has_the_same_top(seed: int) -> None:
    grey = with_bottom(strip(40 + 5 * seed, 800, 0, 255), texture(seed=seed))
    assert find_databar(grey[:, ::-1]).top == find_databar(grey).top == 600


# Pictures that only look as if.


def _void() -> np.ndarray:
    grey = texture()
    edge = (520 + 9 * np.sin(np.arange(800) / 90)).astype(int)
    grey[np.arange(600)[:, None] > edge] = 0
    return grey


def _particles_on_black() -> np.ndarray:
    return np.where(texture(mean=0, spread=100) > 160, 220, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "grey",
    [
        np.zeros((600, 800), np.uint8),
        np.full((600, 800), 255, np.uint8),
        np.full((600, 800), 7.5, np.float32),
        _void(),
        255 - _void(),
        _particles_on_black(),
        255 - _particles_on_black(),
        texture(mean=5, spread=2),
        texture(mean=240, spread=40),
        np.where(texture() > 120, 200, 60).astype(np.uint8),
        np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8),
        np.repeat(np.arange(200, dtype=np.uint8), 3)[:, None].repeat(800, 1),
        np.kron(np.indices((30, 40)).sum(axis=0) % 2 * 255, np.ones((20, 20))).astype(np.uint8),
    ],
    ids=[
        *("black", "white", "flat", "void", "bright-void", "particles", "pores"),
        *("dark", "bright", "two-phase", "noise", "ramp", "chequers"),
    ],
)
def test_a_picture_without_a_bar_is_kept_whole(grey: np.ndarray) -> None:
    assert find_databar(grey).method == "none"


def test_a_bar_higher_than_a_fifth_is_not_cut_but_reported() -> None:
    grey = texture()
    grey[420:480] = strip(60, 800, 255, 0)
    assert find_databar(grey) == Databar("none", has_marks=True)


# Policies and the vendor's rows.


def test_policy_none_cuts_nothing() -> None:
    grey = with_bottom(strip(60, 800, 0, 255))
    assert find_databar(grey, policy="none", vendor_rows=60).kept_rows(660) == 660


def test_a_fixed_number_of_rows_is_cut_from_the_bottom() -> None:
    assert find_databar(texture(), policy="38") == Databar("rows", 562, 0, 800, 600)
    assert find_databar(texture(), policy="0").method == "none"
    assert find_databar(texture(), policy="120").top == 480


def test_a_fixed_number_of_rows_above_a_fifth_rejects_the_image_with_the_numbers() -> None:
    with pytest.raises(ImageTooSmallError, match="121 of 600 rows"):
        find_databar(texture(), policy="121")


def test_the_vendors_rows_come_before_what_the_picture_shows() -> None:
    grey = with_bottom(strip(60, 800, 0, 255))
    assert find_databar(grey, vendor_rows=62) == Databar("vendor", 598, 0, 800, 660)


@pytest.mark.parametrize("rows", [0, -3, 133, 660, 10_000])
def test_impossible_rows_of_a_vendor_leave_it_to_the_picture(rows: int) -> None:
    assert find_databar(with_bottom(strip(60, 800, 0, 255)), vendor_rows=rows).method == "bottom"


def test_a_vendor_tag_that_outlived_a_crop_cuts_nothing() -> None:
    assert find_databar(texture(), vendor_rows=60).method == "none"


def test_a_flat_blank_strip_is_cut_only_on_the_vendors_word() -> None:
    grey = with_bottom(np.zeros((40, 800), np.uint8))
    assert find_databar(grey).method == "none"
    assert find_databar(grey, vendor_rows=40).top == 600


# Marks.


@pytest.mark.parametrize("quality", [None, 85])
@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("kind", ["bar", "line with ends", "box of text"])
def test_marks_inside_the_picture_are_reported_and_not_cut(kind: str, ink: int, quality: int | None) -> None:
    grey = texture()
    if kind == "bar":
        grey[560:566, 600:760] = ink
    elif kind == "line with ends":
        grey[560, 600:760] = ink
        grey[555:566, [600, 759]] = ink
    else:
        grey[530:570, 20:180] = ink
        cv2.putText(grey, "10 um", (30, 560), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255 - ink, 1)
    found = find_databar(grey if quality is None else jpeg(grey, quality))
    assert (found.method, found.has_marks) == ("none", True)


def test_the_text_of_a_bar_that_is_cut_is_no_mark() -> None:
    assert not find_databar(with_bottom(strip(60, 800, 0, 255))).has_marks


# Laws.

KINDS = st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.float64, np.bool_])


@settings(max_examples=60, deadline=None)
@given(KINDS.flatmap(lambda kind: arrays.arrays(kind, st.tuples(st.integers(0, 40), st.integers(0, 40)))))
def test_any_array_gets_an_answer_that_keeps_most_of_it(grey: np.ndarray) -> None:
    bar = find_databar(grey)
    height = len(grey)
    assert bar.kept_rows(height) >= (1 - MAX_FLOATING_CUT) * height
    if bar.method == "bottom":
        assert bar.kept_rows(height) >= (1 - MAX_CUT) * height
    assert (bar.method == "none") == (bar.top is None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(120, 500), st.integers(120, 500), st.integers(0, 3))
def test_pictures_made_of_flat_pieces_keep_most_of_themselves(seed: int, height: int, width: int, kind: int) -> None:
    random = np.random.default_rng(seed)
    grey = random.choice([0, 60, 255], (height // 8 + 1, width // 8 + 1)).astype(np.uint8)
    grey = grey.repeat(8, 0).repeat(8, 1)[:height, :width]
    grey[random.integers(height) :] = [0, 255, 128, 7][kind]
    assert find_databar(grey).kept_rows(height) >= (1 - MAX_FLOATING_CUT) * height
    assert find_databar(grey) == find_databar(grey.copy())


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 900), (900, 1), (9, 9)])
def test_tiny_and_empty_pictures_have_no_bar(shape: tuple[int, int]) -> None:
    assert find_databar(np.zeros(shape, np.uint8)) == Databar("none")


def test_values_that_are_no_numbers_do_not_disturb() -> None:
    grey = texture().astype(np.float32)
    grey[::7, ::5] = np.nan
    grey[1, 1], grey[2, 2] = np.inf, -np.inf
    assert find_databar(grey).method == "none"
    assert find_databar(np.full((50, 50), np.nan)).method == "none"


def test_a_colour_array_is_refused() -> None:
    with pytest.raises(ValueError, match="2 axes"):
        find_databar(np.zeros((4, 4, 3), np.uint8))
