"""What an explain run works on: images, their mean features, labels, groups, and folds if there can be any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.evaluation_columns import selected
from jobs.evaluation_request import ALL_LAYERS, PROTOCOLS, EvaluationRequest
from jobs.evaluation_sets import FeatureSet, feature_set, only_images, read_sets
from jobs.evaluation_splits import Grouping, Split, make_grouping, make_splits
from jobs.explain_request import ExplainRequest, Filter
from jobs.report_images import labels_of
from texture_store.errors import FeaturesNotFoundError, UsageError
from texture_store.evaluation.folds import classes_in_one_group
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec, Layer
from texture_store.store.catalog import Catalog
from texture_store.store.comparable import comparable_matrix
from texture_store.store.evaluations import members_digest
from texture_store.store.explanations import explained_keys
from texture_store.store.opening import open_for_writing
from texture_store.store.reader import read_catalog

Say = Callable[[str], None]

MAX_CLASSES = 40
"""More labels than that are no classes but names or quantities, and nobody looks at as many sheets."""


@dataclass(frozen=True)
class Labelled:
    """The images that have a label, for what needs labels."""

    rows: npt.NDArray[np.intp]
    """(m,) of the plan's images."""
    labels: npt.NDArray[np.str_]
    """(m,)"""
    grouping: Grouping | None
    """None where there are no groups; of these images."""
    splits: tuple[Split, ...]
    """Those of evaluate, under one protocol; none where no folds can be made."""
    members: str

    @property
    def protocol(self) -> str:
        """Of the splits."""
        return self.splits[0].protocol


@dataclass(frozen=True)
class ExplanationPlan:
    """Everything that is decided before anything is computed."""

    storage: Storage
    request: ExplainRequest
    catalog: Catalog
    features: FeatureSet
    """Mean features of all five layers."""
    images: pa.Table
    """(n rows) of the snapshot: those that have them and meet the conditions, in its order."""
    labels: npt.NDArray[np.object_]
    """(n,) text, or None."""
    labelled: Labelled | None
    """None where labels are missing, or say nothing."""
    left_out: list[str]
    """What cannot be done, and why."""
    there: dict[str, set[str]]
    """By table, keys of what the store has already."""

    @cached_property
    def matrix(self) -> npt.NDArray[np.float32]:
        """(n, d) the features, a column a filter; read when they are first needed."""
        return comparable_matrix(self.features.layers, self.features.form)

    @cached_property
    def filters(self) -> list[Filter]:
        """(d) of each column."""
        return [(one.layer, number) for one in self.features.layers for number in range(one.num_features)]

    @cached_property
    def members(self) -> str:
        """Hash of the image_ids in order."""
        return members_digest(self.images.column("image_id").to_pylist())

    def spec_of(self, layer: Layer) -> FeatureSpec:
        """Of the mean features of a layer."""
        return next(one.spec for one in self.features.layers if one.layer == layer)

    def scale_of(self, layer: Layer, row: int) -> dict[str, float | None]:
        """Um per px of what the network saw of an image, from the file or the labels."""
        scales = next(one.scales for one in self.features.layers if one.layer == layer)
        found = {"um_per_px_x": float(scales.x[row]), "um_per_px_y": float(scales.y[row])}
        return {name: value if np.isfinite(value) else None for name, value in found.items()}

    def about_images(self, spec: str | None = None) -> dict[str, Any]:
        """The columns that say which images rows are of."""
        return {
            "snapshot": self.catalog.snapshot.number,
            "spec": spec or self.features.spec,
            "conditions": sorted(self.request.where),
            "members": self.members,
            "num_images": self.images.num_rows,
        }

    def about_labelled(self) -> dict[str, Any]:
        """Likewise, for rows that are of the labelled images alone."""
        assert self.labelled is not None
        return self.about_images() | {
            "members": self.labelled.members,
            "num_images": len(self.labelled.rows),
            "label_column": self.request.label_column,
        }


def make_explanation_plan(request: ExplainRequest, say: Say) -> ExplanationPlan:
    """Decide everything; reads no vector. `say` is told what was chosen, and what is left out.

    Raises UsageError for columns that are not there, and FeaturesNotFoundError when no image has mean features of all
    five layers.
    """
    storage = open_for_writing(request.store_url, create=False)
    catalog = read_catalog(storage, request.dataset, request.snapshot)
    asked = _as_evaluate(request)
    found = read_sets(catalog, [("mean", ALL_LAYERS)], asked, say)
    table = catalog.snapshot.table
    images = table.filter(pa.array(selected(table, request.where)))
    if not images.num_rows:
        raise UsageError(f"dataset {request.dataset}: no image meets --where {' --where '.join(request.where)}")
    for features in found.values():
        has = features.members.column("image_id").combine_chunks()
        images = images.filter(pc.is_in(images.column("image_id"), value_set=has))
    if not images.num_rows:
        raise FeaturesNotFoundError(
            f"dataset {request.dataset}: no image has mean features of all five layers; run featurize again"
        )
    kept = {pair: only_images(features, images) for pair, features in found.items()}
    labels = labels_of(images, request.label_column)
    left_out: list[str] = []
    labelled = _labelled(request, catalog, images, labels, left_out, say)
    for reason in left_out:
        say(reason)
    return ExplanationPlan(
        storage=storage,
        request=request,
        catalog=catalog,
        features=feature_set(("mean", ALL_LAYERS), kept, raw_sums=False),
        images=images,
        labels=labels,
        labelled=labelled,
        left_out=left_out,
        there=explained_keys(storage, request.dataset),
    )


def _as_evaluate(request: ExplainRequest) -> EvaluationRequest:
    """The question of evaluate that has the same folds."""
    return EvaluationRequest(
        request.store_url,
        request.dataset,
        encoders=("mean",),
        layers=(ALL_LAYERS,),
        trials=request.trials,
        folds=request.folds,
        trees=request.trees,
        protocols=() if request.protocol is None else (request.protocol,),
        label_column=request.label_column,
        group_column=request.group_column,
        where=request.where,
        spec=request.spec,
        snapshot=request.snapshot,
    )


def _labelled(
    request: ExplainRequest,
    catalog: Catalog,
    images: pa.Table,
    labels: npt.NDArray[np.object_],
    left_out: list[str],
    say: Say,
) -> Labelled | None:
    rows = np.flatnonzero([label is not None for label in labels])
    without = "importances and characteristic filters are left out"
    if not len(rows):
        left_out.append(
            f"no image has a label in column {request.label_column}: {without}; run index with --labels, or name"
            " another --label-column"
        )
        return None
    texts = labels[rows].astype(np.str_)
    if (number := len(np.unique(texts))) > MAX_CLASSES or number < 2:
        why = "one class only" if number < 2 else f"more than {MAX_CLASSES}, as names and quantities have"
        left_out.append(f"column {request.label_column} has {number} values, {why}: {without}; name another column")
        return None
    if len(rows) < len(labels):
        say(f"{len(labels) - len(rows)} of {len(labels)} images have no label: only in the map and among the atypical")
    here = images.take(pa.array(rows))
    asked = _as_evaluate(request)
    every = EvaluationRequest(**(vars(asked) | {"protocols": ()}))
    grouping = make_grouping(here, every)
    splits: Sequence[Split] = ()
    try:
        splits = make_splits(asked, catalog.snapshot.number, texts, grouping, say)
    except UsageError as error:
        left_out.append(f"importances are left out: {error}")
    return Labelled(
        rows=rows,
        labels=texts,
        grouping=grouping,
        splits=_of_one_protocol(splits, texts, grouping, say),
        members=members_digest(here.column("image_id").to_pylist()),
    )


def _of_one_protocol(
    splits: Sequence[Split], labels: npt.NDArray[np.str_], grouping: Grouping | None, say: Say
) -> tuple[Split, ...]:
    """By group where that is possible for all classes: what forests rely on to know a specimen again is not asked."""
    by = {protocol: tuple(split for split in splits if split.protocol == protocol) for protocol in PROTOCOLS}
    if by["group"] and by["image"] and grouping is not None and classes_in_one_group(labels, grouping.groups):
        say("importances are by image, since some class is of one group only")
        return by["image"]
    return by["group"] or by["image"]
