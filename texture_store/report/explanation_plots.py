"""Interactive plots of what explain found out: a dataset in two dimensions, and importances of filters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from texture_store.report.plain_text import shortened
from texture_store.report.plotly_style import QUIET, label, plot_layout, plot_tick, plot_values
from texture_store.report.report_content import Cell, Plot, Table

_CATEGORIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#7d8590")
_MARKS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "star")


def map_plot(
    positions: npt.NDArray[np.floating[Any]],
    paths: Sequence[str],
    values: Sequence[str | None] | npt.NDArray[np.floating[Any]],
    *,
    title: str,
    value_name: str,
    axes: tuple[str, str] = ("", ""),
    thumbnails: Sequence[np.ndarray | None] = (),
) -> Plot:
    """A dataset in two dimensions.

    positions (n, 2); paths (n,); values (n,): text, which gets a colour and a mark each (the most frequent seven, then
    `other`), or numbers, which get a colour scale (NaN: unknown). thumbnails (n,): (h, w) uint8, or none at all.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        traces, order = _continuous(positions, paths, values, value_name)
    else:
        traces, order = _categories(positions, paths, values)
    layout = plot_layout(height=520) | {
        "xaxis": {"title": {"text": label(axes[0])}, "zeroline": False, "showticklabels": False},
        "yaxis": {"title": {"text": label(axes[1])}, "zeroline": False, "showticklabels": False, "scaleanchor": "x"},
    }
    alt = f"Scatter plot of {len(paths):,} micrographs in two dimensions, coloured by {value_name}."
    return Plot(
        title,
        plot_values(go.Figure(traces, layout)),
        alt,
        thumbnails=[thumbnails[place] for place in order] if len(thumbnails) else (),
        names=[paths[place] for place in order] if len(thumbnails) else (),
    )


def bars_plot(
    names: Sequence[str], values: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str, axis: str
) -> Plot:
    """Horizontal bars by name with their spread: importances of filters (the paper's Figure 9).

    values: series -> (n,) values and (n,) standard deviations; the first series decides nothing, names stay in order.
    """
    ticks = [plot_tick(name) for name in names]
    traces = [
        go.Bar(
            orientation="h",
            x=list(means),
            y=list(range(len(names))),
            error_x={"type": "data", "array": list(spread), "thickness": 1, "width": 2, "color": QUIET},
            name=label(series),
            marker={"color": _CATEGORIES[number % len(_CATEGORIES)]},
            customdata=[label(name) for name in names],
            hovertemplate="%{customdata}: %{x:.4g}",
        )
        for number, (series, (means, spread)) in enumerate(values.items())
    ]
    layout = plot_layout(height=max(260, 120 + 26 * len(names))) | {
        "xaxis": {"title": {"text": label(axis), "standoff": 8}, "automargin": True},
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": ticks, "autorange": "reversed", "automargin": True},
    }
    rows = [
        [Cell(name), *(Cell(f"{means[i]:.4f} ± {sd[i]:.4f}", means[i]) for means, sd in values.values())]
        for i, name in enumerate(names)
    ]
    table = Table(title, ["filter", *values], rows, frozenset(range(1, len(values) + 1)))
    alt = f"Bar plot, {title}: {axis} of {len(names)} filters. The numbers are in the table below it."
    return Plot(title, plot_values(go.Figure(traces, layout)), alt, table)


def _categories(
    positions: npt.NDArray[Any], paths: Sequence[str], values: Sequence[str | None] | npt.NDArray[Any]
) -> tuple[list[Any], list[int]]:
    texts = [None if value is None else str(value) for value in values]
    ranked = sorted({text for text in texts if text is not None}, key=lambda text: (-texts.count(text), text))
    fits = len(ranked) <= len(_CATEGORIES)
    own = ranked if fits else ranked[: len(_CATEGORIES) - 1]
    groups: list[tuple[str, list[int]]] = [(name, [i for i, text in enumerate(texts) if text == name]) for name in own]
    if not fits:
        rest = [i for i, text in enumerate(texts) if text is not None and text not in own]
        groups.append((f"other ({len(ranked) - len(own)} values)", rest))
    groups.append(("unknown", [i for i, text in enumerate(texts) if text is None]))
    traces, order = [], []
    for number, (name, places) in enumerate(groups):
        if not places:
            continue
        order += places
        traces.append(
            go.Scatter(
                x=positions[places, 0].tolist(),
                y=positions[places, 1].tolist(),
                mode="markers",
                name=label(shortened(name, 40)),
                marker={
                    "size": 7,
                    "opacity": 0.8,
                    "color": QUIET if name == "unknown" else _CATEGORIES[number % len(_CATEGORIES)],
                    "symbol": _MARKS[number % len(_MARKS)],
                },
                customdata=[_hover(paths[i], texts[i]) for i in places],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    return traces, order


def _continuous(
    positions: npt.NDArray[Any], paths: Sequence[str], values: npt.NDArray[Any], value_name: str
) -> tuple[list[Any], list[int]]:
    known, unknown = np.flatnonzero(np.isfinite(values)).tolist(), np.flatnonzero(~np.isfinite(values)).tolist()
    traces = []
    for places, marker in (
        (unknown, {"color": QUIET, "symbol": "x"}),
        (
            known,
            {"color": values[known].tolist(), "colorscale": "Viridis", "showscale": True}
            | {"colorbar": {"title": {"text": label(shortened(value_name, 30)), "side": "right"}, "thickness": 12}},
        ),
    ):
        if places:
            traces.append(
                go.Scatter(
                    x=positions[places, 0].tolist(),
                    y=positions[places, 1].tolist(),
                    mode="markers",
                    name="unknown" if places is unknown else "known",
                    showlegend=bool(unknown),
                    marker={"size": 7, "opacity": 0.8, **marker},
                    customdata=[
                        _hover(paths[i], f"{values[i]:.4g}" if np.isfinite(values[i]) else None) for i in places
                    ],
                    hovertemplate="%{customdata}<extra></extra>",
                )
            )
    return traces, unknown + known


def _hover(path: str, value: str | None) -> str:
    return f"{label(shortened(path, 80))}<br>{'unknown' if value is None else label(shortened(value, 60))}"
