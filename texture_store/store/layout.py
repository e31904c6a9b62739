"""Where everything lies in a store: each path as a function of checked names. All paths are relative to STORE."""

import functools
import re
from typing import get_args

from texture_store.errors import InvalidNameError
from texture_store.spec import Encoder, Layer, Product

STORE_FILE = "store.json"

_DATASET = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_SHARD = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_SPEC = re.compile(r"s[0-9a-f]{20,64}")
_DICTIONARY = re.compile(r"d[0-9a-f]{20,64}")
_EVALUATION = re.compile(r"e[0-9a-f]{24}")
_EXPLANATION = re.compile(r"x[0-9a-f]{24}")
_RECIPE = re.compile(r"[a-z][a-z0-9]{0,40}-[0-9a-f]{20}")
_REPORT = re.compile(r"[a-z][a-z0-9_-]{0,99}\.[a-z]{2,5}")
_SIGN = re.compile(r"held|released|beat-[1-9][0-9]{0,6}")
_RUN = re.compile(r"[0-9]{8}t[0-9]{6}-[a-z][a-z-]{0,39}-[0-9a-f]{8}")
_RUN_PARTS = ("begun", "signs", "ended")
_DIGEST = re.compile(r"[0-9a-f]{64}")
EXPLANATIONS = ("importances", "characteristics", "typical", "map", "exemplars", "heat_maps", "neighbours")
"""Tables of STORE/explanations/."""
_TABLES = ("micrographs", "features", "rejected", "samples", "positions", "folds", "dictionaries")


def check_dataset(name: str) -> str:
    """A dataset's name as it is; InvalidNameError when it is not allowed."""
    if _DATASET.fullmatch(name) is None:
        raise InvalidNameError(
            f"dataset {name!r}: not allowed; use lower-case letters, digits, - and _, and begin with a letter"
        )
    return name


def weights_path(digest: str) -> str:
    """The weights' tensors."""
    return f"weights/{_checked(_DIGEST, digest, 'weights')}.safetensors"


def spec_path(spec: str) -> str:
    """A feature spec's canonical JSON."""
    return f"specs/{_checked(_SPEC, spec, 'spec')}.json"


def snapshots_folder(dataset: str) -> str:
    """The folder of a dataset's index snapshots."""
    return f"index/dataset={check_dataset(dataset)}"


def snapshot_path(dataset: str, number: int) -> str:
    """The whole membership of a dataset at one time."""
    return f"{snapshots_folder(dataset)}/snapshot-{_number(number)}.parquet"


def parse_snapshot_path(path: str) -> tuple[str, int] | None:
    """(dataset, number) of a snapshot's path; None for any other path."""
    found = re.fullmatch(r"index/dataset=([^/]+)/snapshot-([1-9][0-9]{0,8})\.parquet", path)
    if found is None or _DATASET.fullmatch(found[1]) is None:
        return None
    return found[1], int(found[2])


def micrographs_folder(dataset: str, spec: str) -> str:
    """The folder of the facts that were read from each file."""
    return f"micrographs/{_dataset_spec(dataset, spec)}"


def micrographs_path(dataset: str, spec: str, shard: str) -> str:
    """Facts read from each file."""
    return f"{micrographs_folder(dataset, spec)}/{check_shard(shard)}.parquet"


def features_folder(dataset: str, spec: str, encoder: Encoder, layer: Layer) -> str:
    """The folder of one encoder at one layer: files of one schema."""
    if encoder not in get_args(Encoder) or layer not in get_args(Layer):
        raise InvalidNameError(f"{encoder} at {layer}: no such encoder or layer")
    return f"features/{_dataset_spec(dataset, spec)}/encoder={encoder}/layer={layer}"


def features_path(dataset: str, spec: str, encoder: Encoder, layer: Layer, shard: str) -> str:
    """One vector per image."""
    return f"{features_folder(dataset, spec, encoder, layer)}/{check_shard(shard)}.parquet"


def product_folder(dataset: str, spec: str, product: Product, layer: Layer) -> str:
    """The folder of what is made of images at one layer."""
    if product == "sample":
        return samples_folder(dataset, spec, layer)
    if product == "positions":
        return f"positions/{_dataset_spec(dataset, spec)}/layer={_layer(layer)}"
    if product == "fold-vlad":
        return folds_folder(dataset, spec, layer)
    return features_folder(dataset, spec, product, layer)


def product_path(dataset: str, spec: str, product: Product, layer: Layer, shard: str) -> str:
    """What is made of the images of a shard at one layer."""
    return f"{product_folder(dataset, spec, product, layer)}/{check_shard(shard)}.parquet"


def rejected_path(dataset: str, spec: str, shard: str) -> str:
    """Images without features, and why."""
    return f"rejected/{_dataset_spec(dataset, spec)}/{check_shard(shard)}.parquet"


def samples_folder(dataset: str, spec: str, layer: Layer) -> str:
    """The folder of the sampled descriptors of one layer."""
    return f"samples/{_dataset_spec(dataset, spec)}/layer={_layer(layer)}"


def samples_path(dataset: str, spec: str, layer: Layer, shard: str) -> str:
    """Sampled descriptors."""
    return f"{samples_folder(dataset, spec, layer)}/{check_shard(shard)}.parquet"


def folds_folder(dataset: str, spec: str, layer: Layer) -> str:
    """The folder of VLAD by dictionaries that were learnt inside folds."""
    return f"folds/{_dataset_spec(dataset, spec)}/layer={_layer(layer)}"


def dictionaries_folder(dataset: str, spec: str, layer: Layer) -> str:
    """The folder of the dictionaries of one layer."""
    return f"dictionaries/{_dataset_spec(dataset, spec)}/layer={_layer(layer)}"


def dictionary_path(dataset: str, spec: str, layer: Layer, dictionary: str) -> str:
    """The words of one layer of a dictionary set."""
    name = _checked(_DICTIONARY, dictionary, "dictionary")
    return f"{dictionaries_folder(dataset, spec, layer)}/{name}.parquet"


def commits_folder(dataset: str, spec: str) -> str:
    """The folder of commit records and checkpoints."""
    return f"commits/{_dataset_spec(dataset, spec)}"


def commit_path(dataset: str, spec: str, step: str, shard: str, attempt: int = 0) -> str:
    """A commit record; `attempt` counts the broken records of this name that are in its way."""
    suffix = f".{attempt}" if attempt else ""
    return f"{commits_folder(dataset, spec)}/{_checked(_NAME, step, 'step')}/{check_shard(shard)}{suffix}.json"


def parse_commit_path(path: str) -> tuple[str, str, int] | None:
    """(step, shard, attempt) of a commit record's path; None for any other path."""
    found = re.fullmatch(r"commits/[^/]+/[^/]+/([^/]+)/([^/.]+)(?:\.([1-9][0-9]{0,3}))?\.json", path)
    if found is None or _NAME.fullmatch(found[1]) is None or _SHARD.fullmatch(found[2]) is None:
        return None
    return found[1], found[2], int(found[3] or 0)


def checkpoint_path(dataset: str, spec: str, number: int) -> str:
    """Commit records folded into one file."""
    return f"{commits_folder(dataset, spec)}/checkpoint-{_number(number)}.parquet"


def parse_checkpoint_path(path: str) -> int | None:
    """The number of a checkpoint; None for any other path."""
    found = re.fullmatch(r"commits/[^/]+/[^/]+/checkpoint-([1-9][0-9]{0,8})\.parquet", path)
    return None if found is None else int(found[1])


def evaluations_folder(dataset: str) -> str:
    """The folder of a dataset's scores."""
    return f"evaluations/dataset={check_dataset(dataset)}"


def evaluation_path(dataset: str, key: str, failure: int = 0) -> str:
    """The scores of one trial; with `failure` 1, 2 ... why that attempt at it has none."""
    suffix = f".failed-{_number(failure)}" if failure else ""
    return f"{evaluations_folder(dataset)}/{_checked(_EVALUATION, key, 'evaluation')}{suffix}.parquet"


def parse_evaluation_path(path: str) -> tuple[str, int] | None:
    """(key, failure) of an evaluation's path, failure 0 for scores; None for any other path."""
    found = re.fullmatch(r"evaluations/[^/]+/(e[0-9a-f]{24})(?:\.failed-([1-9][0-9]{0,8}))?\.parquet", path)
    return None if found is None else (found[1], int(found[2] or 0))


def explanations_folder(dataset: str) -> str:
    """The folder of what explain found out about a dataset."""
    return f"explanations/dataset={check_dataset(dataset)}"


def explanation_path(dataset: str, table: str, key: str) -> str:
    """The answer to one question, rows of one of EXPLANATIONS."""
    if table not in EXPLANATIONS:
        raise InvalidNameError(f"{table}: no such explanation")
    return f"{explanations_folder(dataset)}/{table}-{_checked(_EXPLANATION, key, 'explanation')}.parquet"


def parse_explanation_path(path: str) -> tuple[str, str] | None:
    """(table, key) of an explanation's path; None for any other path."""
    found = re.fullmatch(r"explanations/[^/]+/([a-z_]+)-(x[0-9a-f]{24})\.parquet", path)
    return None if found is None or found[1] not in EXPLANATIONS else (found[1], found[2])


def textures_folder(weights: str = "", layer: Layer | None = None, recipe: str = "") -> str:
    """The folder of all textures; of those of some weights (digest); of a layer; of a recipe (key)."""
    parts = ["textures"]
    if weights:
        parts.append(_checked(_DIGEST, weights, "weights"))
    if layer is not None:
        parts.append(f"layer={_layer(layer)}")
    if recipe:
        parts.append(f"recipe={_checked(_RECIPE, recipe, 'recipe')}")
    return "/".join(parts)


def texture_path(weights: str, layer: Layer, recipe: str, number: int) -> str:
    """The texture of one filter, which are numbered from 0."""
    return f"{textures_folder(weights, layer, recipe)}/{_number(number + 1) - 1}.parquet"


def parse_texture_path(path: str) -> tuple[str, str, str, int] | None:
    """(weights, layer, recipe key, filter) of a texture's path; None for any other path."""
    found = re.fullmatch(
        r"textures/([0-9a-f]{64})/layer=([a-z0-9_]+)/recipe=([a-z0-9]+-[0-9a-f]{20})/(0|[1-9][0-9]{0,5})\.parquet", path
    )
    if found is None or found[2] not in get_args(Layer):
        return None
    return found[1], found[2], found[3], int(found[4])


def report_path(dataset: str, name: str) -> str:
    """A figure or page for people."""
    return f"reports/dataset={check_dataset(dataset)}/{_checked(_REPORT, name, 'report')}"


def runs_folder(dataset: str, job: str) -> str:
    """The folder of what runs of a scheduled job leave."""
    return f"runs/dataset={check_dataset(dataset)}/job={_checked(_NAME, job, 'job')}"


def run_path(dataset: str, job: str, number: int) -> str:
    """The record of a run that was done."""
    return f"{runs_folder(dataset, job)}/run-{_number(number)}.json"


def lease_path(dataset: str, job: str, number: int, sign: str) -> str:
    """A sign of the holder of a lease: `held`, `beat-1`, `beat-2` ... or `released`."""
    return f"{runs_folder(dataset, job)}/lease-{_number(number)}/{_checked(_SIGN, sign, 'sign')}.json"


def parse_run_path(path: str) -> tuple[int, str] | None:
    """(number, sign) of a lease's path, sign `run` for a record; None for any other path."""
    found = re.fullmatch(r"runs/[^/]+/[^/]+/(?:run-([1-9][0-9]{0,8})|lease-([1-9][0-9]{0,8})/([a-z0-9-]+))\.json", path)
    if found is None:
        return None
    if found[1] is not None:
        return int(found[1]), "run"
    return None if _SIGN.fullmatch(found[3]) is None else (int(found[2]), found[3])


def watched_folder(dataset: str, part: str, run: str | None = None) -> str:
    """The folder of what runs have told of themselves: `begun`, `signs` (of one run, when it is named) or `ended`."""
    if part not in _RUN_PARTS:
        raise InvalidNameError(f"{part!r}: no such part of the records of runs")
    folder = f"runs/dataset={check_dataset(dataset)}/{part}"
    return folder if run is None else f"{folder}/{_checked(_RUN, run, 'run')}"


def begun_path(dataset: str, run: str) -> str:
    """What a run is."""
    return f"{watched_folder(dataset, 'begun', run)}.json"


def sign_path(dataset: str, run: str, number: int) -> str:
    """How far a run was at one time, counted from 1."""
    return f"{watched_folder(dataset, 'signs', run)}/{_number(number)}.json"


def ended_path(dataset: str, run: str) -> str:
    """How a run ended."""
    return f"{watched_folder(dataset, 'ended', run)}.json"


def parse_watched_path(path: str) -> tuple[str, int] | None:
    """(run, number of the sign, 0 for its begin or end) of a path of these; None for any other."""
    found = re.fullmatch(r"runs/[^/]+/(?:(?:begun|ended)/([^/]+)|signs/([^/]+)/([1-9][0-9]{0,6}))\.json", path)
    if found is None or _RUN.fullmatch(found[1] or found[2]) is None:
        return None
    return found[1] or found[2], int(found[3] or 0)


def check_shard(name: str) -> str:
    """A shard's name as it is; InvalidNameError when it is not allowed."""
    return _checked(_SHARD, name, "shard")


def is_table_path(path: str, dataset: str, spec: str) -> bool:
    """Whether a path that was read from a commit record is a table file of this dataset and spec, and nothing else."""
    return _table_path(check_dataset(dataset), _checked(_SPEC, spec, "spec")).fullmatch(path) is not None


@functools.lru_cache(maxsize=8)
def _table_path(dataset: str, spec: str) -> re.Pattern[str]:
    # A store of a million images has 300,000 of these paths in its commits: one match each.
    part = "[A-Za-z0-9_=-][A-Za-z0-9_=.-]*"
    return re.compile(rf"(?:{'|'.join(_TABLES)})/dataset={dataset}/spec={spec}(?:/{part})*/{part}(?<=\.parquet)")


def _dataset_spec(dataset: str, spec: str) -> str:
    return f"dataset={check_dataset(dataset)}/spec={_checked(_SPEC, spec, 'spec')}"


def _layer(layer: Layer) -> Layer:
    if layer not in get_args(Layer):
        raise InvalidNameError(f"{layer}: no such layer")
    return layer


def _number(number: int) -> int:
    if number < 1:
        raise InvalidNameError(f"number {number}: counting begins at 1")
    return number


def _checked(pattern: re.Pattern[str], name: str, what: str) -> str:
    if pattern.fullmatch(name) is None:
        raise InvalidNameError(f"{what} {name!r}: not a name of a {what}")
    return name
