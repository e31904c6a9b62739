"""What explain says about filters, classes and images: lines for sheets, tables for a terminal."""

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from jobs.explain_choice import METHODS, Chosen
from jobs.explain_request import Filter
from jobs.options import printable
from jobs.status import console_for_output
from texture_store.report.three_digits import three_digits

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from jobs.explain_run import ExplanationSummary

NUM_ATYPICAL = 5
MEANS_SHOWN = 12
"""Classes whose means are printed; the tables have all."""


def about_filters(
    filters: Sequence[Filter],
    importances: "pd.DataFrame | None",
    class_means: Mapping[Filter, Mapping[str, float]],
    at_edge: Container[Filter],
) -> dict[Filter, list[str]]:
    """Lines for a sheet: importances, then the class means as the paper prints them, in the order of the classes."""
    found: dict[Filter, list[str]] = {}
    by_filter = {} if importances is None else importances.set_index(["layer", "filter"]).to_dict("index")
    for one in filters:
        lines = []
        if row := by_filter.get(one):
            others = row["cluster_size"] - 1
            cluster = f"; permuted with {others} correlated filter{'s' * (others > 1)}" if others else ""
            told = "" if row["is_loss"] else " (not to be told from 0)"
            lines.append(
                f"permuted: weighted F1 falls by {row['permutation']:z.4f} ± {row['permutation_spread']:.4f}{told},"
                f" right votes by {row['votes']:.2%}{cluster}; impurity {row['impurity']:.4f} ±"
                f" {row['impurity_spread']:.4f} (number {row['impurity_rank']})"
            )
        if means := class_means.get(one):
            lines.append(f"mean activation: {means_text(means, named=True)}")
        if one in at_edge:
            lines.append(
                "most active at the edge of the picture, where the network sees zero padding: not of the material"
            )
        found[one] = lines
    return found


def means_text(means: Mapping[str, float], *, named: bool = False) -> str:
    """Such as `[559, 329, 33]`, or `network 559, pearlite 329, spheroidite 33`."""
    shown = sorted(means.items())[:MEANS_SHOWN]
    more = ", ..." if len(means) > len(shown) else ""
    if named:
        return ", ".join(f"{name} {three_digits(value)}" for name, value in shown) + more
    return f"[{', '.join(three_digits(value) for _, value in shown)}{more}]"


def print_answer(summary: "ExplanationSummary") -> None:
    """All of it, for a terminal or a log."""
    console = console_for_output()
    for title, rows in (
        ("important filters", summary.filters),
        ("characteristic filters", summary.classes),
        ("typical images", summary.typical),
        ("atypical images", summary.atypical),
        ("heat maps", summary.heat_maps),
        ("nearest micrographs", summary.neighbours),
    ):
        if rows:
            click.echo(f"{title}:")
            table = Table(box=None, pad_edge=False)
            for name in rows[0]:
                numeric = isinstance(rows[0][name], int | float)
                table.add_column(name.replace("_", " "), justify="right" if numeric else "left")
            for row in rows:
                table.add_row(*(printable(_cell(value)) for value in row.values()))
            console.print(table, markup=False)
    for line in [*summary.left_out, *_last_lines(summary)]:
        click.echo(printable(line))


def importance_rows(
    filters: Sequence[Filter],
    importances: "pd.DataFrame | None",
    class_means: Mapping[Filter, Mapping[str, float]],
    gains: Mapping[Filter, Sequence[str]],
    at_edge: Container[Filter],
) -> list[dict[str, Any]]:
    """For the summary: one a filter."""
    by_filter = {} if importances is None else importances.set_index(["layer", "filter"]).to_dict("index")
    rows = []
    for one in filters:
        row: dict[str, Any] = {"layer": one[0], "filter": one[1]}
        if known := by_filter.get(one):
            row |= {
                "f1_loss": f"{known['permutation']:z.4f} ± {known['permutation_spread']:.4f}",
                "vote_loss": f"{known['votes']:.4f}",
                "impurity": f"{known['impurity']:.4f} ± {known['impurity_spread']:.4f}",
                "impurity_rank": int(known["impurity_rank"]),
                "correlated": int(known["cluster_size"]) - 1,
            }
        if one in class_means:
            row["class_means"] = means_text(class_means[one])
        row["texture"] = "; ".join(gains.get(one, ["none"]))
        row["speaks_of"] = "edge" if one in at_edge else "inside"
        rows.append(row)
    return rows


def class_rows(chosen: Chosen, classes: "pd.DataFrame | None", at_edge: Container[Filter]) -> list[dict[str, Any]]:
    """For the summary: the filters of each class, by both methods."""
    if classes is None:
        return []
    by_filter = classes.set_index(["class", "layer", "filter"]).to_dict("index")
    rows = []
    for name, methods in chosen.by_class.items():
        for method in METHODS:
            shown = []
            for one in methods[method]:
                about = by_filter[name, *one]
                value = f"{about['difference']:+.3g}" if method == "difference" else f"{about['auc']:.3f}"
                shown.append(f"{one[0]}:{one[1]} ({value}{', edge' if one in at_edge else ''})")
            rows.append({"class": name, "by": method, "filters": ", ".join(shown) or "not defined"})
    return rows


def gains_of(textures: "pa.Table") -> dict[Filter, list[str]]:
    """What each texture of a filter achieves: its activation, and as a multiple of that of noise."""
    rows = textures.to_pylist()
    several = len({row["recipe"] for row in rows}) > 1
    found: dict[Filter, list[str]] = {}
    for row in rows:
        text = "dead, never active" if row["is_dead"] else three_digits(row["activation"])
        if row["noise_activation"] > 0 and not row["is_dead"]:
            text += f", {three_digits(row['activation'] / row['noise_activation'])} x noise"
        found.setdefault((row["layer"], row["filter"]), []).append(f"{row['recipe']}: {text}" if several else text)
    return found


def typical_rows(typical: "pd.DataFrame | None") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """For the summary: the most and the least typical image of each class; the most atypical ones of all."""
    if typical is None:
        return [], []
    of_classes = []
    for name, rows in typical[typical["class_rank"].notna()].groupby("label"):
        ordered = rows.sort_values("class_rank")
        first, last = ordered.iloc[0], ordered.iloc[-1]
        of_classes.append(
            {
                "class": str(name),
                "most_typical": first["path"],
                "distance": f"{first['class_distance']:.2f}",
                "least_typical": last["path"],
                "its_distance": f"{last['class_distance']:.2f}",
            }
        )
    odd = typical.sort_values("atypical_rank").head(NUM_ATYPICAL)
    atypical = [
        {
            "number": int(row["atypical_rank"]),
            "path": row["path"],
            "label": row["label"] or "-",
            "distance": f"{row['atypicality']:.2f} x median",
        }
        for row in odd.to_dict("records")
    ]
    return of_classes, atypical


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _last_lines(summary: "ExplanationSummary") -> list[str]:
    made = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in summary.computed.items() if number)
    lines = [f"dataset {summary.dataset}, snapshot {summary.snapshot}, {summary.images:,} images, spec {summary.spec}"]
    if summary.protocol:
        lines.append(
            f"importances of forests by {summary.protocol}, weighted F1 {summary.score:.3f} (mean of the test folds)"
        )
    lines.append(f"computed: {made or 'nothing, all was in the store'}; {summary.seconds:g} s")
    return lines + [f"written: {url}" for url in summary.files]
