"""One feature set of one dataset: its rows, and its vectors as numpy, Arrow, pandas or Polars.

Shapes: n images, d values of a stored vector, D channels of the layer. Nothing is read before it is asked for.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import META_PREFIX, VECTOR
from texture_store.encoding.normalisation import Normalisation, normalise
from texture_store.encoding.packing import unpack_gram
from texture_store.errors import FeaturesNotFoundError, MissingExtraError, SchemaMismatchError, UsageError
from texture_store.objects import Storage
from texture_store.spec import NUM_CHANNELS, Encoder, FeatureSpec, Layer, vector_width
from texture_store.store.catalog import CommittedFile
from texture_store.store.object_file import CHANGED, open_parquet
from texture_store.store.scale import Scales, read_scales
from texture_store.store.scan import Rows, scan

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Matrix = npt.NDArray[np.float32]
Convert = Callable[[Matrix, npt.NDArray[np.int32]], Matrix]

SUMS = frozenset({"gram", "vlad"})
"""Encoders whose values are sums over positions, and grow with their number."""
COUNTS = "counts"


@dataclass(frozen=True, eq=False, repr=False)
class Features:
    """The images of a snapshot that have these features, in the snapshot's order (by path)."""

    storage: Storage
    dataset: str
    snapshot: int
    """Number of the index snapshot."""
    encoder: Encoder
    layer: Layer
    spec: FeatureSpec
    pending: int
    """Images of the snapshot that have neither features nor a rejection yet."""
    members: pa.Table
    """(n rows) of the snapshot: schemas.SNAPSHOT with the meta_ columns."""
    files: Sequence[CommittedFile]
    """Feature files; their `rows` are rows of `members`."""
    micrographs: Sequence[CommittedFile]
    """Files of facts; likewise."""
    column: str = VECTOR
    """Of the files: the vectors."""

    def __len__(self) -> int:
        return int(self.members.num_rows)

    def __repr__(self) -> str:
        return (
            f"<Features {self.dataset} {self.encoder} {self.layer}: {len(self)} images,"
            f" snapshot {self.snapshot}, spec {self.spec.fingerprint}>"
        )

    @cached_property
    def num_features(self) -> int:
        """d, the number of stored values of a vector."""
        if self.encoder != "vlad" or not self.files:
            return vector_width(self.encoder, self.layer)
        return self._width(self.column)  # depends on the number of words

    @cached_property
    def num_positions(self) -> npt.NDArray[np.int32]:
        """(n,) positions of the feature map that each vector is made of."""
        found = np.zeros(len(self), np.int32)

        def consume(rows: Rows, table: pa.Table) -> None:
            found[rows] = table.column("num_positions").to_numpy()

        scan(self.storage, self.files, ["num_positions"], consume, whole=False)
        return found

    @property
    def mixed_positions(self) -> bool:
        """Whether images have different numbers of positions: sums (gram, vlad) are then not comparable as they are."""
        return bool(len(np.unique(self.num_positions)) > 1)

    @cached_property
    def scales(self) -> Scales:
        """Um per px of what the network saw."""
        return read_scales(self.storage, self.micrographs, self.members)

    @property
    def mixed_scales(self) -> bool:
        """Whether known scales differ by more than 1 %: the same texture then looks different."""
        known = self.scales.x[self.scales.known]
        return bool(len(known) and known.max() > 1.01 * known.min())

    @cached_property
    def metadata(self) -> pa.Table:
        """What `rows` holds, as Arrow."""
        names = ["image_id", "path", "label", "specimen"]
        meta = [name for name in self.members.column_names if name.startswith(META_PREFIX)]
        table = self.members.select(names)
        table = table.append_column("num_positions", pa.array(self.num_positions, pa.int32()))
        for axis, values in (("x", self.scales.x), ("y", self.scales.y)):
            table = table.append_column(f"um_per_px_{axis}", pa.array(values, pa.float64(), from_pandas=True))
        table = table.append_column("um_per_px_source", pa.array(self.scales.source, pa.string()))
        for name in meta:
            table = table.append_column(self.members.schema.field(name), self.members.column(name))
        return table.replace_schema_metadata(None)

    @cached_property
    def rows(self) -> "pd.DataFrame":
        """One row an image: image_id, path, label, specimen, num_positions, um_per_px_x, um_per_px_y (of what the
        network saw), um_per_px_source (file, labels or null), and the meta_ columns of the labels file.
        """
        return self.metadata.to_pandas()

    def to_numpy(self) -> Matrix:
        """(n, d) float32 as stored: Gram packed (`unpack_gram`), VLAD not `normalised`, sums as sums.

        Row i belongs to `rows` row i.
        """
        return self._fill((self.num_features,), None)

    def position_mean(self) -> Matrix:
        """(n, d) float32: sums (gram, vlad) divided by the number of positions they grow with, others as they are."""
        if self.encoder not in SUMS:
            return self.to_numpy()
        return self._fill((self.num_features,), _divide)

    def normalised(self, how: Normalisation = "intra") -> Matrix:
        """(n, d) float32 VLAD vectors, normalised.

        `intra`, the default: each word's residuals to length 1, then the vector (Arandjelovic and Zisserman 2013, as
        DeCost et al.); `signed-sqrt`: the signed square root, then length 1; `l2`: length 1 (Jegou et al. 2010);
        `none`: residual sums as stored. Zeros stay zeros. UsageError for other encoders.
        """
        if self.encoder != "vlad":
            raise UsageError(f"encoder {self.encoder}: only vlad vectors are normalised by words")
        num_words = self.num_features // NUM_CHANNELS[self.layer]

        def convert(vectors: Matrix, _: npt.NDArray[np.int32]) -> Matrix:
            return normalise(vectors, num_words, how)

        return self._fill((self.num_features,), convert)

    def full_gram(self, *, position_mean: bool = False) -> Matrix:
        """(n, D, D) float32 symmetric Gram matrices; twice the memory of `to_numpy`. UsageError for other encoders."""
        if self.encoder != "gram":
            raise UsageError(f"encoder {self.encoder}: only gram vectors are matrices")
        channels = NUM_CHANNELS[self.layer]

        def unpack(vectors: Matrix, num_positions: npt.NDArray[np.int32]) -> Matrix:
            return np.asarray(unpack_gram(_divide(vectors, num_positions) if position_mean else vectors), np.float32)

        return self._fill((channels, channels), unpack)

    def counts(self) -> npt.NDArray[np.int32]:
        """(n, K) how many descriptors each word of the dictionary got. UsageError for other encoders."""
        if self.encoder != "vlad":
            raise UsageError(f"encoder {self.encoder}: only vlad has counts")
        found = np.empty((len(self), self._width(COUNTS)), np.int32)

        def consume(rows: Rows, table: pa.Table) -> None:
            found[rows] = self._matrix(table, COUNTS, found.shape[1])

        scan(self.storage, self.files, [COUNTS], consume, whole=False)
        return found

    def to_arrow(self) -> pa.Table:
        """`rows` and a column `vector`: fixed_size_list<float32>[d]; for vlad also `counts`."""
        table = self.metadata.append_column(VECTOR, _list_array(self.to_numpy(), pa.float32()))
        if self.encoder == "vlad":
            table = table.append_column(COUNTS, _list_array(self.counts(), pa.int32()))
        return table

    def to_pandas(self, *, wide: bool = False) -> "pd.DataFrame":
        """`rows` and a column `vector` of float32 arrays (views of one matrix); `wide`: columns f0, f1 ... instead."""
        import pandas as pd

        vectors = self.to_numpy()
        if not wide:
            return self.rows.assign(**{VECTOR: list(vectors)})
        columns = [f"f{i}" for i in range(vectors.shape[1])]
        return pd.concat([self.rows, pd.DataFrame(vectors, columns=columns, copy=False)], axis=1)

    def to_polars(self) -> "pl.DataFrame":
        """`rows` and a column `vector`: Array(Float32, d). Raises MissingExtraError without Polars."""
        try:
            import polars as pl
        except ImportError as error:
            raise MissingExtraError("to_polars() needs Polars: pip install polars") from error
        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def subset(self, keep: npt.ArrayLike) -> "Features":
        """Some of the images, in the same order: a mask of length n, or ascending row numbers. Raises UsageError."""
        chosen = np.asarray(keep)
        if not chosen.size or (chosen.dtype == bool and len(chosen) == len(self)):
            chosen = np.flatnonzero(chosen)
        if chosen.dtype.kind not in "iu" or (np.diff(chosen) <= 0).any() or not _within(chosen, len(self)):
            raise UsageError(
                f"subset() takes a mask of {len(self)} bools, or row numbers below that, each once, ascending"
            )
        places = np.full(len(self) + 1, -1, np.int64)  # the last one is for -1
        places[chosen] = np.arange(len(chosen))

        def move(files: Sequence[CommittedFile]) -> list[CommittedFile]:
            moved = [replace(file, rows=places[file.rows]) for file in files]
            return [file for file in moved if (file.rows >= 0).any()]

        smaller = replace(
            self,
            members=self.members.take(pa.array(chosen)),
            files=move(self.files),
            micrographs=move(self.micrographs),
        )
        # What was read already is kept.
        if "num_positions" in self.__dict__:
            smaller.__dict__["num_positions"] = self.num_positions[chosen]
        if "scales" in self.__dict__:
            scales = self.scales
            smaller.__dict__["scales"] = Scales(scales.x[chosen], scales.y[chosen], scales.source[chosen])
        return smaller

    def at_scale(self, um_per_px: float, *, tolerance: float = 0.1) -> "Features":
        """The images that the network saw at this scale, in x and y, within a relative tolerance.

        Warns about images of unknown scale, which are left out. Raises FeaturesNotFoundError when none is left.
        """
        if not (um_per_px > 0 and tolerance >= 0):
            raise UsageError(f"um per px {um_per_px} and tolerance {tolerance}: must be positive")
        keep = self.scales.near(um_per_px, tolerance)
        known = self.scales.x[self.scales.known]
        unknown = len(self) - len(known)
        if not keep.any():
            span = f"known scales are {known.min():.4g} to {known.max():.4g}" if len(known) else "no scale is known"
            raise FeaturesNotFoundError(
                f"dataset {self.dataset}: no image at {um_per_px:g} um per px within {tolerance:.0%}; {span},"
                f" {unknown} images are of unknown scale"
            )
        if unknown:
            warnings.warn(f"{unknown} images of unknown scale are left out", stacklevel=2)
        return self.subset(keep)

    def batches(self, max_bytes: int = 256 << 20) -> Iterator["Features"]:
        """Consecutive pieces whose vectors take up to `max_bytes` each, for more than fits into memory."""
        size = max(1, max_bytes // (4 * self.num_features))
        for start in range(0, len(self), size):
            yield self.subset(np.arange(start, min(start + size, len(self))))

    def _fill(self, shape: tuple[int, ...], convert: Convert | None) -> Matrix:
        """All vectors, converted, in one preallocated array (n, *shape); threads scatter whole row groups into it."""
        width = self.num_features
        result = np.empty((len(self), *shape), np.float32)
        num_positions = np.zeros(len(self), np.int32)

        def consume(rows: Rows, table: pa.Table) -> None:
            positions = table.column("num_positions").to_numpy()
            num_positions[rows] = positions
            vectors = self._matrix(table, self.column, width)
            result[rows] = vectors if convert is None else convert(vectors, positions)

        # A file of fold vectors has many columns, of which this is one.
        whole = self.column == VECTOR
        scan(self.storage, self.files, [self.column, "num_positions"], consume, whole=whole)
        self.__dict__.setdefault("num_positions", num_positions)
        return result

    def _matrix(self, table: pa.Table, name: str, width: int) -> npt.NDArray[Any]:
        """(rows, width) view of a list column. `flatten` and not `values`, which ignores slices."""
        column = table.column(name).combine_chunks()
        kind = column.type
        if not pa.types.is_fixed_size_list(kind) or kind.list_size != width or column.null_count:
            raise SchemaMismatchError(
                f"dataset {self.dataset} {self.encoder} {self.layer}: column {name} is {kind} with {column.null_count}"
                f" nulls, not lists of {width}; {CHANGED}"
            )
        matrix: npt.NDArray[Any] = column.flatten().to_numpy(zero_copy_only=True).reshape(len(column), width)
        return matrix

    def _width(self, name: str) -> int:
        first = self.files[0]
        with open_parquet(self.storage, first.path, first.num_bytes, whole=False) as parquet:
            kind = parquet.schema_arrow.field(name).type
        if not pa.types.is_fixed_size_list(kind):
            raise SchemaMismatchError(f"{self.storage.url_of(first.path)}: column {name} is {kind}; {CHANGED}")
        return int(kind.list_size)


def _divide(vectors: Matrix, num_positions: npt.NDArray[np.int32]) -> Matrix:
    return np.divide(vectors, num_positions[:, None], dtype=np.float32)


def _within(rows: npt.NDArray[Any], length: int) -> bool:
    return not len(rows) or (int(rows[0]) >= 0 and int(rows[-1]) < length)


def _list_array(matrix: npt.NDArray[Any], kind: pa.DataType) -> pa.FixedSizeListArray:
    """(n, d) as n lists, without a copy and without nulls."""
    field = pa.field("element", kind, nullable=False)
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1), kind), type=pa.list_(field, matrix.shape[1]))
