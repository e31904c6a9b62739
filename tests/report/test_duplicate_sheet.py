import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from tests.report.sheets import GREY_TILE, area, places
from texture_store.report import canvas
from texture_store.report.duplicate_sheet import Copy, CopySet, duplicate_sheet

RED, ORANGE = (0xD1, 0x24, 0x2F), (0x9A, 0x4B, 0x00)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def copies(*names: str, size: int = 64) -> list[Copy]:
    return [Copy(f"{name}.tif", name[0], name[-1], noise(size, size, seed)) for seed, name in enumerate(names)]


def drawn(*sets: CopySet, group_name: str | None = "specimen") -> np.ndarray:
    data = duplicate_sheet(sets, title="Duplicates", lines=["native"], label_name="phase", group_name=group_name)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB"))


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(text, colour) of what is written."""
    written = []
    write = canvas.write

    def remember(axes, x, y, text, **style):
        written.append((text, style["colour"]))
        write(axes, x, y, text, **style)

    monkeypatch.setattr(canvas, "write", remember)
    return written


def test_copies_are_drawn_side_by_side_without_interpolation() -> None:
    one = CopySet("identical pixels", copies("a1", "b1"), labels_differ=False, groups_differ=False)
    sheet = drawn(one)
    [[(top, left)], [(other_top, other_left)]] = [
        places(sheet, np.kron(copy.seen, np.ones((4, 4), np.uint8))) for copy in one.copies
    ]
    assert top == other_top
    assert other_left - left >= 256


def test_pictures_that_are_no_whole_part_of_the_room_stay_sharp() -> None:
    seen = noise(200, 180)
    sheet = drawn(CopySet("identical files", [Copy("a", None, None, seen)] * 3, False, False))
    assert len(places(sheet, seen)) == 3


def test_different_labels_are_said_in_red_and_different_groups_in_orange(texts: list[tuple[str, str]]) -> None:
    neither, groups, both = (
        CopySet("identical files", copies("a1", "b2"), labels_differ=labels, groups_differ=groups)
        for labels, groups in ((False, False), (False, True), (True, True))
    )
    sheet = drawn(neither)
    assert not area(sheet, RED)
    assert not area(sheet, ORANGE)
    assert ("no difference in phase or specimen", "#59636e") in texts
    texts.clear()
    sheet = drawn(groups)
    assert not area(sheet, RED)
    assert area(sheet, ORANGE)
    assert ("GROUPS DIFFER (specimen): folds by group do not keep them together", "#9a4b00") in texts
    assert not any("LABELS" in text for text, _ in texts)
    texts.clear()
    sheet = drawn(both)
    assert area(sheet, RED) > 5 * 250  # the bar beside the set
    assert area(sheet, ORANGE)
    assert ("LABELS DIFFER (phase): at most one is right", "#d1242f") in texts
    assert {("phase: a", "#d1242f"), ("phase: b", "#d1242f"), ("specimen: 2", "#9a4b00")} <= set(texts)
    assert {"a1.tif", "b2.tif", "1. identical files"} <= {text for text, _ in texts}


def test_without_a_group_column_nothing_is_said_about_groups(texts: list[tuple[str, str]]) -> None:
    sheet = drawn(CopySet("identical files", copies("a1", "b2"), False, True), group_name=None)
    assert not area(sheet, ORANGE)
    assert not any("specimen" in text or "GROUPS" in text for text, _ in texts)
    assert "no difference in phase" in {text for text, _ in texts}


def test_a_picture_that_cannot_be_read_is_a_grey_tile_that_says_so(texts: list[tuple[str, str]]) -> None:
    readable = copies("a1")[0]
    gone = Copy("gone.tif", None, " ", None, "gone.tif: gone since it was indexed; run index again")
    sheet = drawn(CopySet("identical files", [readable, gone], False, False))
    assert area(sheet, GREY_TILE) > 200 * 256
    said = " ".join(text for text, _ in texts)
    assert "cannot be read gone.tif: gone since it was indexed" in said
    assert "no phase no specimen" in said


def test_pairs_share_a_row_and_more_than_four_copies_are_not_drawn() -> None:
    pair = CopySet("identical files", copies("a1", "a1"), False, False)
    many = CopySet("identical files", copies(*["a1"] * 6), False, False)
    assert drawn(pair).shape == drawn(pair, pair).shape == drawn(many).shape
    assert drawn(pair, pair, pair).shape[0] > drawn(pair).shape[0]
    assert drawn(pair, many).shape == drawn(pair, pair, pair).shape
    fifth = np.kron(many.copies[4].seen, np.ones((4, 4), np.uint8))
    assert places(drawn(many), fifth) == []


def test_texts_of_any_script_dollars_and_control_characters_are_drawn_as_text(texts: list[tuple[str, str]]) -> None:
    hostile = "$\\frac{1}{0$ \x1b[2J\n 日本 \u202e" + "long/" * 80 + "a.png"
    one = Copy(hostile, "$x^{", hostile, None, "$\\broken{ " * 60)
    data = duplicate_sheet(
        [CopySet(hostile, [one, one], True, True)], title=hostile, lines=[hostile], label_name="$", group_name="\x07"
    )
    assert data.startswith(b"\x89PNG")
    assert all(text.isprintable() for text, _ in texts)


def test_the_same_sets_make_the_same_bytes() -> None:
    def made() -> bytes:
        one = CopySet("identical files", [*copies("a1", "b2"), Copy("c", None, None, None, "gone")], True, True)
        return duplicate_sheet([one], title="t", lines=["l"], label_name="label", group_name=None)

    assert made() == made()


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=500), width=st.integers(60, 300), bold=st.booleans())
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, width: int, bold: bool) -> None:
    weight = "bold" if bold else "normal"
    shown = canvas.shortened(text, width, size=8, weight=weight)
    plain = canvas.plain(text)
    assert shown.isprintable()
    if shown != plain:
        middle = (len(shown) - 1) // 2
        start, end = shown[:middle], shown[middle + 1 :]
        assert shown[middle] == "…"
        assert plain.startswith(start)
        assert plain.endswith(end)
    figure = Figure(dpi=100)
    written = figure.text(0, 0, shown, fontsize=8, fontweight=weight, family="DejaVu Sans", parse_math=False)
    assert written.get_window_extent().width <= width + 1


def test_the_middle_of_a_long_path_is_left_out() -> None:
    shown = canvas.shortened("steel/specimen_12/" + "x" * 300 + "/frame_07.tif", 200)
    assert shown.startswith("steel/spec")
    assert shown.endswith("frame_07.tif")
    assert canvas.shortened("short.tif", 200) == "short.tif"
