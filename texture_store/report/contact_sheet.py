"""A contact sheet as PNG: each whole picture with its databar, beside what the network receives."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from texture_store.report import canvas
from texture_store.report.canvas import INK, PROBLEM, QUIET, WARNING
from texture_store.report.previewed import (
    Overview,
    Previewed,
    describe_databar,
    describe_scale,
    frame,
    kept_rows,
    warnings_of,
)
from texture_store.report.thumbnail import thumbnail

_PICTURE_PX = 190
_GAP_PX = 8
_CAPTION_PX = 66
_TILE_WIDTH = 2 * _PICTURE_PX + 3 * _GAP_PX
_TILE_HEIGHT = _PICTURE_PX + _CAPTION_PX
_CAPTION_CHARACTERS = 76
_MAX_COLUMNS = 5
_LINE_PX = 15
_FRAME = "#0969da"


def contact_sheet(images: Sequence[Previewed], summary: Overview, *, title: str, settings: str) -> bytes:
    """The sheet as PNG, the same bytes for the same input."""
    columns = max(1, min(_MAX_COLUMNS, len(images)))
    rows = -(-len(images) // columns)
    width = max(columns * _TILE_WIDTH, 2 * _TILE_WIDTH)
    lines = [settings, _legend(), *_count_lines(summary), *(f"! {finding}" for finding in summary.findings)]
    head = 40 + _LINE_PX * len(lines) + 14
    height = head + rows * _TILE_HEIGHT
    axes = canvas.blank(width, height)
    _write(axes, _GAP_PX, 22, title, size=14, weight="bold")
    for number, line in enumerate(lines):
        colour = WARNING if line.startswith("! ") else INK if number == 0 else QUIET
        _write(axes, _GAP_PX, 46 + _LINE_PX * number, line, colour=colour, limit=width // 6)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        _draw_tile(axes, image, column * _TILE_WIDTH + _GAP_PX, head + row * _TILE_HEIGHT)
    return canvas.png(axes)


def _legend() -> str:
    return "left: the whole file (red: cut with the databar; blue: centre crop) - right: what the network receives"


def _count_lines(summary: Overview) -> list[str]:
    return [
        f"{title}: " + ", ".join(f"{value} ({number})" for value, number in counts)
        for title, counts in summary.counts.items()
        if counts
    ]


def _draw_tile(axes: Axes, image: Previewed, x: float, y: float) -> None:
    if image.whole is not None:
        scale = _draw_picture(axes, image.whole, x, y)
        if image.seen is not None:
            _draw_boxes(axes, image, x, y, scale * image.whole.shape[1] / image.facts["width"])
    if image.seen is None:
        canvas.draw_box(axes, x + _PICTURE_PX + _GAP_PX, y, _PICTURE_PX, _PICTURE_PX, "#ffebe9")
    else:
        _draw_picture(axes, image.seen, x + _PICTURE_PX + _GAP_PX, y)
    caption = y + _PICTURE_PX + 12
    for number, (line, colour) in enumerate(_caption(image)):
        _write(axes, x, caption + 12 * number, line, size=6.5, colour=colour, limit=_CAPTION_CHARACTERS + 2)


def _draw_picture(axes: Axes, picture: np.ndarray, x: float, y: float) -> float:
    """Draws it with its lower left corner at the tile's; returns sheet px per picture px."""
    height, width = picture.shape
    scale: float = min(_PICTURE_PX / width, _PICTURE_PX / height)
    top = y + _PICTURE_PX - height * scale
    small = thumbnail(picture, _PICTURE_PX, _PICTURE_PX)
    canvas.draw_picture(axes, small, x, top, width * scale, height * scale)
    return scale


def _draw_boxes(axes: Axes, image: Previewed, x: float, y: float, scale: float) -> None:
    facts = image.facts  # in file px; `scale` is sheet px per file px
    top = y + _PICTURE_PX - facts["height"] * scale

    def rectangle(left: float, upper: float, right: float, lower: float, **style: object) -> None:
        corner = (x + left * scale, top + upper * scale)
        axes.add_patch(Rectangle(corner, (right - left) * scale, (lower - upper) * scale, **style))  # type: ignore[arg-type]

    if facts["databar_top"] is not None:
        kept = kept_rows(facts)
        rectangle(0, kept, facts["width"], facts["height"], facecolor=PROBLEM, alpha=0.3, linewidth=0)
        box = (facts["databar_left"], facts["databar_top"], facts["databar_right"], facts["databar_bottom"])
        rectangle(*box, fill=False, edgecolor=PROBLEM, linewidth=0.9)
        edge = top + kept * scale
        axes.plot([x, x + facts["width"] * scale], [edge, edge], color=PROBLEM, linewidth=1.2)
    left, upper, right, lower = frame(facts)
    if left >= 1 or upper >= 1:
        rectangle(left, upper, right, lower, fill=False, edgecolor=_FRAME, linewidth=1, linestyle="--")


def _caption(image: Previewed) -> list[tuple[str, str]]:
    name = image.path if image.label is None else f"{image.path}  [{image.label}]"
    if image.seen is None:
        return [(name, INK), *((line, PROBLEM) for line in _wrapped(image.reason or "", 3))]
    facts = image.facts
    size = f"{facts['width']} x {facts['height']} -> {facts['seen_width']} x {facts['seen_height']} px"
    grey = f"grey {facts['grey_min']:g} to {facts['grey_max']:g} of {facts['bit_depth']} bit"
    scale = describe_scale(facts["um_per_px_x"], facts["um_per_px_y"])
    scale = f"{scale} um per px seen" if facts["um_per_px_x"] else scale
    found = "; ".join(warnings_of(facts))
    lines = [(name, INK), (f"{size}, {grey}", QUIET), (f"databar: {describe_databar(facts)}; {scale}", QUIET)]
    return lines + [(f"! {line}" if not n else line, WARNING) for n, line in enumerate(_wrapped(found, 2))]


def _wrapped(text: str, lines: int) -> list[str]:
    return textwrap.wrap(text, _CAPTION_CHARACTERS, max_lines=lines, placeholder=" ...")


def _write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 8,
    colour: str = INK,
    weight: str = "normal",
    limit: int = 400,
) -> None:
    """Plain text; the end is kept when it is too long."""
    text = text if len(text) <= limit else "..." + text[3 - limit :]
    canvas.write(axes, x, y, text, size=size, colour=colour, weight=weight)
