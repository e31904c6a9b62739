"""Scores over snapshots as a figure: a line for the best feature set of each encoder, and what changed between them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from texture_store.report.evaluation_tables import set_name
from texture_store.report.plotly_style import label, plot_layout, plot_values
from texture_store.report.report_content import Cell, Plot, Table
from texture_store.report.report_plots import COLOURS, SYMBOLS
from texture_store.report.score_history import best_sets, images_of_snapshots

if TYPE_CHECKING:
    import pandas as pd

_HEIGHT_PX = 400
_LEAST_SPAN = 0.2
_MOST_TICKS = 16
"""Snapshots that are written below the axis; of more, every second, third ..."""
_MARK = "#d1242f"


def history_plots(history: "pd.DataFrame", *, score_name: str) -> list[Plot]:
    """One for each protocol, with its numbers as a table; none where only one snapshot has scores.

    `history` is of `score_history.score_history`. Snapshots at which a dictionary was learnt again or settings changed
    have a vertical line; below each snapshot stands how many images were evaluated.
    """
    images = images_of_snapshots(history)
    if len(images) < 2:
        return []
    best = best_sets(history)
    return [
        _plot(history, images, protocol, [one for one in best if one[3] == protocol], score_name)
        for protocol in ("image", "group")
        if any(one[3] == protocol for one in best)
    ]


def _plot(
    history: "pd.DataFrame",
    images: Mapping[int, int],
    protocol: str,
    sets: list[tuple[str, str, str, str]],
    score_name: str,
) -> Plot:
    place = {snapshot: number for number, snapshot in enumerate(images)}
    lines = []
    for classifier, encoder, layer, _ in sets:
        own = history[
            (history["classifier"] == classifier)
            & (history["encoder"] == encoder)
            & (history["layer"] == layer)
            & (history["protocol"] == protocol)
        ].sort_values("snapshot")
        lines.append((encoder, layer, own))
    traces = [_trace(encoder, layer, own, place) for encoder, layer, own in lines]
    changes = _changes(history[history["protocol"] == protocol])
    shown = [own for _, _, own in lines]
    low, high = _limits(shown)
    layout = plot_layout(height=_HEIGHT_PX) | {
        "xaxis": _snapshot_axis(images),
        "yaxis": {"range": [low, high], "title": {"text": f"{score_name}, mean ± sd"}, "zeroline": False},
        "shapes": [_line(place[snapshot]) for snapshot in changes],
        "annotations": [_note(place[snapshot], text) for snapshot, text in changes.items()],
    }
    names = ", ".join(set_name(encoder, layer) for encoder, layer, _ in lines)
    alt = (
        f"Line plot, folds by {protocol}: {score_name} of {names} at snapshots"
        f" {', '.join(str(snapshot) for snapshot in images)}."
    )
    for snapshot, text in changes.items():
        alt += f" At snapshot {snapshot}: {text}."
    figure = plot_values(go.Figure(traces, layout))
    return Plot(f"Folds by {protocol}", figure, alt, _table(history, images, protocol, score_name))


def _trace(encoder: str, layer: str, own: "pd.DataFrame", place: Mapping[int, int]) -> Any:
    name = set_name(encoder, layer)
    hover = [
        f"{name}<br>snapshot {row.snapshot}, {row.num_images:,} images<br>{row.mean:.3f}"
        + ("" if np.isnan(row.sd) else f" ± {row.sd:.3f}")
        + (f"<br>{row.change}" if row.change else "")
        for row in own.itertuples()
    ]
    return go.Scatter(
        x=[place[int(snapshot)] for snapshot in own["snapshot"]],
        y=[float(one) if np.isfinite(one) else None for one in own["mean"]],
        error_y={"type": "data", "array": own["sd"].fillna(0).tolist(), "thickness": 1.2, "width": 3},
        mode="lines+markers",
        line={"color": COLOURS[encoder]},
        marker={"symbol": SYMBOLS[encoder], "size": 8, "color": COLOURS[encoder]},
        name=label(name),
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        connectgaps=False,
    )


def _snapshot_axis(images: Mapping[int, int]) -> dict[str, object]:
    step = -(-len(images) // _MOST_TICKS)
    ticks = [number for number in range(len(images)) if (len(images) - 1 - number) % step == 0]
    names = [f"{snapshot}<br>{count:,}" for snapshot, count in images.items()]
    return {
        "tickvals": ticks,
        "ticktext": [names[number] for number in ticks],
        "title": {"text": "snapshot, and its images", "standoff": 6},
        "range": [-0.3, len(images) - 0.7],
        "zeroline": False,
        "showgrid": False,
        "automargin": True,
    }


def _changes(history: "pd.DataFrame") -> dict[int, str]:
    """By snapshot what changed in any feature set; words and settings together, if both."""
    found = history[history["change"] != ""].groupby("snapshot")["change"]
    return {int(snapshot): " and ".join(sorted(set(texts))) for snapshot, texts in found}


def _line(x: int) -> dict[str, object]:
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": _MARK, "dash": "dot"},
    }


def _note(x: int, text: str) -> dict[str, object]:
    return {
        "x": x,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "text": label(text),
        "font": {"color": _MARK, "size": 11},
    }


def _limits(shown: "list[pd.DataFrame]") -> tuple[float, float]:
    lowest = min(float((own["mean"] - own["sd"].fillna(0)).min()) for own in shown)
    highest = max(float((own["mean"] + own["sd"].fillna(0)).max()) for own in shown)
    if not np.isfinite([lowest, highest]).all():
        return 0.0, 1.0
    high = max(1.0, highest) if highest > 0.9 else highest + 0.05
    return min(lowest - 0.03, high - _LEAST_SPAN), high + 0.01


def _table(history: "pd.DataFrame", images: Mapping[int, int], protocol: str, score_name: str) -> Table:
    """All feature sets, a column for each snapshot."""
    own = history[history["protocol"] == protocol]
    body = []
    for (encoder, layer), rows in own.groupby(["encoder", "layer"], sort=False):
        by_snapshot = {int(row.snapshot): row for row in rows.itertuples()}
        cells = [Cell(str(encoder)), Cell(str(layer))]
        for snapshot in images:
            row = by_snapshot.get(snapshot)
            if row is None or not np.isfinite(row.mean):
                cells.append(Cell("–", -1.0))
                continue
            sd = "" if np.isnan(row.sd) else f" ± {row.sd:.3f}"
            cells.append(Cell(f"{row.mean:.3f}{sd}{' *' if row.change else ''}", float(row.mean)))
        body.append(cells)
    columns = ["encoder", "layer", *(f"snapshot {number} ({count:,})" for number, count in images.items())]
    marked = (own["change"] != "").any()
    note = "* other features than at the snapshot before: the dictionary was learnt again, or settings changed."
    title = f"{score_name} of each snapshot, images in brackets; folds by {protocol}"
    return Table(title, columns, body, frozenset(range(2, len(columns))), note if marked else "")
