"""What all of a report's plots share. Plotly reads a small HTML out of every text that it draws: what comes from files
goes through `label`, so that it is drawn as it is.
"""

import json
from typing import Any

from texture_store.report.plain_text import plain, shortened

QUIET = "#7d8590"
"""Readable on white and on black."""
TICK_CHARACTERS = 16
"""Of one line; there are two."""


def label(text: str) -> str:
    """Text from files as Plotly draws it unchanged: no tag, no entity, no line break, nothing invisible."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plot_layout(*, height: int) -> dict[str, Any]:
    """The layout that a plot begins with."""
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 60, "r": 12, "t": 30, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
        "hovermode": "closest",
        "dragmode": "zoom",
    }


def plot_values(figure: Any) -> dict[str, object]:
    """A Plotly figure as JSON values."""
    values: dict[str, object] = json.loads(figure.to_json())
    return values


def plot_tick(name: str) -> str:
    """A name as one line, or as two where it can be split after a separator; longer ones lose their middle."""
    if len(name) <= TICK_CHARACTERS:
        return label(name)
    places = [i + 1 for i, character in enumerate(name) if character in " _-+/."]
    fitting = [i for i in places if max(i, len(name) - i) <= TICK_CHARACTERS]
    if not fitting:
        return label(shortened(name, TICK_CHARACTERS))
    place = min(fitting, key=lambda i: abs(2 * i - len(name)))
    return f"{label(name[:place])}<br>{label(name[place:])}"
