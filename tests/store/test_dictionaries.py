"""Dictionaries in a store: named by their content, there as a whole or not at all, and never taken for another's."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas import dictionary_schema
from tests.made_store import SPEC, MadeStore
from texture_store.errors import DictionaryNotFoundError, SchemaMismatchError, UsageError
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec
from texture_store.store import layout
from texture_store.store.commits import read_commits
from texture_store.store.dictionaries import (
    Dictionary,
    DictionarySet,
    LearntFrom,
    choose_dictionary,
    layers_of,
    list_dictionaries,
    read_dictionaries,
    write_dictionaries,
)
from texture_store.store.specs import write_spec

RANDOM = FeatureSpec(weights="3" * 64, lineage="random:1")


def made(seed: int = 0, *, spec: FeatureSpec = SPEC, snapshot: int = 1, images: tuple[str, ...] = ("a", "b")):
    random = np.random.default_rng(seed)

    def one(layer, width):
        source = LearntFrom(
            dataset="steel", snapshot=snapshot, spec=spec.fingerprint, layer=layer, share=0.2, num_words=4, seed=seed,
            starts=2, images=images, num_descriptors=90, error=1.5, held_out=("c",), held_out_errors=(1.75,),
        )  # fmt: skip
        words = random.normal(size=(4, width)).astype(np.float32)
        return Dictionary(words, np.array([40, 30, 15, 5]), np.array([1.0, 1.5, 2.0, 4.0]), source)

    return DictionarySet({"input": one("input", 3), "conv1_2": one("conv1_2", 64)})


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    store = MadeStore.at(tmp_path / "store")
    store.index("steel", ["a.png"])
    for spec in (SPEC, RANDOM):
        write_spec(store.storage, spec)
    return store.storage


def write(storage: Storage, found: DictionarySet) -> str:
    return write_dictionaries(storage, found, environment={"numpy": "2"}, seconds={"conv1_2": 1.0})


def test_a_set_is_read_as_it_was_written(storage: Storage):
    found = made()
    name = write(storage, found)
    (listed,) = list_dictionaries(storage, "steel")
    assert (listed.id, listed.spec, listed.snapshot, listed.layers) == (name, SPEC, 1, ("input", "conv1_2"))
    back = read_dictionaries(storage, "steel", listed)
    for layer, one in found.layers.items():
        np.testing.assert_array_equal(back.layers[layer].words, one.words)
        np.testing.assert_array_equal(back.layers[layer].counts, one.counts)
        np.testing.assert_array_equal(back.layers[layer].errors, one.errors)
        assert back.layers[layer].learnt_from == one.learnt_from
    assert back.id == name
    assert back.learnt_from.held_out_error == 1.75


def test_the_file_is_plain_parquet_with_a_word_in_each_row(storage: Storage):
    name = write(storage, made())
    path = storage.full_path(layout.dictionary_path("steel", SPEC.fingerprint, "conv1_2", name))
    table = pq.read_table(path)
    assert table.schema.equals(dictionary_schema(64))
    assert table["word"].to_pylist() == [0, 1, 2, 3]
    assert table["count"].to_pylist() == [40, 30, 15, 5]


def test_the_same_set_is_written_once_with_the_same_bytes(storage: Storage):
    name = write(storage, made())
    before = {info.path: storage.read(info.path) for info in storage.list("dictionaries")}
    assert write(storage, made()) == name
    assert {info.path: storage.read(info.path) for info in storage.list("dictionaries")} == before
    assert len(list_dictionaries(storage, "steel")) == 1


def test_whatever_differs_gives_another_id():
    sets = [made(), made(1), made(snapshot=2), made(images=("a",)), made(spec=RANDOM)]
    fewer_layers = DictionarySet({"input": made().layers["input"]})
    one = made().layers["input"]
    other_count = DictionarySet({"input": Dictionary(one.words, one.counts[::-1].copy(), one.errors, one.learnt_from)})
    assert len({found.id for found in (*sets, fewer_layers, other_count)}) == 7


def test_without_its_commit_a_set_is_not_there(storage: Storage):
    found = made()
    name = write(storage, found)
    Path(storage.full_path(next(i.path for i in storage.list("commits") if name in i.path))).unlink()
    assert list_dictionaries(storage, "steel") == []
    with pytest.raises(DictionaryNotFoundError, match="no dictionary yet; run: texture-store fit-dictionary"):
        choose_dictionary(storage, "steel")


def test_its_commit_disturbs_no_images(storage: Storage):
    write(storage, made())
    (record,) = read_commits(storage, "steel", SPEC.fingerprint)
    assert (record.members, record.rejected, record.pairs) == ((), (), ())
    assert len(record.files) == 2


def test_the_newest_is_chosen_and_others_by_name(storage: Storage):
    first, second = write(storage, made()), write(storage, made(1))
    listed = {one.id: one.created for one in list_dictionaries(storage, "steel")}
    newest = max(listed, key=lambda name: (listed[name], name))
    assert choose_dictionary(storage, "steel").id == newest
    assert choose_dictionary(storage, "steel", first).id == first
    assert choose_dictionary(storage, "steel", second[:8]).id == second
    with pytest.raises(UsageError, match=r"fits .*give more of it"):
        choose_dictionary(storage, "steel", "d")
    with pytest.raises(DictionaryNotFoundError, match=f"no dictionary dffff; there are: .*{first}"):
        choose_dictionary(storage, "steel", "dffff")


def test_one_of_random_weights_is_taken_only_by_name(storage: Storage):
    name = write(storage, made(spec=RANDOM))
    with pytest.raises(DictionaryNotFoundError, match="random weights count only when named"):
        choose_dictionary(storage, "steel")
    assert choose_dictionary(storage, "steel", name).spec == RANDOM


def test_a_dictionary_of_another_layer_or_spec_is_refused(storage: Storage):
    name = write(storage, made())
    (listed,) = list_dictionaries(storage, "steel")
    path = Path(storage.full_path(layout.dictionary_path("steel", SPEC.fingerprint, "input", name)))
    table = pq.read_table(path)
    source = LearntFrom.model_validate_json(table["learnt_from"][0].as_py())
    for change, said in (
        ({"layer": "conv1_2"}, "layer conv1_2, not of"),
        ({"spec": RANDOM.fingerprint}, f"spec {RANDOM.fingerprint}"),
    ):
        text = source.model_copy(update=change).model_dump_json()
        column = table.schema.get_field_index("learnt_from")
        pq.write_table(table.set_column(column, table.schema.field(column), [[text] * 4]), path)
        with pytest.raises(SchemaMismatchError, match=said):
            read_dictionaries(storage, "steel", listed)


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"dataset": 3}'])
def test_a_dictionary_that_does_not_say_its_source_is_refused(storage: Storage, text: str):
    name = write(storage, made())
    (listed,) = list_dictionaries(storage, "steel")
    path = Path(storage.full_path(layout.dictionary_path("steel", SPEC.fingerprint, "input", name)))
    table = pq.read_table(path)
    column = table.schema.get_field_index("learnt_from")
    pq.write_table(table.set_column(column, table.schema.field(column), [[text] * 4]), path)
    with pytest.raises(SchemaMismatchError, match="does not say what it was learnt from"):
        read_dictionaries(storage, "steel", listed)


def test_an_altered_word_is_noticed(storage: Storage):
    name = write(storage, made())
    (listed,) = list_dictionaries(storage, "steel")
    path = Path(storage.full_path(layout.dictionary_path("steel", SPEC.fingerprint, "input", name)))
    table = pq.read_table(path)
    column = table.schema.get_field_index("count")
    pq.write_table(table.set_column(column, table.schema.field(column), [[41, 30, 15, 5]]), path)
    with pytest.raises(SchemaMismatchError, match=f"the content of dictionary {name} is that of d"):
        read_dictionaries(storage, "steel", listed)


def test_layers_that_it_lacks_are_named():
    found = made()
    assert layers_of(found, ["conv1_2"]) == ("conv1_2",)
    with pytest.raises(DictionaryNotFoundError, match=r"no words for conv4_3; it has input, conv1_2"):
        layers_of(found, ["input", "conv4_3"])
