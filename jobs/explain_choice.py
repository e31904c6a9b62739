"""What explain looks at: filters by importance and by class, images by how typical they are, and what was named."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import pyarrow.compute as pc

from jobs.evaluation_request import ALL_LAYERS, EvaluationRequest
from jobs.evaluation_sets import FeatureSet, feature_set, only_images, read_sets
from jobs.explain_plan import ExplanationPlan, Say
from jobs.explain_request import Filter
from schemas import REJECTED
from texture_store.errors import FeaturesNotFoundError, UsageError
from texture_store.spec import NETWORK_LAYERS, NUM_CHANNELS, Encoder, Layer
from texture_store.store.members import read_members

if TYPE_CHECKING:
    import pandas as pd

NUM_CHARACTERISTIC = 3
"""Filters of a class and method, as in the paper's Figures 11 and 12."""
NUM_HEAT_MAPS = 3
"""Filters whose heat maps are made: the most important ones."""
METHODS = ("difference", "auc")


@dataclass(frozen=True)
class Chosen:
    """Filters, the first ones first."""

    top: list[Filter] = field(default_factory=list)
    """By importance."""
    by_impurity: list[Filter] = field(default_factory=list)
    """The first three by impurity alone, which the paper shows."""
    by_class: dict[str, dict[str, list[Filter]]] = field(default_factory=dict)
    """By class and method."""

    @property
    def every(self) -> list[Filter]:
        """Each once."""
        of_classes = [one for methods in self.by_class.values() for some in methods.values() for one in some]
        return list(dict.fromkeys([*self.top, *self.by_impurity, *of_classes]))


def choose_filters(plan: ExplanationPlan, importances: "pd.DataFrame | None", classes: "pd.DataFrame | None") -> Chosen:
    """What is important and characteristic."""
    top: list[Filter] = []
    by_impurity: list[Filter] = []
    if importances is not None:
        top = _filters(importances[importances["rank"] <= plan.request.top], "rank")
        by_impurity = _filters(importances[importances["impurity_rank"] <= NUM_CHARACTERISTIC], "impurity_rank")
    by_class: dict[str, dict[str, list[Filter]]] = {}
    if classes is not None:
        for name, rows in classes.groupby("class"):
            by_class[str(name)] = {
                method: _filters(rows[rows[f"{method}_rank"] <= NUM_CHARACTERISTIC], f"{method}_rank")
                for method in METHODS
            }
    return Chosen(top, by_impurity, by_class)


def _filters(rows: "pd.DataFrame", order: str) -> list[Filter]:
    rows = rows.sort_values(order)
    return [(layer, int(number)) for layer, number in zip(rows["layer"], rows["filter"], strict=True)]


def extreme_images(plan: ExplanationPlan, typical: "pd.DataFrame | None") -> list[int]:
    """Rows of the plan's images: of each class the most typical image, then the least typical one."""
    if typical is None:
        return []
    labelled = typical[typical["class_rank"].notna()]
    rows = {image_id: row for row, image_id in enumerate(plan.images.column("image_id").to_pylist())}
    found: list[int] = []
    for _, of_class in labelled.groupby("label"):
        ordered = of_class.sort_values("class_rank")
        found += [rows[ordered["image_id"].iloc[place]] for place in (0, -1)[: len(ordered)]]
    return found


def parse_filters(text: str) -> tuple[Filter, ...]:
    """Such as `conv4_3:17,conv5_3:3`. Raises UsageError for a layer or filter that does not exist."""
    found: list[Filter] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = re.fullmatch(r"([^:]+):([0-9]{1,9})", part)
        if match is None:
            raise UsageError(f"--filters {part}: write LAYER:NUMBER, such as conv4_3:17")
        layer, number = match[1], int(match[2])
        if layer not in NETWORK_LAYERS:
            raise UsageError(f"--filters {part}: no layer {layer}; the layers are {' '.join(NETWORK_LAYERS)}")
        if number >= NUM_CHANNELS[layer]:
            last = NUM_CHANNELS[layer] - 1
            raise UsageError(f"--filters {part}: {layer} has no filter {number}; its filters are 0 to {last}")
        found.append((layer, number))
    if not found:
        raise UsageError("--filters: name at least one, such as conv4_3:17")
    return tuple(dict.fromkeys(found))


def named_image(plan: ExplanationPlan, path: str, option: str) -> int:
    """Row of the plan's images. Raises UsageError, with the reason, for one that is not among them."""
    row = pc.index(plan.images.column("path"), path).as_py()
    if row >= 0:
        return int(row)
    snapshot = plan.catalog.snapshot
    if pc.index(snapshot.table.column("path"), path).as_py() < 0:
        raise UsageError(
            f"{option} {path}: no such image in snapshot {snapshot.number} of dataset {plan.request.dataset}; paths are"
            " relative to the archive"
        )
    for spec in dict.fromkeys(one.spec.fingerprint for one in plan.features.layers):
        rejected = read_members(plan.storage, plan.catalog.rejected_files(spec), REJECTED)
        place = pc.index(rejected.column("path"), path).as_py()
        if place >= 0:
            stage, message = (rejected.column(name)[place].as_py() for name in ("stage", "message"))
            raise UsageError(f"{option} {path}: it was rejected ({stage}: {message}) and has no features")
    why = "it does not meet --where" if plan.request.where else "it is pending: run featurize again"
    raise UsageError(f"{option} {path}: there are no features of it among these images; {why}")


def feature_set_of(plan: ExplanationPlan, encoder: Encoder, layer: str, say: Say) -> FeatureSet:
    """Other features of the plan's images. Raises FeaturesNotFoundError when some have none."""
    if layer != ALL_LAYERS and layer not in get_args(Layer):
        raise UsageError(f"--layer {layer}: no such layer; choose from {' '.join(get_args(Layer))} {ALL_LAYERS}")
    if (encoder, layer) == ("mean", ALL_LAYERS):
        return plan.features
    asked = EvaluationRequest(plan.request.store_url, plan.request.dataset, spec=plan.request.spec)
    found = read_sets(plan.catalog, [(encoder, layer)], asked, say)
    kept = {pair: only_images(features, plan.images) for pair, features in found.items()}
    for pair, features in kept.items():
        if len(features) < plan.images.num_rows:
            lacking = plan.images.num_rows - len(features)
            raise FeaturesNotFoundError(
                f"dataset {plan.request.dataset}: {lacking} of these images have no {' '.join(pair)} features; run"
                " featurize or encode again"
            )
    return feature_set((encoder, layer), kept, raw_sums=False)


def as_text(filters: Sequence[Filter]) -> str:
    """Such as `conv4_3:17,conv5_3:3`: what --filters takes."""
    return ",".join(f"{layer}:{number}" for layer, number in filters)
