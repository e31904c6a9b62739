"""The folds of every trial, by image and by group; the same for all feature sets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.evaluation_columns import column_of
from jobs.evaluation_request import PROTOCOLS, EvaluationRequest, Say
from texture_store.errors import UsageError
from texture_store.evaluation.folds import Protocol, classes_in_one_group, fold_seed, make_folds, singleton_groups


@dataclass(frozen=True)
class Split:
    """The folds of one trial; the same for all feature sets."""

    protocol: Protocol
    trial: int
    seed: int
    folds: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Grouping:
    """Which images may not be on two sides of a fold."""

    column: str
    groups: npt.NDArray[np.str_]
    num_missing: int

    @property
    def count(self) -> int:
        """Groups, each image without one counted."""
        return len(np.unique(self.groups))


def make_grouping(images: pa.Table, request: EvaluationRequest) -> Grouping | None:
    """The groups of `images`; None when they are not asked for, or there are none and nobody named their column.

    Raises UsageError for a column that is not there or empty, if it was named.
    """
    if request.protocols and "group" not in request.protocols:
        return None
    name = request.group_column or "specimen"
    column = column_of(images, name, "--group-column")
    groups, num_missing = singleton_groups(np.array(column.to_pylist(), object))
    if num_missing < len(groups):
        return Grouping(name, groups, num_missing)
    if request.protocols or request.group_column:
        raise UsageError(
            f"dataset {request.dataset}: no image has a group in column {name}; name another --group-column, or"
            " evaluate with --protocol image"
        )
    return None


def make_splits(
    request: EvaluationRequest,
    snapshot: int,
    labels: npt.NDArray[Any],
    grouping: Grouping | None,
    say: Say,
) -> tuple[Split, ...]:
    """The trials of each protocol; says which one is not possible, unless it was asked for.

    labels (n,): text, or float64 for regression. Raises UsageError for labels or groups that cannot be split.
    """
    splits: list[Split] = []
    for protocol in request.protocols or PROTOCOLS:
        if protocol == "group" and grouping is None:
            say("no groups: by image only, so images of one specimen may be on both sides; name a --group-column")
            continue
        try:
            splits += _splits_of(protocol, request, snapshot, labels, grouping)
        except UsageError as error:
            if request.protocols or protocol == "image":
                raise UsageError(f"dataset {request.dataset}, by {protocol}: {error}{_hint(request, labels)}") from None
            say(f"by group: not possible: {error}")
            continue
        if protocol == "group" and grouping is not None:
            _describe_groups(grouping, labels, say)
    return tuple(splits)


def _hint(request: EvaluationRequest, labels: npt.NDArray[Any]) -> str:
    if request.task == "classification":
        try:
            labels.astype(np.float64)
        except ValueError:
            return ""
        return "; for labels that are quantities give --task regression"
    return ""


def _splits_of(
    protocol: Protocol,
    request: EvaluationRequest,
    snapshot: int,
    labels: npt.NDArray[Any],
    grouping: Grouping | None,
) -> list[Split]:
    found = []
    groups = grouping.groups if protocol == "group" and grouping is not None else None
    for trial in range(request.trials):
        seed = fold_seed(
            dataset=request.dataset,
            snapshot=snapshot,
            label=request.label_column,
            protocol=protocol,
            trial=trial,
        )
        found.append(Split(protocol, trial, seed, make_folds(labels, folds=request.folds, seed=seed, groups=groups)))
    return found


def _describe_groups(grouping: Grouping, labels: npt.NDArray[Any], say: Say) -> None:
    say(f"by group: {grouping.count} groups of column {grouping.column}")
    if grouping.num_missing:
        say(f"{grouping.num_missing} of {len(labels)} images have no {grouping.column}: each is a group of its own")
    if labels.dtype.kind == "f":
        return
    classes = np.unique(labels)
    alone = classes_in_one_group(labels, grouping.groups)
    if len(alone) == len(classes) == grouping.count:
        say(f"label and {grouping.column} coincide: no split can support a claim about a new {grouping.column}")
    elif alone:
        say(f"{', '.join(alone)}: all images are of one {grouping.column}, so by group these classes cannot be found")
