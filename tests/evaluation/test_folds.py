import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.evaluation.folds import classes_in_one_group, fold_seed, make_folds, singleton_groups

LABELS = np.array(["a", "b", "b", "c", "a", "c"] * 5)
GROUPS = np.array([f"g{row % 7}" for row in range(30)])
TARGETS = np.linspace(0.0, 1.0, 30)


@pytest.mark.parametrize(("labels", "groups", "reference"), [
    (LABELS, None, StratifiedKFold(3, shuffle=True, random_state=5)),
    (LABELS, GROUPS, StratifiedGroupKFold(3, shuffle=True, random_state=5)),
    (TARGETS, None, KFold(3, shuffle=True, random_state=5)),
    (TARGETS, GROUPS, GroupKFold(3, shuffle=True, random_state=5)),
])  # fmt: skip
def test_folds_are_those_of_scikit_learn(labels, groups, reference) -> None:
    folds = make_folds(labels, folds=3, seed=5, groups=groups)
    assert folds.dtype == np.int8
    for number, (_, test) in enumerate(reference.split(np.zeros((30, 1)), labels, groups)):
        np.testing.assert_array_equal(np.flatnonzero(folds == number), test)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=12, max_size=60),
    st.integers(2, 4),
    st.integers(0, 2**32 - 1),
)
def test_a_group_is_in_one_fold_and_no_fold_is_empty(rows, number: int, seed: int) -> None:
    labels = np.array([label for label, _ in rows])
    groups = np.array([f"g{group}" for _, group in rows])
    try:
        folds = make_folds(labels, folds=number, seed=seed, groups=groups)
    except UsageError as error:
        assert "fold" in str(error) or "one class" in str(error)  # noqa: PT017 (which lists can be folded varies)
        return
    assert set(folds) == set(range(number))
    assert all(len(set(folds[groups == group])) == 1 for group in groups)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=20, max_size=60).filter(lambda rows: len(set(rows)) > 1))
def test_folds_of_images_hold_every_class_in_equal_parts(rows) -> None:
    labels = np.array([*rows, *"aaabbbccc"])
    folds = make_folds(labels, folds=3, seed=0)
    for label in "abc":
        counts = np.bincount(folds[labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_the_seed_is_a_hash_of_what_decides_the_folds() -> None:
    settings = {"dataset": "steel", "snapshot": 3, "label": "phase", "protocol": "group", "trial": 2}
    text = b'["folds", "steel", 3, "phase", "group", 2]'
    assert fold_seed(**settings) == int(hashlib.sha256(text).hexdigest()[:8], 16)
    others = [
        fold_seed(**{**settings, key: value})
        for key, value in [("dataset", "s"), ("snapshot", 4), ("label", "p"), ("protocol", "image"), ("trial", 3)]
    ]
    assert len({fold_seed(**settings), *others}) == 6
    assert all(0 <= seed < 2**32 for seed in others)


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    given = np.array(["s1", None, "", "s1", float("nan"), "  ", 7], dtype=object)
    groups, number = singleton_groups(given)
    assert number == 4
    assert groups[0] == groups[3] == "s1"
    assert groups[6] == "7"
    assert len(set(groups)) == 6


def test_the_name_of_a_new_group_is_none_that_exists() -> None:
    taken, _ = singleton_groups(np.array([None], dtype=object))
    groups, number = singleton_groups(np.array([None, taken[0], None], dtype=object))
    assert number == 2
    assert len(set(groups)) == 3
    assert groups[1] == taken[0]


def test_classes_of_one_group_are_named() -> None:
    labels = np.array(["b", "b", "a", "a", "c"])
    assert classes_in_one_group(labels, np.array(["1", "1", "1", "2", "3"])) == ["b", "c"]
    assert classes_in_one_group(labels[:4], np.array(["1", "2", "1", "2"])) == []


def test_a_class_may_live_in_one_group() -> None:
    labels = np.repeat(["a", "b", "c"], 6)
    folds = make_folds(labels, folds=3, seed=0, groups=labels)
    assert len(set(folds)) == 3


TEXT = np.array(["a", "b"] * 6)


@pytest.mark.parametrize(("labels", "groups", "number", "error", "reason"), [
    (np.array(["a"] * 5 + ["b"] * 2), None, 3, UsageError, "label 'b' has 2 images, fewer than 3 folds"),
    (np.array(["a"] * 5), None, 3, UsageError, "all images are 'a': one class only"),
    (np.array([None, "a", "b"] * 4, dtype=object), None, 3, UsageError, "4 of 12 images have no usable label"),
    (np.array(["a", "b", " "] * 4), None, 3, UsageError, "4 of 12 images have no usable label"),
    (np.array(["a", "b", np.nan] * 4, dtype=object), None, 3, UsageError, "4 of 12 images have no usable label"),
    (np.array([1.0, 2.0, np.nan]), None, 2, UsageError, "1 of 3 images have no usable label"),
    (np.array([1.0, 2.0, -np.inf]), None, 2, UsageError, "1 of 3 images have no usable label"),
    (np.array([1.0, 2.0]), None, 3, UsageError, "2 images are fewer than 3 folds"),
    (np.array([], dtype=str), None, 3, UsageError, "0 images are fewer than 3 folds"),
    (TEXT, np.array(["1", "2"] * 6), 3, UsageError, "2 groups are fewer than 3 folds"),
    (TEXT, np.array(["1", None, "2", "3"] * 3, dtype=object), 3, UsageError, "3 of 12 images have no group"),
    (TEXT, None, 1, UsageError, "1 folds"),
    (TEXT, None, 200, UsageError, "200 folds"),
    (TEXT, np.array(["1"] * 11), 3, DimensionMismatchError, r"labels \(12,\) and groups \(11,\)"),
    (TEXT[:, None], None, 3, DimensionMismatchError, r"labels \(12, 1\)"),
])  # fmt: skip
def test_what_cannot_be_folded_is_refused(labels, groups, number: int, error, reason: str) -> None:
    with pytest.raises(error, match=reason) as caught:
        make_folds(labels, folds=number, seed=0, groups=groups)
    assert "\n" not in str(caught.value)
