"""Text in figures: file names, which nobody has checked, and activations."""

import bisect
import textwrap
import warnings

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

INK, QUIET = "#1f2328", "#59636e"

_POINTS_PER_INCH = 72
_EMS_PER_CHARACTER = 0.6
"""DejaVu Sans on average."""
_HINTED = 1.05
"""Letters are set on whole pixels, up to so much wider than their outlines at 100 dpi."""


def fitting(text: str, width_inches: float, *, size: float, weight: str = "normal") -> str:
    """What of a text fits on one line: control characters (also line breaks, and those that turn the direction of
    writing) are `?`, and the middle of a longer text is left out, since names differ at their ends."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    font = FontProperties(size=size, weight=weight)

    def overflow(most: int) -> float:
        return _width_inches(_shortened(plain, most), font) - width_inches

    # More characters than this do not fit in any script that DejaVu Sans has; measuring a long text takes long.
    longest = min(len(plain), int(width_inches * _POINTS_PER_INCH / (size * 0.2)))
    return _shortened(plain, bisect.bisect_right(range(longest + 1), 0.0, lo=1, key=overflow) - 1)


def wrapped(text: str, width_inches: float, *, size: float, lines: int) -> list[str]:
    """A text on as many lines as it needs, at most `lines`; each line is `fitting`."""
    most = max(1, int(width_inches * _POINTS_PER_INCH / (size * _EMS_PER_CHARACTER)))
    found = [part for line in text.splitlines() for part in textwrap.wrap(line, most) or [""]]
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1]} …"]
    return [fitting(line, width_inches, size=size) for line in found]


def write(figure: Figure, x: float, y: float, text: str, *, size: float, weight: str = "normal", **style: str) -> Text:
    """A line whose top is `y` inches under the figure's top, from `x` inches on; a `$` in it is no formula."""
    width, height = figure.get_size_inches()
    place = x / width, 1 - y / height
    colour, ha = style.get("colour", INK), style.get("ha", "left")
    return figure.text(*place, text, fontsize=size, fontweight=weight, color=colour, ha=ha, va="top", parse_math=False)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = most // 2
    tail = most - 1 - head
    return f"{text[:head]}…{text[len(text) - tail :]}" if most > 1 else "…"


def _width_inches(text: str, font: FontProperties) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a box is drawn for what the font does not have
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * _HINTED / _POINTS_PER_INCH
