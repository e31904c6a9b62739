"""Textures of filters: one small file each, under the digest of the weights, written only if absent."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas import TEXTURES
from texture_store.objects import Storage
from texture_store.spec import Layer
from texture_store.store import layout
from texture_store.store.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

_READERS = 16
"""Files are small: reading them is waiting for storage."""


def write_texture(storage: Storage, row: dict[str, Any]) -> None:
    """Keep a texture, a row of schemas.TEXTURES; one that is there stays.

    Raises EncodingError for a null where none is allowed.
    """
    path = layout.texture_path(row["weights"], row["layer"], row["recipe_key"], row["filter"])
    write_table(storage, path, pa.Table.from_pylist([row], TEXTURES))


def textures_there(storage: Storage, weights: str, layer: Layer, recipe_key: str) -> set[int]:
    """The filters of a layer that have a texture by this recipe."""
    found = (
        layout.parse_texture_path(info.path)
        for info in storage.list(layout.textures_folder(weights, layer, recipe_key))
    )
    return {one[3] for one in found if one is not None}


def read_textures(
    storage: Storage,
    *,
    weights: str | None = None,
    layer: Layer | None = None,
    filters: Collection[int] | None = None,
    recipe: str | None = None,
) -> pa.Table:
    """Textures (schemas.TEXTURES), all or those of some weights (digest), a layer, filters, a recipe (name or key)."""
    paths = []
    for info in storage.list(layout.textures_folder(weights or "", layer if weights else None)):
        found = layout.parse_texture_path(info.path)
        if (
            found is not None
            and layer in (None, found[1])
            and recipe in (None, found[2], found[2].split("-")[0])
            and (filters is None or found[3] in filters)
        ):
            paths.append(info.path)
    with ThreadPoolExecutor(_READERS) as pool:
        tables: Sequence[pa.Table] = list(pool.map(lambda path: read_table(storage, path, TEXTURES), paths))
    table = pa.concat_tables([TEXTURES.empty_table(), *tables])
    return table.sort_by([(name, "ascending") for name in ("lineage", "weights", "layer", "filter", "recipe_key")])


def textures_frame(table: pa.Table) -> "pd.DataFrame":
    """Rows of `read_textures` as pandas, with the column `gain`: activation as a multiple of that on noise."""
    frame = table.to_pandas(maps_as_pydicts="strict")
    # A dead filter has none, as 0 / 0; where only noise leaves a filter silent, it is infinite.
    return frame.assign(gain=frame["activation"] / frame["noise_activation"])
