"""Dictionaries against their names: a set's is the hash of its content, a fold's that of what it was learnt from."""

from collections.abc import Collection, Iterator, Mapping

from texture_store.errors import ObjectNotFoundError, SchemaMismatchError
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec
from texture_store.store.dictionaries import LearntFrom, dictionaries_of, read_dictionaries
from texture_store.store.fold_dictionaries import fold_dictionary_id
from texture_store.store.tables import read_table
from texture_store.verification.committed import Committed
from texture_store.verification.findings import Finding
from texture_store.verification.inventory import Place

AGAIN = "run fit-dictionary again (evaluate --strict for those of folds)"


def check_dictionaries(
    storage: Storage,
    committed: Mapping[tuple[str, str], Committed],
    specs: Mapping[str, FeatureSpec],
    places: Collection[Place],
    damaged: Collection[str],
) -> Iterator[Finding]:
    """Findings of dictionaries whose files are sound by themselves; `damaged` are the paths of the others."""
    known: dict[str, set[str]] = {}
    for (dataset, spec), own in committed.items():
        for (_, shard), record in own.records.counting.items():
            paths = [file.path for file in record.files_of("dictionaries")]
            if not paths:
                continue
            known.setdefault(dataset, set()).add(shard)
            if spec in specs and not any(path in damaged for path in paths):
                try:
                    read_dictionaries(storage, dataset, dictionaries_of([record], specs[spec])[0])
                except ObjectNotFoundError:
                    continue  # told as missing
                except SchemaMismatchError as error:
                    yield own.finding(paths[0], str(error).partition(": ")[2].partition(";")[0])
    for place in places:
        naming = committed.get((place.dataset, place.spec))
        is_of_set = naming is not None and place.path in naming.by_path
        if place.kind == "dictionary" and not is_of_set and place.path not in damaged and known.get(place.dataset):
            problem = _wrong_fold(storage, place, known[place.dataset])
            if problem:
                yield Finding(place.path, problem, AGAIN, (place.path,))


def _wrong_fold(storage: Storage, place: Place, sets: Collection[str]) -> str | None:
    try:
        (text,) = set(read_table(storage, place.path)["learnt_from"].to_pylist())
        source = LearntFrom.model_validate_json(text)
    except ObjectNotFoundError:
        return None
    except ValueError:
        return "it does not say what it was learnt from"
    if (source.dataset, source.layer) != (place.dataset, place.layer):
        return "its words are of another dataset or layer"
    if place.name not in {fold_dictionary_id(one, source.images) for one in sets}:
        return "it was learnt from other images than those of its name"
    return None
