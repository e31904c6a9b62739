"""The dictionary that a recipe means."""

from dataclasses import replace

from jobs.dictionary_fits import Learning
from jobs.recipe_tables import VladTable
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec
from texture_store.store.dictionaries import DictionaryName, list_dictionaries, read_dictionaries


def known_dictionary(storage: Storage, dataset: str, vlad: VladTable, spec: FeatureSpec) -> DictionaryName | None:
    """The newest one that was learnt as the recipe says, from descriptors of this spec; None when there is none.

    `spec` may itself have a dictionary, which is not looked at.
    """
    base, wanted = spec.model_copy(update={"dictionary": None}), vlad.learning()
    for name in list_dictionaries(storage, dataset):
        if name.spec != base or set(name.layers) != set(wanted.layers):
            continue
        known = Learning.of(read_dictionaries(storage, dataset, name))
        if replace(known, layers=wanted.layers) == wanted:
            return name
    return None
