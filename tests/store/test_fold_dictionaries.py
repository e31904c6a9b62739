"""Fold dictionaries: named by what they are learnt from, kept as they were first written, and met by nobody else."""

import numpy as np
import pytest

from tests.made_store import SPEC, MadeStore
from texture_store import open_store
from texture_store.errors import DictionaryNotFoundError, FeaturesNotFoundError, ObjectNotFoundError
from texture_store.store.dictionaries import Dictionary, LearntFrom, choose_dictionary
from texture_store.store.fold_dictionaries import (
    fold_dictionary_id,
    fold_spec,
    known_fold_dictionaries,
    read_fold_words,
    write_fold_dictionary,
)
from texture_store.store.specs import write_spec

BASE = "d" + "0" * 20
NAME = fold_dictionary_id(BASE, ["a", "b"])
FOLDS = fold_spec(SPEC, [NAME])


def learnt(seed: int = 0) -> Dictionary:
    words = np.random.default_rng(seed).normal(size=(4, 64)).astype(np.float32)
    source = LearntFrom(
        dataset="steel",
        snapshot=1,
        spec=SPEC.fingerprint,
        layer="conv1_2",
        share=0.2,
        num_words=4,
        seed=0,
        starts=1,
        images=("a", "b"),
        num_descriptors=8,
        error=1.0,
        held_out=(),
        held_out_errors=(),
    )
    return Dictionary(words, np.full(4, 2, np.int64), np.ones(4), source)


def test_a_name_says_which_dictionary_and_which_images() -> None:
    assert fold_dictionary_id(BASE, ("a", "b")) == NAME
    others = {
        fold_dictionary_id(BASE, ["a"]),
        fold_dictionary_id(BASE, ["b", "a"]),
        fold_dictionary_id("d1", ["a", "b"]),
    }
    assert len(others - {NAME}) == 3
    assert fold_spec(SPEC, ["d1", "d2"]) == fold_spec(SPEC, {"d2", "d1"}) != fold_spec(SPEC, ["d1"])
    assert FOLDS.pixels == SPEC.pixels


def test_the_first_words_of_a_name_stay(tmp_path) -> None:
    storage = MadeStore.at(tmp_path).storage
    assert known_fold_dictionaries(storage, "steel", FOLDS, "conv1_2") == set()
    with pytest.raises(ObjectNotFoundError):
        read_fold_words(storage, "steel", FOLDS, "conv1_2", NAME)
    write_fold_dictionary(storage, FOLDS, NAME, learnt(seed=0))
    write_fold_dictionary(storage, FOLDS, NAME, learnt(seed=1))
    assert known_fold_dictionaries(storage, "steel", FOLDS, "conv1_2") == {NAME}
    assert np.array_equal(read_fold_words(storage, "steel", FOLDS, "conv1_2", NAME), learnt(seed=0).words)


def test_neither_encode_nor_readers_choose_what_belongs_to_folds(tmp_path) -> None:
    made = MadeStore.at(tmp_path)
    made.index("steel", ["a.tif", "b.tif"])
    made.commit("steel", "s0", ["a.tif", "b.tif"])
    write_spec(made.storage, FOLDS)
    write_fold_dictionary(made.storage, FOLDS, NAME, learnt())
    pairs = [("fold-vlad", "conv1_2")]
    made.commit("steel", "s0", ["a.tif", "b.tif"], spec=FOLDS, pairs=pairs, fold_dictionaries=[NAME])
    with pytest.raises(DictionaryNotFoundError, match="no dictionary yet"):
        choose_dictionary(made.storage, "steel")
    store = open_store(made.url)
    with pytest.raises(FeaturesNotFoundError, match="no features of encoder vlad"):
        store.features("steel", encoder="vlad", layer="conv1_2")
    assert store.features("steel", encoder="mean", layer="conv1_2").spec == SPEC
    with store.duckdb() as connection:
        assert connection.sql("select distinct encoder from all_features").fetchall() == [("mean",)]
    shown = {one.spec: one for one in store.status("steel").specs}
    assert shown[FOLDS.fingerprint].feature_sets == []
    assert shown[FOLDS.fingerprint].fold_vectors == 2
    assert shown[SPEC.fingerprint].fold_vectors == 0
