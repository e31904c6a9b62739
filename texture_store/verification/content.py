"""One file by itself: its checksum, its schema, its values, and whether its content is that of its name."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import (
    CHECKPOINT,
    DESCRIPTORS,
    EVALUATIONS,
    META_PREFIX,
    MICROGRAPHS,
    REJECTED,
    SAMPLES,
    TEXTURES,
    VECTOR,
    dictionary_schema,
    features_schema,
    fold_vectors_schema,
    snapshot_schema,
)
from texture_store.errors import EncodingError, InvalidSpecError, SchemaMismatchError
from texture_store.spec import NUM_CHANNELS, Encoder, Layer, parse_spec, vector_width
from texture_store.store.explanations import SCHEMAS
from texture_store.store.opening import FORMAT_VERSION
from texture_store.store.publish import parse_publication
from texture_store.store.sealing import is_json_whole, is_parquet_whole
from texture_store.store.tables import check_rows, parse_table
from texture_store.verification.findings import DamagedError
from texture_store.verification.inventory import RUNS, Place

STORE_JSON = json.dumps({"format": FORMAT_VERSION}).encode() + b"\n"
"""The content of store.json."""


NEWER = "of a newer texture_store, or damaged"


def check_content(place: Place, data: bytes) -> pa.Table | None:
    """The table of a Parquet file, None for others. Raises DamagedError."""
    if place.path.endswith(".parquet"):
        return _check_table(place, data)
    check = _OTHERS.get(place.kind)
    if check is not None:
        check(place, data)
    return None


def has_checksum(place: Place, data: bytes) -> bool:
    """Whether damage to any byte of the file can be told; files of older releases may have no checksum."""
    if place.kind in ("report",):
        return _named_digest(place, data) is not None
    if place.kind in ("store", "weights", "spec"):
        return True
    whole = is_parquet_whole(data) if place.path.endswith(".parquet") else is_json_whole(data)
    return whole is not None


def _check_table(place: Place, data: bytes) -> pa.Table:
    whole = is_parquet_whole(data)
    if whole is False:
        raise DamagedError("its checksum does not hold")
    try:
        table = parse_table(data, "", None)
        wanted = _schema(place, table.schema)
        if wanted is not None:
            table = parse_table(data, "", wanted)
    except SchemaMismatchError as error:
        raise DamagedError(str(error).removeprefix(": ").partition(";")[0]) from None
    try:
        check_rows(table, "")
    except EncodingError as error:
        raise DamagedError(str(error).removeprefix(": ").partition(";")[0]) from None
    check = _TABLES.get(place.kind)
    if check is not None:
        check(place, table)
    return table


def _schema(place: Place, found: pa.Schema) -> pa.Schema | None:
    """What a file of this place must have; where that depends on the file, as the file says."""
    fixed = {
        "micrographs": MICROGRAPHS,
        "rejected": REJECTED,
        "samples": SAMPLES,
        "positions": SAMPLES,
        "checkpoint": CHECKPOINT,
        "evaluation": EVALUATIONS,
        "texture": TEXTURES,
    }
    layer = cast(Layer, place.layer)
    match place.kind:
        case "features":
            num_words = _list_size(found, "counts") if place.encoder == "vlad" else None
            width = vector_width(cast(Encoder, place.encoder), layer, num_words or 1)
            return features_schema(width, num_words)
        case "folds":
            names = found.names[3:]
            return fold_vectors_schema(_list_size(found, names[0]) if names else 1, names)
        case "dictionary":
            return dictionary_schema(NUM_CHANNELS[layer])
        case "explanation":
            return SCHEMAS[place.table]
        case "snapshot":
            return snapshot_schema([name.removeprefix(META_PREFIX) for name in found.names if META_PREFIX in name])
    return fixed.get(place.kind)


def _list_size(schema: pa.Schema, column: str) -> int:
    kind = schema.field(column).type if column in schema.names else pa.null()
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 1


def _check_vectors(place: Place, table: pa.Table) -> None:
    if place.kind == "part" and not {"image_id", "num_positions", VECTOR} <= set(table.column_names):
        raise DamagedError("it lacks columns of published features")
    positions = table["num_positions"].to_numpy()
    if (positions < 1).any():
        raise DamagedError("an image has no position")
    if VECTOR in table.column_names:
        width = _list_size(table.schema, VECTOR)
        if place.encoder in ("mean", "max", "gram") and width != vector_width(
            cast(Encoder, place.encoder), cast(Layer, place.layer)
        ):
            raise DamagedError(f"vectors of {width} values are not {place.encoder} of {place.layer}")
        values = pc.list_flatten(table[VECTOR])
        if place.layer != "input" and place.encoder in ("mean", "max") and len(values) and pc.min(values).as_py() < 0:
            raise DamagedError("a negative activation, which no layer after ReLU has")
    if "counts" in table.column_names:
        counts = pc.list_flatten(table["counts"]).to_numpy().reshape(table.num_rows, -1)
        if (counts < 0).any() or (counts.sum(1) != positions).any():
            raise DamagedError("the counts of words do not add up to the positions")


def _check_samples(place: Place, table: pa.Table) -> None:
    drawn, positions = table["num_descriptors"].to_numpy(), table["num_positions"].to_numpy()
    values = pc.list_value_length(table[DESCRIPTORS]).to_numpy()
    if (
        (values != drawn * NUM_CHANNELS[cast(Layer, place.layer)]).any()
        or (drawn < 1).any()
        or (drawn > positions).any()
    ):
        raise DamagedError("its numbers of descriptors and values do not fit together")


def _check_snapshot(place: Place, table: pa.Table) -> None:
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    says = (metadata.get("dataset", place.dataset), metadata.get("snapshot", str(place.number)))
    if says != (place.dataset, str(place.number)):
        raise DamagedError(f"it is snapshot {says[1]} of dataset {says[0]}")
    paths = table["path"].to_pylist()
    if paths != sorted(paths) or len(set(paths)) != len(paths):
        raise DamagedError("its paths are not sorted, or one is there twice")
    for row in (
        table.filter(pc.is_null(table["sidecar"])).select(["image_id", "path", "size", "etag", "mtime"]).to_pylist()
    ):
        parts = (row["path"], str(row["size"]), row["etag"] or row["mtime"] or "")
        if row["image_id"] != hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]:
            raise DamagedError(f"the image_id of {row['path']} is not the hash of its path, size and version")


def _check_evaluation(place: Place, table: pa.Table) -> None:
    if table.num_rows != 1:
        raise DamagedError(f"{table.num_rows} rows instead of one")
    row = table.select(["key", "error"]).to_pylist()[0]
    # Not computed anew: what decides a key is another matter in each release.
    if place.name != row["key"]:
        raise DamagedError("its row has another key than its name")
    if bool(place.number) != (row["error"] is not None):
        raise DamagedError("its name and its row do not agree on whether the trial failed")


def _check_explanation(place: Place, table: pa.Table) -> None:
    if set(table["key"].to_pylist()) - {place.name}:
        raise DamagedError("its rows have another key than its name")


def _check_texture(place: Place, table: pa.Table) -> None:
    row = table.select(["weights", "layer", "recipe_key", "filter"]).to_pylist()
    if [list(one.values()) for one in row] != [[place.name, place.layer, place.table, place.number]]:
        raise DamagedError("it is the texture of another filter")


def _check_store(place: Place, data: bytes) -> None:  # noqa: ARG001
    try:
        version = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError):
        version = None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise DamagedError(NEWER)
    if data != STORE_JSON:
        raise DamagedError("not what a store of this release says")


def _check_spec(place: Place, data: bytes) -> None:
    try:
        spec = parse_spec(data)
    except InvalidSpecError as error:
        raise DamagedError(f"{error} (or it is of a newer texture_store: then upgrade)") from None
    if spec.fingerprint != place.spec or spec.canonical_json.encode() != data:
        raise DamagedError("its content is not that of its fingerprint")


def _check_publication(place: Place, data: bytes) -> None:
    found = parse_publication(data)
    if found is None:
        raise DamagedError("its checksum does not hold, or it is no record of a publication")
    if (found.dataset, found.snapshot, found.spec, found.encoder, found.layer) != (
        *(place.dataset, place.number),
        *(place.spec, place.encoder, place.layer),
    ):
        raise DamagedError("it is the record of another publication")


def _check_report(place: Place, data: bytes) -> None:
    if _named_digest(place, data) is False:
        raise DamagedError("its content is not that of its name")


def _check_run(place: Place, data: bytes) -> None:
    if place.path.endswith(".json"):
        try:
            json.loads(data)
        except ValueError:
            raise DamagedError("not JSON") from None
        if is_json_whole(data) is False:
            raise DamagedError("its checksum does not hold")


def _check_told(place: Place, data: bytes) -> None:
    if not is_json_whole(data):  # there never was one without a checksum
        raise DamagedError("its checksum does not hold")
    told = json.loads(data)
    if (told.get("run"), told.get("dataset"), told.get("number", 0)) != (place.name, place.dataset, place.number):
        raise DamagedError("it is the record of another run")
    if ("started" in told) != (place.kind == "begun"):
        raise DamagedError("it is another part of the record")


_OLD_NAMES = re.compile(r"evaluation-[0-9a-f]{12}-[a-z]+\.[a-z]+|preview-[0-9a-f]{12}\.png")
"""Figures whose names do not tell their content; newer ones do."""


def _named_digest(place: Place, data: bytes) -> bool | None:
    if _OLD_NAMES.fullmatch(place.name):
        return None
    digest = hashlib.sha256(data).hexdigest()
    named = re.findall(r"[0-9a-f]{8,16}(?=[-.])", place.name)
    return any(digest.startswith(one) for one in named) if named else None


_TABLES: dict[str, Callable[[Place, pa.Table], None]] = {
    "features": _check_vectors,
    "folds": _check_vectors,
    "part": _check_vectors,
    "samples": _check_samples,
    "positions": _check_samples,
    "snapshot": _check_snapshot,
    "evaluation": _check_evaluation,
    "explanation": _check_explanation,
    "texture": _check_texture,
}
_OTHERS: dict[str, Callable[[Place, bytes], None]] = {
    "store": _check_store,
    "spec": _check_spec,
    "publication": _check_publication,
    "report": _check_report,
    "run": _check_run,
    **dict.fromkeys(RUNS, _check_told),
}


def shapes_seen(table: pa.Table) -> dict[str, tuple[int, int]]:
    """(width, height) that the network received, by image_id, of a table of micrographs."""
    columns = (table[name].to_pylist() for name in ("image_id", "seen_width", "seen_height"))
    return {image_id: (width, height) for image_id, width, height in zip(*columns, strict=True)}


def positions_of(layer: str, width: int, height: int) -> int:
    """Of a layer's map over a picture: VGG16 halves it, rounded down, before each block but the first."""
    halvings = 0 if layer == "input" else int(layer[4]) - 1
    return (width >> halvings) * (height >> halvings)


def check_positions(place: Place, table: pa.Table, shapes: dict[str, tuple[int, int]]) -> None:
    """Whether `num_positions` fits what the network received. Raises DamagedError."""
    found = np.asarray(table["num_positions"].to_numpy())
    for image_id, number in zip(table["image_id"].to_pylist(), found.tolist(), strict=True):
        if image_id in shapes and number != positions_of(place.layer, *shapes[image_id]):
            raise DamagedError(f"{number} positions do not fit image {image_id} at {place.layer}")
