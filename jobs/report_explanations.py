"""What explain keeps in the store, as sections of a report: importances, textures, heat maps, map, neighbours.

Everything is read; only thumbnails of atypical images come from the archive, through the report's reader.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.explain_pictures import edge_filters
from jobs.report_pictures import PictureReader
from texture_store.report.encoded import decoded
from texture_store.report.explanation_plots import bars_plot, map_plot
from texture_store.report.heat_map_overlay import heat_map_overlay
from texture_store.report.report_content import (
    Absent,
    CharacteristicTextures,
    Explanations,
    FeatureMap,
    Gallery,
    ImportantTextures,
    Neighbours,
    Picture,
    Texture,
)
from texture_store.report.report_page import PICTURE_PX
from texture_store.report.three_digits import three_digits
from texture_store.report.thumbnail import thumbnail
from texture_store.store.catalog import Catalog
from texture_store.store.reader import Store

if TYPE_CHECKING:
    import pandas as pd

NOT_EXPLAINED = "No textures, heat maps or map were made yet: run texture-store explain."

NUM_IMPORTANT = 6
NUM_BARS = 12
NUM_CHARACTERISTIC = 3
"""Of each class and method, as in the paper's Figures 11 and 12."""
NUM_EXEMPLARS = 3
NUM_HEAT_MAPS = 24
NUM_ATYPICAL = 12
NUM_NEIGHBOURS = 6

Filter = tuple[str, int]


def explanations_of(store: Store, catalog: Catalog, reader: PictureReader, most: int) -> Explanations | Absent:
    """All that explain has found out about a dataset, the newest answer to each question.

    `most`: micrographs that are read for it from the archive; patches and heat maps are in the store.
    """
    dataset = catalog.dataset
    importances, classes = store.importances(dataset), store.characteristics(dataset)
    typical, points = store.typical(dataset), store.map(dataset)
    heat_maps, neighbours = store.heat_maps(dataset), store.neighbours(dataset)
    if not any(len(frame) for frame in (importances, classes, typical, points, heat_maps, neighbours)):
        return Absent(NOT_EXPLAINED)
    shown = _Shown(store, catalog, [frame for frame in (importances, classes) if len(frame)])
    num_atypical = min(NUM_ATYPICAL, most)
    num_asked = (most - num_atypical) // (1 + NUM_NEIGHBOURS)
    return Explanations(
        important=_important(importances, catalog, shown) if len(importances) else None,
        characteristic=_characteristic(classes, catalog, shown) if len(classes) else None,
        heat_maps=_heat_maps(heat_maps) if len(heat_maps) else None,
        feature_map=_map(points, typical, catalog) if len(points) else None,
        neighbours=_neighbours(neighbours, catalog, reader, num_asked) if len(neighbours) and num_asked else None,
        atypical=_atypical(typical, catalog, reader, num_atypical) if len(typical) and num_atypical else None,
    )


class _Shown:
    """Textures and exemplars of filters, read once."""

    def __init__(self, store: Store, catalog: Catalog, frames: Sequence["pd.DataFrame"]) -> None:
        specs = {spec for frame in frames for joined in frame["spec"].unique() for spec in joined.split("+")}
        known = set(catalog.fingerprints())
        digests = {catalog.spec(spec).weights for spec in specs if spec in known}
        textures = [row for digest in sorted(digests) for row in store.textures(weights=digest).to_dict("records")]
        # By the recipe `better` where a filter has two.
        textures.sort(key=lambda row: row["recipe"] == "better")
        self._textures = {(row["layer"], int(row["filter"])): row for row in textures}
        self._exemplars: dict[Filter, list[dict[str, Any]]] = {}
        exemplars = store.exemplars(catalog.dataset)
        self._at_edge = edge_filters(exemplars)
        for row in exemplars.to_dict("records"):
            self._exemplars.setdefault((row["layer"], int(row["filter"])), []).append(row)

    def texture(self, one: Filter, facts: Mapping[str, str], means: Mapping[str, float]) -> Texture:
        row = self._textures.get(one)
        name = f"{one[0]} filter {one[1]}"
        if row is None:
            picture = Picture(name, None, "", ["no texture was made: run explain again"])
        else:
            lines = ["nothing activates it"] if row["is_dead"] else [_gain(row["gain"])]
            picture = Picture(name, decoded(row["picture"]), f"Synthetic texture that activates {name} most.", lines)
        if one in self._at_edge:
            facts = {**facts, "mostly at the picture's edge": "where the network sees zero padding, not the material"}
        return Texture(name, picture, facts, means, self._shown_exemplars(one))

    def _shown_exemplars(self, one: Filter) -> list[Picture]:
        pictures = []
        for row in sorted(self._exemplars.get(one, []), key=lambda row: int(row["rank"]))[:NUM_EXEMPLARS]:
            told = [f"mean activation {three_digits(row['mean_activation'])}"]
            alt = f"Patch of micrograph {row['path']}, where {one[0]} filter {one[1]} is most active."
            pictures.append(Picture(row["path"], _small(decoded(row["patch"])), alt, [*told, "most active patch"]))
        return pictures


def _important(frame: "pd.DataFrame", catalog: Catalog, shown: _Shown) -> ImportantTextures:
    first = frame.iloc[0]
    ranked = frame[frame["rank"].notna()].sort_values("rank")
    bars = ranked.head(NUM_BARS)
    names = [f"{row.layer}:{row.filter}" for row in bars.itertuples()]
    plot = bars_plot(
        names,
        {
            "impurity": (bars["impurity"].tolist(), bars["impurity_spread"].tolist()),
            "permutation": (bars["permutation"].tolist(), bars["permutation_spread"].tolist()),
        },
        title="Importance of filters (the paper's Figure 9)",
        axis="importance",
    )
    textures = []
    for row in ranked.head(NUM_IMPORTANT).to_dict("records"):
        facts = {
            "permutation": f"{row['permutation']:z.4f} ± {row['permutation_spread']:.4f} of weighted F1",
            "votes lost": f"{100 * row['votes']:.2f} %",
            "impurity": f"{row['impurity']:.4f} ± {row['impurity_spread']:.4f}",
        }
        if row["cluster_size"] > 1:
            others = int(row["cluster_size"]) - 1
            facts["rises and falls with"] = f"{others} more filter{'s' * (others > 1)}, permuted together"
        textures.append(shown.texture((row["layer"], int(row["filter"])), facts, row["class_means"]))
    is_told = bool(ranked["is_loss"].any())
    doubt = "" if is_told else " No filter's loss of F1 can be told from 0, so the order is that of the votes."
    about = (
        f"On the mean features of all five layers, weighted F1 {first['score']:.3f}, folds by {first['protocol']}:"
        f" permutation is what F1 loses when a filter, and those correlated with it, are permuted in the test folds;"
        f" votes, what the right class loses of the trees' votes; impurity is the paper's. ± is the standard deviation"
        f" over {first['num_folds']} folds.{doubt}"
    )
    return ImportantTextures(about + _of_snapshot(frame, catalog), textures, plot)


def _characteristic(frame: "pd.DataFrame", catalog: Catalog, shown: _Shown) -> CharacteristicTextures:
    means: dict[Filter, dict[str, float]] = {}
    wanted = frame[(frame["auc_rank"] <= NUM_CHARACTERISTIC) | (frame["difference_rank"] <= NUM_CHARACTERISTIC)]
    filters = set(zip(wanted["layer"], wanted["filter"], strict=True))
    for row in frame.itertuples():
        if (row.layer, row.filter) in filters:
            means.setdefault((row.layer, int(row.filter)), {})[str(row[frame.columns.get_loc("class") + 1])] = row.mean
    classes: dict[str, list[Texture]] = {}
    for name, rows in wanted.groupby("class"):
        ordered = rows.sort_values(["auc_rank", "difference_rank"], na_position="last")
        for row in ordered.to_dict("records"):
            facts = {}
            if row["auc_rank"] <= NUM_CHARACTERISTIC:
                facts["by AUC"] = f"number {row['auc_rank']:.0f}"
            if row["difference_rank"] <= NUM_CHARACTERISTIC:
                facts["by difference"] = f"number {row['difference_rank']:.0f} (the paper's order)"
            facts["AUC"] = "not defined" if np.isnan(_float(row["auc"])) else f"{row['auc']:.3f}"
            facts["difference"] = three_digits(row["difference"])
            one = (row["layer"], int(row["filter"]))
            classes.setdefault(str(name), []).append(shown.texture(one, facts, means[one]))
    unit = frame["group_column"].iloc[0] or "image"
    about = (
        "AUC: how well a filter's mean activation tells the class from the rest, over"
        f" {'images' if unit == 'image' else f'means of each {unit}'}. Difference: to the mean of the other classes,"
        " the paper's measure; it prefers strong filters."
    )
    return CharacteristicTextures(about + _of_snapshot(frame, catalog), classes)


def _heat_maps(frame: "pd.DataFrame") -> Gallery:
    pictures = []
    # Of every image the first filter's before anybody's second, so that no class is left out.
    turns = frame.assign(turn=frame.groupby("image_id").cumcount()).sort_values("turn", kind="stable")
    shown = turns.head(NUM_HEAT_MAPS).sort_values(["path", "turn"], kind="stable")
    for row in shown.to_dict("records"):
        name = f"{row['layer']} filter {row['filter']}"
        pixels = heat_map_overlay(
            _small(decoded(row["picture"])),
            decoded(row["activation"]),
            row["layer"],
            seen=(row["seen_height"], row["seen_width"]),
        )
        alt = f"Micrograph {row['path']} with the activation of {name} in colour."
        mean, highest = (three_digits(row[f"{which}_activation"]) for which in ("mean", "highest"))
        lines = [name, f"mean {mean}, highest {highest}"]
        pictures.append(Picture(row["path"], pixels, alt, lines))
    more = f" Shown are {NUM_HEAT_MAPS} of {len(frame)}." if len(frame) > NUM_HEAT_MAPS else ""
    return Gallery(f"Bright colours: where in a micrograph a filter is active.{more}", pictures)


def _map(points: "pd.DataFrame", typical: "pd.DataFrame", catalog: Catalog) -> FeatureMap:
    first = points.iloc[0]
    positions = points[["x", "y"]].to_numpy(np.float64)
    paths = points["path"].tolist()
    axes = ("", "")
    if first["method"] == "pca":
        along_x, along_y = (f"{100 * first[f'explained_{axis}']:.0f} % of the variance" for axis in "xy")
        axes = (along_x, along_y)
    labels = [None if _is_missing(value) else str(value) for value in points["label"]]
    plots = [map_plot(positions, paths, labels, title="By label", value_name=first["label_column"], axes=axes)]
    if len(typical):
        known = dict(zip(typical["image_id"], typical["atypicality"], strict=True))
        values = np.array([known.get(image_id, np.nan) for image_id in points["image_id"]], np.float64)
        plots.append(map_plot(positions, paths, values, title="By how atypical", value_name="atypicality", axes=axes))
    scale = _scales(points, catalog)
    if scale is not None:
        plots.append(map_plot(positions, paths, scale, title="By scale", value_name="log10 um per px", axes=axes))
    about = f"{first['method']} of {first['encoder']} {first['layer']}, {len(points):,} micrographs; near is alike."
    return FeatureMap(about + _of_snapshot(points, catalog), plots)


def _scales(points: "pd.DataFrame", catalog: Catalog) -> npt.NDArray[np.float64] | None:
    """log10 of um per px as the labels file has it; None where it has none."""
    table = catalog.snapshot.table
    if "meta_um_per_px" not in table.column_names:
        return None
    known = dict(zip(table["image_id"].to_pylist(), table["meta_um_per_px"].to_pylist(), strict=True))
    values = np.array([_float(known.get(image_id)) for image_id in points["image_id"]])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    return None if np.isnan(logs).all() else np.where(np.isfinite(logs), logs, np.nan)


def _neighbours(frame: "pd.DataFrame", catalog: Catalog, reader: PictureReader, most: int) -> Neighbours:
    rows = []
    for asked_id, found in islice(frame.groupby("asked_id", sort=False), most):
        nearest = found.sort_values("rank").head(NUM_NEIGHBOURS)
        pictures = _pictures([asked_id, *nearest["image_id"]], catalog, reader)
        if len(pictures) == 1 + len(nearest):
            told = [
                Picture(one.title, one.pixels, one.alt, [f"cosine {cosine:.4f}", *one.lines])
                for one, cosine in zip(pictures[1:], nearest["cosine"], strict=True)
            ]
            rows.append((pictures[0], told))
    first = frame.iloc[0]
    about = f"By the angle between vectors of {first['encoder']} {first['layer']}; 1 is the same direction."
    return Neighbours(about, rows)


def _atypical(frame: "pd.DataFrame", catalog: Catalog, reader: PictureReader, most: int) -> Gallery:
    chosen = frame.sort_values("atypical_rank").head(most)
    told = dict(zip(chosen["image_id"], chosen["atypicality"], strict=True))
    pictures = [
        Picture(one.title, one.pixels, one.alt, [f"{told[image_id]:.1f} times as far as the median", *one.lines])
        for image_id, one in zip(
            _present(chosen["image_id"], catalog), _pictures(chosen["image_id"], catalog, reader), strict=True
        )
    ]
    about = "Farthest from the micrographs nearest to them: the unusual, the mislabelled and the damaged."
    return Gallery(about + _of_snapshot(frame, catalog), pictures)


def _of_snapshot(frame: "pd.DataFrame", catalog: Catalog) -> str:
    own, current = int(frame["snapshot"].iloc[0]), catalog.snapshot.number
    return "" if own == current else f" Of snapshot {own}; the current one is {current}: run explain again."


def _present(image_ids: Iterable[str], catalog: Catalog) -> list[str]:
    there = set(catalog.snapshot.table["image_id"].to_pylist())
    return [image_id for image_id in image_ids if image_id in there]


def _pictures(image_ids: Iterable[str], catalog: Catalog, reader: PictureReader) -> list[Picture]:
    """One for each image that the current snapshot has."""
    table = catalog.snapshot.table
    place = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}
    rows = [place[image_id] for image_id in _present(image_ids, catalog)]
    return reader.read(table.take(rows)) if rows else []


def _small(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return thumbnail(picture, PICTURE_PX, PICTURE_PX)


def _gain(gain: float | None) -> str:
    if gain is None or np.isnan(gain):
        return "activates it"
    return "noise does not activate it" if np.isinf(gain) else f"{three_digits(gain)} times the activation of noise"


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
