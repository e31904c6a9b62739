"""Interactive plots of scores: tables in, Plotly figures as JSON values out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from texture_store.report.evaluation_tables import ALL_LAYERS
from texture_store.report.plain_text import shortened
from texture_store.report.plotly_style import QUIET, TICK_CHARACTERS, label, plot_layout, plot_tick, plot_values
from texture_store.report.report_content import Cell, Plot, Table
from texture_store.spec import ENCODERS, LAYERS, NETWORK_LAYERS

if TYPE_CHECKING:
    import pandas as pd

COLOURS = {"mean": "#0072b2", "max": "#d55e00", "gram": "#009e73", "vlad": "#cc79a7"}  # Okabe and Ito
SYMBOLS = {"mean": "circle", "max": "triangle-down", "gram": "square", "vlad": "diamond"}
_TOGETHER = "#e69f00"
_SHADES = ("#9ecae1", "#6baed6", "#4292c6", "#2a74b0", "#1d5f9e")
_BASELINES = {"metadata": ("metadata alone", "dash"), "majority": ("majority", "dot")}
_LEAST_SPAN = 0.2
"""Of the axis: differences of a hundredth should not look like much."""
_HEIGHT_PX = 400
_ANGLES = (0, -45, -90)
"""Of turned names: they end at their tick. Those that begin there run out of the picture, and Plotly drops the last."""
_MOST_CELL_TEXTS = 12
"""Classes up to which a confusion matrix has room for its numbers."""


def layers_plots(scores: "pd.DataFrame", *, score_name: str) -> list[Plot]:
    """Score by layer, a line for each encoder (the paper's Figure 6); one for each protocol, with one scale.

    `scores` are of `evaluation_tables.score_table`, one classifier. None without two layers.
    """
    layers = [layer for layer in LAYERS if layer in set(scores["layer"])]
    if len(layers) < 2:
        return []
    shown = scores[scores["layer"].isin(layers)]
    limits = _limits(shown)
    plots = []
    for protocol in _protocols(shown):
        rows = shown[shown["protocol"] == protocol]
        encoders = [encoder for encoder in ENCODERS if encoder in set(rows["encoder"])]
        traces = []
        for number, encoder in enumerate(encoders):
            of_encoder = rows[rows["encoder"] == encoder].set_index("layer").reindex(layers)
            traces.append(
                _points(
                    # Side by side a little, so that bars do not hide each other.
                    np.arange(len(layers)) + 0.07 * (number - (len(encoders) - 1) / 2),
                    of_encoder,
                    encoder,
                    [f"{encoder} {layer}" for layer in layers],
                    mode="lines+markers",
                    line={"color": COLOURS[encoder]},
                    marker={"symbol": SYMBOLS[encoder], "size": 8, "color": COLOURS[encoder]},
                )
            )
        figure = _score_figure(traces, layers, "layer", rows, limits, score_name)
        alt = (
            f"Line plot, folds by {protocol}: {score_name} of {', '.join(encoders)} at {', '.join(layers)}."
            f" {_extremes(rows)}"
        )
        plots.append(Plot(f"Folds by {protocol}", figure, alt))
    return plots


def together_plots(scores: "pd.DataFrame", *, score_name: str) -> list[Plot]:
    """Each network layer alone and all five together, by encoder (the paper's Figure 7); one for each protocol.

    None without all five together and one alone.
    """
    layers = [layer for layer in (*NETWORK_LAYERS, ALL_LAYERS) if layer in set(scores["layer"])]
    if ALL_LAYERS not in layers or len(layers) < 2:
        return []
    shown = scores[scores["layer"].isin(layers)]
    limits = _limits(shown)
    plots = []
    for protocol in _protocols(shown):
        rows = shown[shown["protocol"] == protocol]
        encoders = [encoder for encoder in ENCODERS if encoder in set(rows["encoder"])]
        traces = []
        for number, layer in enumerate(layers):
            of_layer = rows[rows["layer"] == layer].set_index("encoder").reindex(encoders)
            together = layer == ALL_LAYERS
            colour = _TOGETHER if together else _SHADES[NETWORK_LAYERS.index(layer)]
            traces.append(
                _points(
                    np.arange(len(encoders)) + 0.11 * (number - (len(layers) - 1) / 2),
                    of_layer,
                    "all five" if together else layer,
                    [f"{encoder} {'all five' if together else layer}" for encoder in encoders],
                    mode="markers",
                    marker={
                        "symbol": "diamond" if together else "circle",
                        "size": 10 if together else 9,
                        "color": colour,
                        "line": {"color": QUIET, "width": 0.7},
                    },
                )
            )
        figure = _score_figure(traces, encoders, "encoder", rows, limits, score_name)
        alt = (
            f"Point plot, folds by {protocol}: {score_name} of each layer alone and of all five together, for"
            f" {', '.join(encoders)}. {_extremes(rows)}"
        )
        plots.append(Plot(f"Folds by {protocol}", figure, alt))
    return plots


def confusion_plot(counts: npt.NDArray[np.int64], classes: Sequence[str], *, title: str, trials: int) -> Plot:
    """A confusion matrix as a heat map, in per cent of each true class.

    counts (c, c): images by true class (rows) and predicted class, summed over `trials` trials.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    has_room = len(classes) <= _MOST_CELL_TEXTS
    names = [label(shortened(name, 60)) for name in classes]
    places = list(range(len(classes)))
    texts = [[_per_cent(share) if share else "" for share in row] for row in shares.tolist()]
    hover = [
        [
            f"{names[i]} taken for {names[j]}<br>{_per_cent(float(shares[i, j]))} % of {names[i]}"
            f"<br>{counts[i, j]:,} of {int(totals[i, 0]):,} predictions in {trials} trials"
            if i != j
            else f"{names[i]} recognised<br>{_per_cent(float(shares[i, i]))} %"
            f"<br>{counts[i, i]:,} of {int(totals[i, 0]):,} predictions in {trials} trials"
            for j in places
        ]
        for i in places
    ]
    heat = go.Heatmap(
        z=shares.tolist(),
        x=places,  # numbers, since Plotly takes texts such as 01 and 1 for one category
        y=places,
        text=texts if has_room else None,
        texttemplate="%{text}" if has_room else None,
        showscale=not has_room,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=[[0, "#f7fbff"], [0.03, "#d6e6f4"], [0.5, "#6baed6"], [1, "#08519c"]],
        zmin=0,
        zmax=100,
        xgap=1,
        ygap=1,
        colorbar={"title": {"text": "% of true class", "side": "right"}, "thickness": 12, "outlinewidth": 0},
    )
    layout = plot_layout(height=max(340, 160 + 34 * len(classes))) | {
        # One line each, since they may be turned.
        "xaxis": _axis("predicted", places, [label(shortened(name, TICK_CHARACTERS)) for name in classes]),
        "yaxis": _axis("true", places, [plot_tick(name) for name in classes]) | {"autorange": "reversed"},
    }
    wrong = int(counts.sum() - np.trace(counts))
    alt = (
        f"Confusion matrix, {title}: {wrong:,} of {int(counts.sum()):,} predictions in {trials} trials are wrong."
        " The numbers are in the table below it."
    )
    return Plot(title, plot_values(go.Figure([heat], layout)), alt, _confusion_table(counts, shares, classes))


def _axis(title: str, places: Sequence[int], ticks: Sequence[str]) -> dict[str, object]:
    """Of classes."""
    return {
        "tickvals": places,
        "ticktext": ticks,
        "title": {"text": title, "standoff": 10},
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
        "autotickangles": list(_ANGLES),
    }


def _points(x: Any, rows: "pd.DataFrame", name: str, names: Sequence[str], **style: Any) -> Any:
    hover = [
        f"{one}<br>{mean:.3f}" + ("" if np.isnan(sd) else f" ± {sd:.3f}") if np.isfinite(mean) else ""
        for one, mean, sd in zip(names, rows["mean"], rows["sd"], strict=True)
    ]
    return go.Scatter(
        x=np.asarray(x).tolist(),
        y=_numbers(rows["mean"]),
        error_y={"type": "data", "array": _numbers(rows["sd"].fillna(0)), "thickness": 1.2, "width": 3},
        name=label(name),
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        connectgaps=False,
        **style,
    )


def _score_figure(
    traces: list[Any],
    ticks: Sequence[str],
    axis: str,
    rows: "pd.DataFrame",
    limits: tuple[float, float],
    score_name: str,
) -> dict[str, object]:
    low, high = limits
    for column, (title, dash) in _BASELINES.items():
        value = float(rows[column].mean())
        if not np.isfinite(value):
            continue
        traces.append(
            go.Scatter(
                x=[-0.5, len(ticks) - 0.5],
                y=[value, value],
                mode="lines",
                line={"color": QUIET, "dash": dash, "width": 1.5},
                name=f"{title} {value:.2f}" + (", below" if value < low else ""),
                hovertemplate=f"{title} {value:.3f}<extra></extra>",
            )
        )
    layout = plot_layout(height=_HEIGHT_PX) | {
        "xaxis": {"tickvals": list(range(len(ticks))), "ticktext": list(ticks)}
        | {"title": {"text": axis, "standoff": 6}}
        | {"range": [-0.5, len(ticks) - 0.5], "zeroline": False, "showgrid": False, "automargin": True}
        | {"autotickangles": list(_ANGLES)},
        "yaxis": {"range": [low, high], "title": {"text": f"{score_name}, mean ± sd"}, "zeroline": False},
    }
    return plot_values(go.Figure(traces, layout))


def _protocols(scores: "pd.DataFrame") -> list[str]:
    return [protocol for protocol in ("image", "group") if protocol in set(scores["protocol"])]


def _numbers(column: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in column]


def _limits(shown: "pd.DataFrame") -> tuple[float, float]:
    sd = shown["sd"].fillna(0)
    lowest, highest = float((shown["mean"] - sd).min()), float((shown["mean"] + sd).max())
    lowest = min(lowest, float(shown["metadata"].min())) if shown["metadata"].notna().any() else lowest
    if not np.isfinite([lowest, highest]).all():
        return 0.0, 1.0
    high = max(1.0, highest) if highest > 0.9 else highest + 0.05
    low = min(lowest - 0.03, high - _LEAST_SPAN)
    return (max(0.0, low) if lowest >= 0 else low), high + 0.01


def _extremes(rows: "pd.DataFrame") -> str:
    good = rows.dropna(subset=["mean"])
    if not len(good):
        return "No score."
    best, worst = good.loc[good["mean"].idxmax()], good.loc[good["mean"].idxmin()]
    return (
        f"Highest {best['encoder']} {best['layer']} {best['mean']:.3f}, lowest {worst['encoder']} {worst['layer']}"
        f" {worst['mean']:.3f}."
    )


def _per_cent(share: float) -> str:
    return f"{share:.0f}" if share in (0, 100) else f"{share:.1f}"


def _confusion_table(counts: npt.NDArray[np.int64], shares: npt.NDArray[Any], classes: Sequence[str]) -> Table:
    rows = [
        [Cell(name), *(Cell(_per_cent(share), share) for share in shares[i].tolist()), Cell(f"{total:,}", total)]
        for i, (name, total) in enumerate(zip(classes, counts.sum(axis=1).tolist(), strict=True))
    ]
    numeric = frozenset(range(1, len(classes) + 2))
    columns = ["true class", *classes, "predictions"]
    return Table("Per cent of each true class (rows) by predicted class", columns, rows, numeric)
