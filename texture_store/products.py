"""What is made of the images of a shard, and the tables that it is written as.

Shapes: `N` images, `D` channels, `K` words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas import DESCRIPTORS, SAMPLES, features_schema, fold_vectors_schema
from texture_store.spec import Layer
from texture_store.store.commits import Pair


@dataclass(frozen=True)
class Products:
    """What was made of N images: an entry for each pair that was asked for."""

    vectors: dict[Pair, np.ndarray] = field(default_factory=dict)
    """float32 (N, width) for each (encoder, layer)."""
    counts: dict[Layer, np.ndarray] = field(default_factory=dict)
    """int32 (N, K): descriptors of each word, for VLAD."""
    samples: dict[Layer, list[np.ndarray]] = field(default_factory=dict)
    """float32 (descriptors, D) for each image."""
    positions: dict[Layer, list[np.ndarray]] = field(default_factory=dict)
    """Likewise of all positions."""
    fold_vectors: dict[Layer, dict[str, np.ndarray]] = field(default_factory=dict)
    """float32 (N, width) for each fold dictionary."""
    num_positions: dict[Layer, np.ndarray] = field(default_factory=dict)
    """int32 (N,)"""


def product_tables(products: Products, members: Sequence[Mapping[str, Any]]) -> dict[Pair, pa.Table]:
    """As the tables that are written, one for each pair; `members` are rows of the MICROGRAPHS table."""
    tables: dict[Pair, pa.Table] = {}
    for (encoder, layer), vectors in products.vectors.items():
        counts = products.counts[layer] if encoder == "vlad" else None
        tables[encoder, layer] = _features_table(members, vectors, products.num_positions[layer], counts)
    for layer, samples in products.samples.items():
        tables["sample", layer] = _samples_table(members, samples, products.num_positions[layer])
    for layer, descriptors in products.positions.items():
        tables["positions", layer] = _samples_table(members, descriptors, products.num_positions[layer])
    for layer, fold_vectors in products.fold_vectors.items():
        tables["fold-vlad", layer] = _fold_vectors_table(members, fold_vectors, products.num_positions[layer])
    return tables


def _features_table(
    members: Sequence[Mapping[str, Any]], vectors: np.ndarray, num_positions: np.ndarray, counts: np.ndarray | None
) -> pa.Table:
    schema = features_schema(vectors.shape[1], None if counts is None else counts.shape[1])
    columns = [*_names(members), pa.array(num_positions)]
    for name, matrix in (("vector", vectors), ("counts", counts)):
        if matrix is not None:
            columns.append(_lists(matrix, schema.field(name).type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fold_vectors_table(
    members: Sequence[Mapping[str, Any]], by_dictionary: Mapping[str, np.ndarray], num_positions: np.ndarray
) -> pa.Table:
    width = next(iter(by_dictionary.values())).shape[1]
    schema = fold_vectors_schema(width, list(by_dictionary))
    columns = [_lists(matrix, schema.field(name).type) for name, matrix in by_dictionary.items()]
    return pa.Table.from_arrays([*_names(members), pa.array(num_positions), *columns], schema=schema)


def _lists(matrix: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).reshape(-1)), type=kind)


def _samples_table(
    members: Sequence[Mapping[str, Any]], samples: Sequence[np.ndarray], num_positions: np.ndarray
) -> pa.Table:
    ends = np.cumsum([0, *(sample.size for sample in samples)], dtype=np.int32)
    flat = np.concatenate([np.empty(0, np.float32), *(sample.reshape(-1) for sample in samples)])
    columns = [
        *_names(members),
        pa.array(num_positions),
        pa.array([len(sample) for sample in samples], pa.int32()),
        pa.ListArray.from_arrays(pa.array(ends), pa.array(flat), type=SAMPLES.field(DESCRIPTORS).type),
    ]
    return pa.Table.from_arrays(columns, schema=SAMPLES)


def _names(members: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
    return [pa.array([member[name] for member in members], pa.string()) for name in ("image_id", "path")]
