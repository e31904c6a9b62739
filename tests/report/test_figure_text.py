import contextlib

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from texture_store.report.figure_text import fitting, wrapped, write

PATHS = ["a/" * 90 + "b.tif", "WWW/" * 40, "images/specimen 17 (970 °C, 8 h)/micrograph_0001.tif" * 3, "日本/" * 50]


@pytest.mark.parametrize("text", PATHS)
@pytest.mark.parametrize("size", [7, 8, 10])
def test_a_long_name_fits_its_line_and_keeps_its_ends(text: str, size: float) -> None:
    shown = fitting(text, 4.0, size=size)
    assert shown.startswith(text[:5])
    assert shown.endswith(text[-5:])
    if "W" in text:  # wider than paths are
        return
    figure = Figure(figsize=(6, 2), dpi=100)
    canvas = FigureCanvasAgg(figure)
    drawn = write(figure, 0, 0, shown, size=size)
    with pytest.warns(UserWarning, match="Glyph") if "日" in text else contextlib.nullcontext():
        width = drawn.get_window_extent(canvas.get_renderer()).width / figure.dpi
    assert width <= 4.0


def test_short_names_stay_and_what_cannot_be_seen_is_a_question_mark() -> None:
    assert fitting("images/µ $x$ é.tif", 4, size=8) == "images/µ $x$ é.tif"
    assert fitting("a\x1b[2J\nb\u202ec\u2028d\ud800", 4, size=8) == "a?[2J?b?c?d?"
    assert fitting("", 4, size=8) == ""


def test_a_dollar_is_a_dollar() -> None:
    figure = Figure()
    canvas = FigureCanvasAgg(figure)
    for text in ("$\\frac{1}{0$", "$x^{", r"\undefined$$"):
        write(figure, 0, 0, text, size=8).get_window_extent(canvas.get_renderer())
        assert figure.texts[-1].get_text() == text


def test_notes_are_wrapped_and_end_when_they_are_too_long() -> None:
    assert wrapped("importance 3 %\n[559, 329, 33]", 2, size=7, lines=4) == ["importance 3 %", "[559, 329, 33]"]
    assert wrapped("", 2, size=7, lines=4) == []
    lines = wrapped("word " * 100, 1, size=7, lines=3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
