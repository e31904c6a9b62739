"""Figures from scores: by layer and encoder (the paper's Figure 6), and all layers together (its Figure 7)."""

import io
import warnings
from typing import TYPE_CHECKING, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from texture_store.report.evaluation_tables import ALL_LAYERS
from texture_store.spec import ENCODERS, LAYERS, NETWORK_LAYERS

if TYPE_CHECKING:
    import pandas as pd

_STYLE = {  # Okabe and Ito's colours, told apart without colour vision; markers do it in print
    "mean": ("#0072b2", "o"),
    "max": ("#d55e00", "v"),
    "gram": ("#009e73", "s"),
    "vlad": ("#cc79a7", "D"),
}
_TOGETHER = "#e69f00"
_BASELINES = {"metadata": ("#59636e", "--"), "majority": ("#59636e", ":")}
_DPI = 150
_LEAST_SPAN = 0.2
"""Of the axis: differences of a hundredth should not look like much."""


def layers_figure(scores: "pd.DataFrame", *, title: str, score_name: str) -> Figure | None:
    """Score by layer, a line for each encoder, bars of one standard deviation over trials; a panel for each protocol.

    `scores` are of `evaluation_tables.score_table`, one classifier. Baselines are dashed, and their numbers are in the
    legend where they lie below the axis. None without two layers.
    """
    layers = [layer for layer in LAYERS if layer in set(scores["layer"])]
    if len(layers) < 2:
        return None
    figure, panels = _panels(scores, title)
    limits = _limits(scores[scores["layer"].isin(layers)])
    for axes, protocol in panels:
        shown = scores[(scores["protocol"] == protocol) & scores["layer"].isin(layers)]
        encoders = _encoders(shown)
        for number, encoder in enumerate(encoders):
            rows = shown[shown["encoder"] == encoder].set_index("layer").reindex(layers)
            colour, marker = _STYLE[encoder]
            # Side by side a little, so that bars do not hide each other.
            at = np.arange(len(layers)) + 0.07 * (number - (len(encoders) - 1) / 2)
            axes.errorbar(
                at, rows["mean"], rows["sd"].fillna(0), color=colour, marker=marker, label=encoder, capsize=2.5, ms=5
            )
        axes.set_xticks(np.arange(len(layers)), layers)
        axes.set_xlabel("layer")
        _finish(axes, shown, limits, score_name, protocol)
    return figure


def together_figure(scores: "pd.DataFrame", *, title: str, score_name: str) -> Figure | None:
    """Each network layer alone and all five together, by encoder; None without all five together and one alone.

    `scores` as for `layers_figure`.
    """
    layers = [layer for layer in (*NETWORK_LAYERS, ALL_LAYERS) if layer in set(scores["layer"])]
    if ALL_LAYERS not in layers or len(layers) < 2:
        return None
    figure, panels = _panels(scores, title)
    limits = _limits(scores[scores["layer"].isin(layers)])
    shades = matplotlib.colormaps["Blues"](np.linspace(0.35, 0.9, len(layers) - 1))
    for axes, protocol in panels:
        shown = scores[(scores["protocol"] == protocol) & scores["layer"].isin(layers)]
        encoders = _encoders(shown)
        # Points and not bars, which would have to begin at 0.
        for number, layer in enumerate(layers):
            rows = shown[shown["layer"] == layer].set_index("encoder").reindex(encoders)
            together = layer == ALL_LAYERS
            axes.errorbar(
                np.arange(len(encoders)) + 0.11 * (number - (len(layers) - 1) / 2),
                rows["mean"],
                yerr=rows["sd"].fillna(0),
                color=_TOGETHER if together else shades[number],
                label="all five" if together else layer,
                fmt="D" if together else "o",
                capsize=2.5,
                ms=6,
            )
        axes.set_xticks(np.arange(len(encoders)), encoders)
        axes.set_xlabel("encoder")
        _finish(axes, shown, limits, score_name, protocol)
    return figure


def figure_bytes(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The file, the same bytes for the same figure."""
    sink = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "texture_store", "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", message="Glyph")  # a name that the font cannot draw shows boxes
        figure.savefig(sink, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return sink.getvalue()


def _panels(scores: "pd.DataFrame", title: str) -> tuple[Figure, list[tuple[Axes, str]]]:
    protocols = [name for name in ("image", "group") if name in set(scores["protocol"])]
    figure = Figure(figsize=(6.4 * len(protocols), 4.6), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, wrap=True)
    axes = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    return figure, list(zip(axes, protocols, strict=True))


def _encoders(scores: "pd.DataFrame") -> list[str]:
    return [encoder for encoder in ENCODERS if encoder in set(scores["encoder"])]


def _finish(axes: Axes, shown: "pd.DataFrame", limits: tuple[float, float], score_name: str, protocol: str) -> None:
    low, high = limits
    axes.set_ylim(low, high)
    for name, (colour, style) in _BASELINES.items():
        value = float(shown[name].mean())
        if np.isfinite(value):
            below = ", below the axis" if value < low else ""
            label = f"{name} alone {value:.2f}{below}" if name == "metadata" else f"{name} {value:.2f}{below}"
            axes.axhline(value, color=colour, ls=style, lw=1.2, label=label, zorder=1)
    axes.set_title(f"folds by {protocol}", fontsize=10)
    if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axes.set_ylabel(f"{score_name}, mean ± sd")
    axes.grid(axis="y", color="#d0d7de", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: isinstance(handles[place], Line2D))  # baselines last
    axes.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        fontsize=8,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=5,
    )


def _limits(shown: "pd.DataFrame") -> tuple[float, float]:
    sd = shown["sd"].fillna(0)
    lowest, highest = float((shown["mean"] - sd).min()), float((shown["mean"] + sd).max())
    if not np.isfinite([lowest, highest]).all():
        return 0.0, 1.0
    high = max(1.0, highest) if highest > 0.9 else highest + 0.05
    low = min(lowest - 0.03, high - _LEAST_SPAN)
    return (max(0.0, low) if lowest >= 0 else low), high + 0.01
