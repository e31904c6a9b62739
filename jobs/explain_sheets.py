"""The figures of explain, drawn from what the store keeps, and sample micrographs from the archive."""

import contextlib
import hashlib
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.explain_choice import METHODS, Chosen
from jobs.explain_plan import ExplanationPlan, Say
from jobs.explain_request import Filter
from texture_store.archive.fetch import fetch
from texture_store.errors import ObjectExistsError, RejectedImageError, TextureStoreError
from texture_store.explain.heat_map import enlarge
from texture_store.micrograph.reading import read_micrograph
from texture_store.objects import open_storage
from texture_store.report.encoded import decoded
from texture_store.report.evaluation_figures import figure_bytes
from texture_store.report.heat_map_figure import heat_map_figure
from texture_store.report.heat_map_overlay import overlay_colours
from texture_store.report.map_figure import map_figure
from texture_store.report.picture_grid import GridCell, GridRow, grid_figure
from texture_store.report.scale_bar import pixel_shape
from texture_store.report.three_digits import three_digits
from texture_store.report.thumbnail import thumbnail
from texture_store.store.layout import report_path

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NUM_SAMPLES = 6
"""Micrographs above the textures of a class: the most typical ones."""
NUM_EXEMPLARS_SHOWN = 3
NUM_MARKED = 5
"""Atypical images that the map names."""

Pictures = dict[Filter, npt.NDArray[np.uint8]]


def picture_of(textures: pa.Table) -> Pictures:
    """The texture of each filter; by the recipe `better` where there are two."""
    rows = sorted(textures.to_pylist(), key=lambda row: row["recipe"] == "better")
    return {(row["layer"], row["filter"]): decoded(row["picture"]) for row in rows}


def filters_sheet(
    plan: ExplanationPlan,
    filters: Sequence[Filter],
    about: Mapping[Filter, Sequence[str]],
    textures: Pictures,
    gains: Mapping[Filter, Sequence[str]],
    exemplars: "pd.DataFrame",
    *,
    title: str,
    notes: Sequence[str] = (),
) -> "Figure | None":
    """A row for each filter: what is known about it, texture, and the most active micrographs with their patches."""
    labels = dict(zip(plan.images.column("image_id").to_pylist(), plan.labels, strict=True))
    rows = []
    for number, one in enumerate(filters, 1):
        own = exemplars[(exemplars["layer"] == one[0]) & (exemplars["filter"] == one[1])]
        cells = [GridCell(textures.get(one), ("texture" if one in textures else "no texture", *gains.get(one, ())))]
        for row in own.head(NUM_EXEMPLARS_SHOWN).to_dict("records"):
            cells += _micrograph_and_patch(row, labels.get(row["image_id"]))
        rows.append(GridRow(f"{number}. {one[0]} filter {one[1]}", cells, about.get(one, ())))
    return grid_figure(rows, title=title, notes=notes)


def class_sheets(
    plan: ExplanationPlan,
    chosen: Chosen,
    classes: "pd.DataFrame",
    typical: "pd.DataFrame | None",
    textures: Pictures,
    exemplars: "pd.DataFrame",
    at_edge: Container[Filter],
    say: Say,
) -> dict[str, "Figure"]:
    """By name of the file: sample micrographs of a class above the textures that are characteristic of it."""
    best = exemplars[exemplars["rank"] == exemplars.groupby(["layer", "filter"])["rank"].transform("min")]
    patches = {(row["layer"], int(row["filter"])): row for row in best.to_dict("records")}
    labels = dict(zip(plan.images.column("image_id").to_pylist(), plan.labels, strict=True))
    samples = _samples(plan, {name: _of_class(plan, typical, name) for name in chosen.by_class}, say)
    found = {}
    for number, (name, methods) in enumerate(chosen.by_class.items(), 1):
        of_class = classes[classes["class"] == name].set_index(["layer", "filter"])
        first = of_class.iloc[0]
        over = first["group_column"] if isinstance(first["group_column"], str) else "image"
        shown = "micrographs of the class" if typical is None else "the most typical micrographs of the class"
        rows = [GridRow(shown, samples[name])]
        titles = {
            "difference": "filters with the greatest difference in mean activation (each: texture, most active patch)",
            "auc": f"filters that tell it apart best, by AUC ({first['num_class_units']:,} of the class, by {over})",
        }
        for method in METHODS:
            cells: list[GridCell] = []
            for one in methods[method]:
                cells += _texture_and_patch(
                    one, of_class.loc[one], textures.get(one), patches.get(one), labels, one in at_edge
                )
            rows.append(GridRow(titles[method], cells))
        figure = grid_figure(rows, title=f"{plan.request.dataset}: {name} ({first['num_class_images']:,} images)")
        if figure is not None:
            found[f"class-{number:02}{_slug(name)}"] = figure
    return found


def heat_map_sheet(
    plan: ExplanationPlan, images: Sequence[int], filters: Sequence[Filter], heat_maps: "pd.DataFrame"
) -> "Figure | None":
    """A row for each class: an image with each filter's activation over it, then another one, in one scale a filter."""
    rows = heat_maps.to_dict("records")
    by_place = {(one["image_id"], one["layer"], int(one["filter"])): one for one in rows}
    tops = {one: _top([row for row in rows if (row["layer"], row["filter"]) == one]) for one in filters}
    by_class: dict[str, list[GridCell]] = {}
    seen: dict[str, int] = {}
    for row in images:
        name = str(plan.labels[row])
        seen[name] = seen.get(name, 0) + 1
        image_id = plan.images.column("image_id")[row].as_py()
        own = {one: by_place[image_id, *one] for one in filters if (image_id, *one) in by_place}
        if not own:
            continue
        first = next(iter(own.values()))
        picture = decoded(first["picture"])
        shape = pixel_shape(_facts(first, picture))
        which = "most typical" if seen[name] == 1 else "least typical"
        cells = by_class.setdefault(name, [])
        cells.append(GridCell(picture, (which, first["path"]), shape))
        for one, about in own.items():
            mean, peak = three_digits(about["mean_activation"]), three_digits(about["highest_activation"])
            lines = (f"{one[0]} filter {one[1]}", f"mean {mean}, highest {peak}")
            cells.append(GridCell(picture, lines, shape, _overlay(about, one, tops[one])))
    scales = ", ".join(f"{layer} {number}: {three_digits(tops[layer, number])}" for layer, number in filters)
    notes = [
        "Colour is activation: none at 0, then violet, red, and yellow from a value that 1 in 200 positions exceeds"
        f" ({scales}); the same for all pictures of a filter."
    ]
    shown = [GridRow(name, cells) for name, cells in by_class.items()]
    return grid_figure(shown, title=f"{plan.request.dataset}: where the most important filters are active", notes=notes)


def image_heat_maps(plan: ExplanationPlan, row: int, heat_maps: "pd.DataFrame") -> dict[str, "Figure"]:
    """By name of the file: the figure of each filter over one image."""
    found = {}
    for one in heat_maps.to_dict("records"):
        picture = decoded(one["picture"])
        activation = _map(one)
        if picture.shape != (one["seen_height"], one["seen_width"]):
            # The map is of the picture as it was seen: drawn at that size, whatever size was kept.
            picture = _at_size(picture, one["seen_width"], one["seen_height"])
        found[f"{one['layer'].replace('_', '-')}-{one['filter']}"] = heat_map_figure(
            picture,
            activation,
            layer=one["layer"],
            filter_number=int(one["filter"]),
            path=one["path"],
            facts=one,
            label=plan.labels[row],
        )
    return found


def map_sheet(plan: ExplanationPlan, points: "pd.DataFrame", typical: "pd.DataFrame | None") -> "Figure":
    """The map, with the most atypical images named."""
    first = points.iloc[0]
    marked = {}
    if typical is not None:
        ranks = dict(zip(typical["image_id"], typical["atypical_rank"], strict=True))
        marked = {
            row: f"{ranks[image_id]}"
            for row, image_id in enumerate(points["image_id"])
            if ranks.get(image_id, NUM_MARKED + 1) <= NUM_MARKED
        }
    method = first["method"]
    names = ("t-SNE 1", "t-SNE 2")
    if method == "pca":
        names = tuple(  # type: ignore[assignment]
            f"principal component {axis} ({share:.0%} of the variance)"
            for axis, share in ((1, first["explained_x"]), (2, first["explained_y"]))
        )
    what = "mean features of all five layers" if first["layer"] == "all" else f"{first['encoder']} {first['layer']}"
    title = f"{plan.request.dataset}: {len(points):,} images by {what}; rings: the most atypical"
    labels = [None if label is None else str(label) for label in points["label"].astype(object)]
    return map_figure(points[["x", "y"]].to_numpy(), labels, title=title, axes_names=names, marked=marked)


def neighbours_sheet(plan: ExplanationPlan, row: int, found: "pd.DataFrame", say: Say) -> "Figure | None":
    """The image that was asked about, and the nearest ones."""
    places = {image_id: place for place, image_id in enumerate(plan.images.column("image_id").to_pylist())}
    rows = [places[image_id] for image_id in found["image_id"]]
    pictures = _read(plan, [row, *rows], say)
    about = [[plan.labels[place] or ""] for place in (row, *rows)]
    for one, cosine in zip(about[1:], found["cosine"], strict=True):
        one.append(f"cosine {cosine:.4f}")
    cells = [
        GridCell(cell.picture, [*cell.lines, *filter(None, lines)], cell.shape)
        for cell, lines in zip(pictures, about, strict=True)
    ]
    half = (len(cells) + 1) // 2
    shown = [GridRow("asked about", cells[:1]), GridRow("nearest first", cells[1:half]), GridRow("", cells[half:])]
    what = f"{found['encoder'].iloc[0]} {found['layer'].iloc[0]}"
    return grid_figure(shown, title=f"{plan.request.dataset}: nearest micrographs by {what}")


def write_files(
    plan: ExplanationPlan, contents: Mapping[str, "bytes | Figure"], question: Iterable[str], output: str | None
) -> list[str]:
    """Write figures and tables into the store's reports, and to `output` too; their URLs, those in `output` if given.

    Names end in a hash of the question and of the content, so that the same figure is written once.
    """
    asked = hashlib.sha256("\n".join(sorted(question)).encode()).hexdigest()[:12]
    urls = []
    target = None if output is None else open_storage(output)
    for name, content in contents.items():
        is_figure = not isinstance(content, bytes)
        data: bytes = figure_bytes(content, "png") if is_figure else content  # type: ignore[arg-type,assignment]
        stem, _, suffix = name.partition(".")
        shown = hashlib.sha256(data).hexdigest()[:8]
        file = f"explanation-{asked}-{stem}-{shown}.{suffix or 'png'}"
        url = _create(plan.storage, report_path(plan.request.dataset, file), data)
        urls.append(url if target is None else _create(target, f"{plan.request.dataset}-{file}", data))
    return urls


def _create(storage: Any, path: str, data: bytes) -> str:
    with contextlib.suppress(ObjectExistsError):  # the name says what it shows: it is there already
        storage.create(path, data)
    url: str = storage.url_of(path)
    return url


def _micrograph_and_patch(row: Mapping[str, Any], label: str | None) -> list[GridCell]:
    picture = decoded(row["picture"])
    scale = picture.shape[1] / row["seen_width"]
    left, top, side = (row[f"patch_{name}"] * scale for name in ("left", "top", "side"))
    of_class = [label] if label is not None else []
    return [
        GridCell(
            picture,
            (f"mean {three_digits(row['mean_activation'])}", *of_class, row["path"]),
            pixel_shape(_facts(row, picture)),
            box=(left, top, left + side, top + side),
        ),
        GridCell(
            decoded(row["patch"]),
            (f"its most active patch: {three_digits(row['patch_mean_activation'])}",),
            pixel_shape(_facts(row, None)),
        ),
    ]


def _texture_and_patch(
    one: Filter,
    about: "pd.Series[Any]",
    texture: npt.NDArray[np.uint8] | None,
    patch: Mapping[str, Any] | None,
    labels: Mapping[str, str | None],
    is_at_edge: bool,
) -> list[GridCell]:
    others = about["mean"] - about["difference"]
    auc = "AUC unknown: one specimen" if np.isnan(about["auc"]) else f"AUC {about['auc']:.3f}"
    lines = (
        f"{one[0]} filter {one[1]}",
        f"mean {three_digits(about['mean'])}, others {three_digits(others)}",
        auc,
        *(["mostly at the picture's edge"] if is_at_edge else []),
    )
    cells = [GridCell(texture, lines)]
    if patch is None:
        return [*cells, GridCell(None)]
    picture = decoded(patch["patch"])
    label = labels.get(patch["image_id"])
    of_patch = (
        f"patch {three_digits(patch['patch_mean_activation'])}, image {three_digits(patch['mean_activation'])}",
        *([label] if label is not None else []),
        patch["path"],
    )
    return [*cells, GridCell(picture, of_patch, pixel_shape(_facts(patch, None)))]


def _facts(row: Mapping[str, Any], picture: npt.NDArray[np.uint8] | None) -> dict[str, Any]:
    """Scale of a kept picture, which may be smaller than what the network saw."""
    scale = 1.0 if picture is None else row["seen_width"] / picture.shape[1]
    um = {name: None if row[name] is None else row[name] * scale for name in ("um_per_px_x", "um_per_px_y")}
    return um | {name: row[name] for name in ("px_per_px_x", "px_per_px_y")}


def _map(row: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    levels = decoded(row["activation"]).astype(np.float32)
    return np.asarray(levels * (row["highest_activation"] / 255), np.float32)


def _top(rows: Sequence[Mapping[str, Any]]) -> float:
    """The activation that is shown as the highest: single peaks would leave everything else dark."""
    values = np.concatenate([_map(row).ravel() for row in rows]) if rows else np.zeros(1)
    return float(np.percentile(values, 99.5)) or float(values.max())


def _overlay(row: Mapping[str, Any], one: Filter, top: float) -> npt.NDArray[np.uint8]:
    large = enlarge(_map(row), one[0], row["seen_height"], row["seen_width"])
    return overlay_colours(large / top if top > 0 else large)


def _at_size(picture: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    from texture_store.micrograph.resize import resize

    large = resize(picture.astype(np.float32), width, height, method="bilinear")
    return np.asarray(np.clip(np.rint(large), 0, 255), np.uint8)


def _of_class(plan: ExplanationPlan, typical: "pd.DataFrame | None", name: str) -> list[int]:
    """Rows of the plan's images: the most typical ones of a class, or the first ones."""
    rows = np.flatnonzero(plan.labels == name)
    if typical is not None:
        ranks = dict(zip(typical["image_id"], typical["class_rank"], strict=True))
        image_ids = plan.images.column("image_id").to_pylist()
        rows = np.array(sorted(rows.tolist(), key=lambda row: ranks[image_ids[row]]), np.intp)
    return [int(row) for row in rows[:NUM_SAMPLES]]


def _samples(plan: ExplanationPlan, wanted: Mapping[str, Sequence[int]], say: Say) -> dict[str, list[GridCell]]:
    cells = iter(_read(plan, [row for some in wanted.values() for row in some], say))
    return {name: [next(cells) for _ in some] for name, some in wanted.items()}


def _read(plan: ExplanationPlan, rows: Sequence[int], say: Say) -> list[GridCell]:
    """What the network saw of rows of the plan's images, each with its name; without picture where it cannot be read.

    An archive that cannot be read leaves all pictures out, and it says so.
    """
    images = plan.images.take(pa.array(rows, pa.int64()))
    names = images.column("path").to_pylist()
    cells = [GridCell(None, (name,)) for name in names]
    shown = plan.features.layers[-1]
    try:
        for fetched in fetch(images, plan.catalog.snapshot.archive_url):
            if fetched.data is None:
                continue
            with contextlib.suppress(RejectedImageError):
                read = read_micrograph(fetched.data, shown.spec.pixels, sidecar=fetched.sidecar)
                picture = thumbnail(read.seen, 512, 512)
                facts = read.facts | plan.scale_of(shown.layer, rows[fetched.index])
                shape = pixel_shape(_facts(facts, picture))
                cells[fetched.index] = GridCell(picture, (names[fetched.index],), shape)
    except TextureStoreError as error:
        say(f"sample micrographs are left out: {error}")
    return cells


def _slug(name: str) -> str:
    """What of a label can stand in the name of a file."""
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:30]
    return f"-{plain}" if plain else ""
