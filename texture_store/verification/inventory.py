"""What each path under STORE is."""

import re
from typing import NamedTuple, get_args

from texture_store.spec import Encoder, Layer
from texture_store.store.layout import EXPLANATIONS, STORE_FILE

PRODUCTS = ("features", "samples", "positions", "folds")
RUNS = ("sign", "ended", "begun")
"""Kinds of what runs tell of themselves, in the order in which it can go: without a begin the rest is not looked at."""
COMMITTED = ("micrographs", "rejected", *PRODUCTS)
"""Kinds of files that count only when a commit names them."""
SET_ASIDE = "set-aside"
"""Folder of what `verify --repair` moved out of the way."""


class Place(NamedTuple):
    """A path, taken apart; parts that its kind does not have are empty."""

    kind: str
    """A key of `_PATTERNS`; `set-aside`, `run`, or `other` for what is none of ours."""
    path: str
    dataset: str = ""
    spec: str = ""
    encoder: str = ""
    layer: str = ""
    name: str = ""
    """Of a shard, dictionary, weights, evaluation, explanation ..."""
    table: str = ""
    """Of an explanation; the recipe of a texture; the step of a commit."""
    number: int = 0
    """Of a snapshot, checkpoint, texture."""


_D, _S = r"dataset=(?P<dataset>[a-z][a-z0-9_-]{0,99})", r"spec=(?P<spec>s[0-9a-f]{20,64})"
_E, _L = f"encoder=(?P<encoder>{'|'.join(get_args(Encoder))})", f"layer=(?P<layer>{'|'.join(get_args(Layer))})"
_SHARD = r"(?P<name>[a-z0-9][a-z0-9_-]{0,99})\.parquet"
_RUN = r"(?P<name>[0-9]{8}t[0-9]{6}-[a-z][a-z-]{0,39}-[0-9a-f]{8})"
_N = r"(?P<number>[1-9][0-9]{0,8})"

_PATTERNS = {
    "store": re.escape(STORE_FILE),
    "weights": r"weights/(?P<name>[0-9a-f]{64})\.safetensors",
    "spec": r"specs/(?P<spec>s[0-9a-f]{20,64})\.json",
    "snapshot": rf"index/{_D}/snapshot-{_N}\.parquet",
    "micrographs": rf"micrographs/{_D}/{_S}/{_SHARD}",
    "rejected": rf"rejected/{_D}/{_S}/{_SHARD}",
    "features": rf"features/{_D}/{_S}/{_E}/{_L}/{_SHARD}",
    "samples": rf"samples/{_D}/{_S}/{_L}/{_SHARD}",
    "positions": rf"positions/{_D}/{_S}/{_L}/{_SHARD}",
    "folds": rf"folds/{_D}/{_S}/{_L}/{_SHARD}",
    "dictionary": rf"dictionaries/{_D}/{_S}/{_L}/(?P<name>d[0-9a-f]{{20,64}})\.parquet",
    "checkpoint": rf"commits/{_D}/{_S}/checkpoint-{_N}\.parquet",
    "commit": rf"commits/{_D}/{_S}/(?P<table>[a-z][a-z0-9_-]{{0,99}})/(?P<name>[a-z0-9][a-z0-9_-]{{0,99}})"
    r"(?:\.(?P<number>[1-9][0-9]{0,3}))?\.json",
    "evaluation": rf"evaluations/{_D}/(?P<name>e[0-9a-f]{{24}})(?:\.failed-{_N})?\.parquet",
    "explanation": rf"explanations/{_D}/(?P<table>{'|'.join(EXPLANATIONS)})-(?P<name>x[0-9a-f]{{24}})\.parquet",
    "texture": rf"textures/(?P<name>[0-9a-f]{{64}})/{_L}/recipe=(?P<table>[a-z0-9]+-[0-9a-f]{{20}})"
    r"/(?P<number>0|[1-9][0-9]{0,5})\.parquet",
    "report": rf"reports/{_D}/(?P<name>[a-z][a-z0-9_-]{{0,99}}\.[a-z]{{2,5}})",
    "publication": rf"published/complete/{_D}/snapshot=n{_N}/{_S}/{_E}/{_L}\.json",
    "part": rf"published/{_D}/snapshot=n{_N}/{_S}/{_E}/{_L}/(?P<name>part-[0-9]{{5}})\.parquet",
    "begun": rf"runs/{_D}/begun/{_RUN}\.json",
    "sign": rf"runs/{_D}/signs/{_RUN}/{_N}\.json",
    "ended": rf"runs/{_D}/ended/{_RUN}\.json",
    "run": r"runs/.*",
    SET_ASIDE: rf"{SET_ASIDE}/.*",
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}

_FOLDERS: dict[str, list[str]] = {pattern.partition("/")[0]: [] for pattern in _PATTERNS.values()}
for _kind, _pattern in _PATTERNS.items():
    _FOLDERS[_pattern.partition("/")[0]].append(_kind)


def place_of(path: str) -> Place:
    """What a path under STORE is."""
    first = path.partition("/")[0]
    for kind in _FOLDERS.get(first if "/" in path else re.escape(first), ()):
        found = _COMPILED[kind].fullmatch(path)
        if found is not None:
            parts = {name: text for name, text in found.groupdict().items() if text is not None}
            number = int(parts.pop("number", "0"))
            return Place(kind, path, number=number, **parts)
    return Place("other", path)
