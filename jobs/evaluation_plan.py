"""What an evaluate run has to do: feature sets, images, labels, folds, and the trials that the store lacks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.evaluation_columns import beside_features, column_of, parsed, selected, targets
from jobs.evaluation_request import EvaluationRequest, Say
from jobs.evaluation_sets import FeatureSet, describe_form, feature_set, only_images, read_sets, wanted_sets
from jobs.evaluation_splits import Grouping, Split, make_grouping, make_splits
from texture_store.errors import FeaturesNotFoundError, UsageError
from texture_store.evaluation.columns import unknown
from texture_store.evaluation.missing import missing
from texture_store.objects import Storage
from texture_store.spec import ENCODERS
from texture_store.store.catalog import Catalog
from texture_store.store.evaluations import Row, evaluation_key, members_digest, scored_keys
from texture_store.store.features import Features
from texture_store.store.opening import open_for_writing
from texture_store.store.reader import read_catalog


@dataclass(frozen=True)
class EvaluationPlan:
    """Everything that is decided before the first trial."""

    storage: Storage
    request: EvaluationRequest
    catalog: Catalog
    sets: tuple[FeatureSet, ...]
    images: pa.Table
    """(n rows) of the snapshot: those that are evaluated, in its order."""
    labels: npt.NDArray[Any]
    """(n,) text, or float64 for regression."""
    columns: npt.NDArray[np.float32] | None
    """(n, c) of --with-columns."""
    grouping: Grouping | None
    splits: tuple[Split, ...]
    rows: dict[tuple[int, int], Row]
    """By (feature set, split): all columns that are known before the trial."""
    done: frozenset[str]
    """Keys whose scores are in the store."""

    @property
    def pending(self) -> list[tuple[int, int]]:
        """(feature set, split) of the trials to run."""
        return [place for place, row in self.rows.items() if row["key"] not in self.done]

    @property
    def is_random(self) -> bool:
        """Whether any of the features are of random weights."""
        return any(features.spec.is_random for one in self.sets for features in one.layers)

    @property
    def keys(self) -> set[str]:
        """Of every trial that was asked for."""
        return {row["key"] for row in self.rows.values()}


def make_evaluation_plan(request: EvaluationRequest, say: Say) -> EvaluationPlan:
    """Decide everything; reads no vector. `say` is told what was chosen, and what is left out.

    Raises:
        FeaturesNotFoundError: features that were named do not exist, or no image has all of them and a label.
        UsageError: labels, groups or columns with which this cannot be answered.
    """
    if request.trials < 1:
        raise UsageError(f"{request.trials} trials; give at least one")
    storage = open_for_writing(request.store_url, create=False)
    catalog = read_catalog(storage, request.dataset, request.snapshot)
    names = wanted_sets(catalog, request, say)
    found = read_sets(catalog, names, request, say)
    images = _evaluated(catalog, request, list(found.values()), say)
    kept = {pair: only_images(features, images) for pair, features in found.items()}
    sets = tuple(feature_set(name, kept, raw_sums=request.raw_sums) for name in names)
    if request.strict:
        sets += _strict(sets, say)
    for one in sets[: len(names)]:
        if one.form != "as stored":
            say(f"{one.encoder} {one.layer}: {describe_form(one.form)}")
    labels = _labels(images, request)
    grouping = make_grouping(images, request)
    splits = make_splits(request, catalog.snapshot.number, labels, grouping, say)
    if grouping is not None and all(split.protocol == "image" for split in splits):
        grouping = None
    members = members_digest(images.column("image_id").to_pylist())
    rows = {
        (i, j): _row(request, catalog, one, split, grouping, members, len(labels))
        for i, one in enumerate(sets)
        for j, split in enumerate(splits)
    }
    return EvaluationPlan(
        storage=storage,
        request=request,
        catalog=catalog,
        sets=sets,
        images=images,
        labels=labels,
        columns=beside_features(images, request.with_columns),
        grouping=grouping,
        splits=splits,
        rows=rows,
        done=frozenset(scored_keys(storage, request.dataset)),
    )


def _strict(sets: Sequence[FeatureSet], say: Say) -> tuple[FeatureSet, ...]:
    """The feature sets once more that depend on what was learnt from all images, dictionaries."""
    found = tuple(replace(one, strict=True) for one in sets if one.encoder == "vlad")
    others = [one for one in ENCODERS if one != "vlad" and any(each.encoder == one for each in sets)]
    if others:
        say(f"{', '.join(others)}: nothing is learnt outside the folds, scalers neither: --strict changes nothing")
    return found


def _evaluated(catalog: Catalog, request: EvaluationRequest, found: Sequence[Features], say: Say) -> pa.Table:
    """The images of the snapshot that have a label, every column and all features; the same for all feature sets."""
    table = catalog.snapshot.table
    images = table.filter(pa.array(selected(table, request.where)))
    if not images.num_rows:
        raise UsageError(f"dataset {request.dataset}: no image meets --where {' --where '.join(request.where)}")
    for name in request.with_columns:
        images = _without(images, unknown(parsed(images, name, "--with-columns")), f"value of {name}", say)
    images = _without(images, _unlabelled(images, request), "label", say)
    labelled = images.num_rows
    if not labelled:
        raise UsageError(
            f"dataset {request.dataset}: no image has a label in column {request.label_column}; run index with"
            " --labels, or name another --label-column"
        )
    for features in found:
        image_ids = features.members.column("image_id").combine_chunks()
        images = images.filter(pc.is_in(images.column("image_id"), value_set=image_ids))
    if not images.num_rows:
        raise FeaturesNotFoundError(
            f"dataset {request.dataset}: of {labelled} images with a label none has features of all feature sets asked"
            " for; run featurize again, or name fewer"
        )
    if lost := labelled - images.num_rows:
        say(f"{lost} of {labelled} images lack some of these features (rejected or pending): left out of all sets")
    return images


def _without(images: pa.Table, absent: npt.NDArray[np.bool_], what: str, say: Say) -> pa.Table:
    if lost := int(absent.sum()):
        say(f"{lost} of {images.num_rows} images have no {what}: left out")
    return images.filter(pa.array(~absent))


def _unlabelled(table: pa.Table, request: EvaluationRequest) -> npt.NDArray[np.bool_]:
    if request.task == "regression":
        return np.isnan(targets(table, request.label_column))
    column = column_of(table, request.label_column, "--label-column")
    # A class may well be called none; nan is what pandas writes for a value that is missing.
    says_nan = pc.equal(pc.utf8_lower(pc.fill_null(column, "")), "nan").to_numpy()
    return np.asarray(missing(np.array(column.to_pylist(), object)) | says_nan)


def _labels(images: pa.Table, request: EvaluationRequest) -> npt.NDArray[Any]:
    if request.task == "regression":
        return targets(images, request.label_column)
    return np.array(column_of(images, request.label_column, "--label-column").to_pylist(), np.str_)


def _row(
    request: EvaluationRequest,
    catalog: Catalog,
    one: FeatureSet,
    split: Split,
    grouping: Grouping | None,
    members: str,
    num_images: int,
) -> Row:
    by_group = grouping if split.protocol == "group" else None
    row: Row = {
        "snapshot": catalog.snapshot.number,
        "encoder": one.encoder,
        "layer": one.layer,
        "spec": one.spec,
        "form": one.form,
        "num_features": one.num_features,
        "with_columns": list(request.with_columns),
        "label_column": request.label_column,
        "group_column": None if by_group is None else by_group.column,
        "conditions": sorted(request.where),
        "task": request.task,
        "classifier": request.classifier,
        "trees": request.trees if request.classifier == "forest" else None,
        "strict": one.strict,
        "protocol": split.protocol,
        "folds": request.folds,
        "trial": split.trial,
        "seed": split.seed,
        "members": members,
        "num_images": num_images,
        "num_groups": None if by_group is None else by_group.count,
        "num_missing_groups": None if by_group is None else by_group.num_missing,
    }
    return row | {"key": evaluation_key(request.dataset, row)}
