"""Which rows are tested together: by image as in the paper, or by group, so that no specimen is on both sides.

Ling et al. 2017 split images three ways ten times. Images of one specimen are not independent of each other, and a
score over images says nothing about the next specimen; a score over groups does.
"""

import hashlib
import json
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.missing import missing

Protocol = Literal["image", "group"]
"""Folds of images, the paper's, or folds of whole groups."""

Labels = npt.NDArray[np.str_]
Targets = npt.NDArray[np.float64]

MAX_FOLDS = 100
"""Numbers of folds are int8."""


def fold_seed(*, dataset: str, snapshot: int, label: str, protocol: Protocol, trial: int) -> int:
    """The seed, 0 <= seed < 2**32, of a trial's folds; the same everywhere and in every version.

    `label` is the name of the label column. Neither encoder nor layer nor classifier is part of it, so that all feature
    sets are compared on the same folds, provided that their rows come in the same order.
    """
    key = json.dumps(["folds", dataset, snapshot, label, protocol, trial]).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:4], "big")


def singleton_groups(groups: npt.NDArray[Any]) -> tuple[npt.NDArray[np.str_], int]:
    """Groups (n,) as text, where each row without one (None, NaN, empty) is a group of its own, and how many are.

    The names of the new groups are none of the existing ones.
    """
    absent = missing(groups)
    names = [None if none else str(name) for name, none in zip(groups, absent, strict=True)]
    prefix = "without group "
    while any(name is not None and name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    named = [f"{prefix}{row}" if name is None else name for row, name in enumerate(names)]
    return np.array(named, dtype=np.str_), int(absent.sum())


def make_folds(
    labels: Labels | Targets, *, folds: int, seed: int, groups: npt.NDArray[np.str_] | None = None
) -> npt.NDArray[np.int8]:
    """(n,) number, 0 to folds - 1, of the fold in which each row is tested. Every fold has rows.

    labels (n,): text is a class, and folds are stratified by it; float64 is a target of regression. groups (n,): no
    group is in two folds. scikit-learn's StratifiedKFold, StratifiedGroupKFold, KFold and GroupKFold, shuffled.
    A class may live in one group only: then it is never predicted where it is tested (see `classes_in_one_group`).

    Raises:
        DimensionMismatchError: labels and groups do not correspond.
        UsageError: a label or group is missing; one class only; a class with fewer rows than folds; fewer groups than
            folds; a number of folds that cannot be.
    """
    _check(labels, folds, groups)
    numeric = labels.dtype.kind == "f"
    if not numeric:
        labels = labels.astype(np.str_)
        _check_classes(labels, folds)
    if groups is None:
        splitter = (KFold if numeric else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    else:
        splitter = (GroupKFold if numeric else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    tested_in = np.full(len(labels), -1, dtype=np.int8)
    for number, (_, test) in enumerate(splitter.split(np.empty((len(labels), 0)), labels, groups)):
        if len(test) == 0:
            raise UsageError(f"the groups cannot be spread over {folds} folds; take fewer folds or finer groups")
        tested_in[test] = number
    return tested_in


def classes_in_one_group(labels: Labels, groups: npt.NDArray[np.str_]) -> list[str]:
    """The classes, sorted, all of whose rows are of one group: under the group protocol none of them can be found."""
    return [str(name) for name in np.unique(labels) if len(np.unique(groups[labels == name])) == 1]


def _check(labels: npt.NDArray[Any], folds: int, groups: npt.NDArray[Any] | None) -> None:
    if not 2 <= folds <= MAX_FOLDS:
        raise UsageError(f"{folds} folds; give a number from 2 to {MAX_FOLDS}")
    if labels.ndim != 1 or (groups is not None and groups.shape != labels.shape):
        shapes = f"labels {labels.shape}" + ("" if groups is None else f" and groups {groups.shape}")
        raise DimensionMismatchError(f"{shapes} do not correspond; give (n,) each")
    if unlabelled := int(missing(labels).sum()) + int(np.isinf(labels).sum() if labels.dtype.kind == "f" else 0):
        raise UsageError(f"{unlabelled} of {len(labels)} images have no usable label; label them or leave them out")
    if len(labels) < folds:
        raise UsageError(f"{len(labels)} images are fewer than {folds} folds; take more images or fewer folds")
    if groups is None:
        return
    if absent := int(missing(groups).sum()):
        raise UsageError(f"{absent} of {len(groups)} images have no group; make each a group of its own")
    if (number := len(np.unique(groups))) < folds:
        raise UsageError(f"{number} groups are fewer than {folds} folds; take fewer folds or finer groups")


def _check_classes(labels: Labels, folds: int) -> None:
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2:
        raise UsageError(f"all images are {str(names[0])!r}: one class only; at least two are needed")
    if counts.min() < folds:
        raise UsageError(
            f"label {str(names[np.argmin(counts)])!r} has {counts.min()} images, fewer than {folds} folds; "
            "leave it out or take fewer folds"
        )
