"""Which images a stored evaluation was of: its rows keep a hash of them, and the store has what finds them."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.evaluation_columns import column_of, parsed, selected, targets
from texture_store.errors import TextureStoreError
from texture_store.evaluation.columns import unknown
from texture_store.evaluation.missing import missing
from texture_store.objects import Storage
from texture_store.spec import ENCODERS, LAYERS, NETWORK_LAYERS
from texture_store.store.catalog import Catalog
from texture_store.store.evaluations import members_digest
from texture_store.store.reader import read_catalog, read_features

if TYPE_CHECKING:
    import pandas as pd

ALL_LAYERS = "all"


def evaluated_images(storage: Storage, dataset: str, rows: "pd.DataFrame") -> pa.Table | None:
    """(n rows) of the snapshot that `rows`, of one question, were made of, in their order.

    Those with a label that meet the conditions, and have all the features that the rows are of. None when their hash is
    another one: the store has changed in a way that this does not know.
    """
    first = rows.iloc[0]
    try:
        catalog = read_catalog(storage, dataset, int(first["snapshot"]))
        images = _labelled(catalog.snapshot.table, first)
        for encoder, layer, spec in set(zip(rows["encoder"], rows["layer"], rows["spec"], strict=True)):
            images = _with_features(catalog, images, encoder, layer, spec.split("+"))
    except TextureStoreError:
        return None
    return images if members_digest(images.column("image_id").to_pylist()) == first["members"] else None


def labels_of(images: pa.Table, column: str) -> npt.NDArray[np.object_]:
    """(n,) text, None without a label; what pandas writes for a missing value is none."""
    texts = np.array(column_of(images, column, "--label-column").to_pylist(), dtype=object)
    texts[_unlabelled(texts)] = None
    return texts


def _unlabelled(texts: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    return np.asarray(missing(texts) | np.array([str(text).lower() == "nan" for text in texts], bool))


def _labelled(table: pa.Table, row: Any) -> pa.Table:
    images = table.filter(pa.array(selected(table, list(row["conditions"]))))
    for name in row["with_columns"]:
        images = images.filter(pa.array(~unknown(parsed(images, name, "--with-columns"))))
    if row["task"] == "regression":
        return images.filter(pa.array(~np.isnan(targets(images, row["label_column"]))))
    return images.filter(pa.array([label is not None for label in labels_of(images, row["label_column"])], pa.bool_()))


def _with_features(catalog: Catalog, images: pa.Table, encoder: str, layer: str, specs: Sequence[str]) -> pa.Table:
    layers = NETWORK_LAYERS if layer == ALL_LAYERS else [one for one in LAYERS if one == layer]
    for one, spec in product(layers, specs):
        encoders = [name for name in ENCODERS if name == encoder and (name, one) in catalog.pairs(spec)]
        for name in encoders:
            members = read_features(catalog, name, one, catalog.spec(spec), 0).members
            keep = pc.is_in(images.column("image_id"), value_set=members.column("image_id").combine_chunks())
            images = images.filter(keep)
    return images
