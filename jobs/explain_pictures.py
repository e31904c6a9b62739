"""Exemplars of filters, and heat maps of images: which there should be, and making those that the store lacks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.explain_looking import Looked, Wanted, look_at
from jobs.explain_plan import ExplanationPlan, Say
from jobs.explain_request import Filter
from jobs.explain_versions import network_versions
from texture_store.errors import CorpusError, StoreError, WeightsError
from texture_store.explain.patches import highest_rows
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.explanations import explanation_key, write_explanation

if TYPE_CHECKING:
    import pandas as pd

NUM_EXEMPLARS = 5

Question = dict[str, Any]


def exemplars_and_heat_maps(
    plan: ExplanationPlan,
    filters: Sequence[Filter],
    heat_maps: Mapping[int, Sequence[Filter]],
    join: Callable[[], None],
    left_out: Say,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Rows of schemas.EXEMPLARS of these filters, and of schemas.HEAT_MAPS by image (row of the plan's) and filter.

    Images that changed since they were indexed, and all that the store lacks where the archive or the weights cannot be
    read, are left out; `left_out` is told why.
    """
    dataset = plan.request.dataset
    exemplars = {one: _exemplar_question(plan, one) for one in filters}
    missing = {
        one: highest_rows(plan.matrix, plan.filters.index(one), NUM_EXEMPLARS).tolist()
        for one, question in exemplars.items()
        if explanation_key(dataset, "exemplars", question) not in plan.there["exemplars"]
    }
    maps = {(row, one): _heat_map_question(plan, row, one) for row, some in heat_maps.items() for one in some}
    missing_maps = [
        place
        for place, question in maps.items()
        if explanation_key(dataset, "heat_maps", question) not in plan.there["heat_maps"]
    ]
    wanted: dict[int, Wanted] = {}
    for one, rows in missing.items():
        for row in rows:
            wanted.setdefault(row, Wanted()).patches.append(one)
    for row, one in missing_maps:
        wanted.setdefault(row, Wanted()).heat_maps.append(one)
    try:
        found = look_at(
            plan.storage,
            plan.catalog.snapshot.archive_url,
            plan.images,
            wanted,
            plan.spec_of,
            join,
            doing="exemplars and heat maps",
        )
    except (CorpusError, StoreError, WeightsError) as error:
        left_out(f"exemplars and heat maps that the store lacks are left out: {error}")
        found, missing, missing_maps = {}, {}, []
    _write_exemplars(plan, exemplars, missing, found)
    _write_heat_maps(plan, maps, missing_maps, found)
    if lost := {row for (row, _), one in found.items() if one is None}:
        left_out(f"{len(lost)} images changed since they were indexed and are left out; run index again")
    return (
        _read(plan, "exemplars", exemplars.values()),
        _read(plan, "heat_maps", maps.values()),
    )


def edge_filters(exemplars: "pd.DataFrame") -> set[Filter]:
    """The filters that speak at the edge of the picture, where the network sees zero padding, and not of the material.

    The best patch keeps away from the edge (explain.patches.EDGE_POSITIONS) and is at least as active as the rest of
    the inside: where it is less active than the whole picture, the edge makes the mean. Counted where that is so for
    most of a filter's exemplars.
    """
    at_edge = exemplars["patch_mean_activation"] < exemplars["mean_activation"]
    shares = at_edge.groupby([exemplars["layer"], exemplars["filter"]]).mean()
    return {(layer, int(number)) for (layer, number), share in shares.items() if share > 0.5}


def _read(plan: ExplanationPlan, table: str, questions: Any) -> "pd.DataFrame":
    keys = {explanation_key(plan.request.dataset, table, question) for question in questions}
    return explanations_frame(read_explanations(plan.storage, plan.request.dataset, table, keys), table)


def _exemplar_question(plan: ExplanationPlan, one: Filter) -> Question:
    layer, number = one
    about = plan.about_images(plan.spec_of(layer).fingerprint)
    return about | {"layer": layer, "filter": number, "count": NUM_EXEMPLARS}


def _heat_map_question(plan: ExplanationPlan, row: int, one: Filter) -> Question:
    layer, number = one
    return _named(plan.images, row) | {
        "spec": plan.spec_of(layer).fingerprint,
        "layer": layer,
        "filter": number,
        **plan.scale_of(layer, row),
    }


def _named(images: pa.Table, row: int) -> dict[str, Any]:
    return {name: images.column(name)[row].as_py() for name in ("image_id", "path")}


def _write_exemplars(
    plan: ExplanationPlan,
    questions: Mapping[Filter, Question],
    missing: Mapping[Filter, Sequence[int]],
    found: Mapping[tuple[int, str], Looked | None],
) -> None:
    for one, rows in missing.items():
        column = plan.filters.index(one)
        written = []
        for rank, row in enumerate(rows, 1):
            looked = found[row, plan.spec_of(one[0]).fingerprint]
            if looked is not None:
                mean = {"rank": rank, "mean_activation": float(plan.matrix[row, column])}
                seen = looked.seen | plan.scale_of(one[0], row)
                written.append(_named(plan.images, row) | mean | seen | looked.patches[one])
        if written:
            write_explanation(
                plan.storage, plan.request.dataset, "exemplars", questions[one], written, network_versions()
            )


def _write_heat_maps(
    plan: ExplanationPlan,
    questions: Mapping[tuple[int, Filter], Question],
    missing: Sequence[tuple[int, Filter]],
    found: Mapping[tuple[int, str], Looked | None],
) -> None:
    for row, one in missing:
        looked = found[row, plan.spec_of(one[0]).fingerprint]
        if looked is not None:
            rows = [looked.seen | looked.heat_maps[one]]
            write_explanation(
                plan.storage, plan.request.dataset, "heat_maps", questions[row, one], rows, network_versions()
            )
