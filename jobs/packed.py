"""A value of the pipeline as one cell of a table that Ray Data carries, and back.

The bytes of arrays are copied once on their way in, by numpy without Python's lock, and not at all on their way out: a
shard of 64 images has 80 MB of vectors, which a GPU makes in 30 ms. Pickled into the stream they were copied three
times, one after the other.
"""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

_ALIGNMENT_BYTES = 64
"""Of each array: what Arrow and torch's kernels like best."""


def packed(value: object) -> pa.LargeBinaryArray:
    """One cell: [number of parts][their lengths, bytes][the parts, each at a multiple of 64 bytes].

    The first part is the pickled value without its arrays, which are the others.
    """
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    parts = [memoryview(head), *(array.raw() for array in arrays)]
    sizes = np.array([len(parts), *(part.nbytes for part in parts)], np.int64)
    starts, end = _places(sizes)
    data = pa.allocate_buffer(end, resizable=False)
    there = np.frombuffer(data, np.uint8)
    there[: sizes.nbytes] = sizes.view(np.uint8)
    for part, start in zip(parts, starts, strict=True):
        np.copyto(there[start : start + part.nbytes], np.frombuffer(part, np.uint8))
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, end], np.int64)), data]
    )


def unpacked(cells: pa.LargeBinaryArray, place: int) -> Any:
    """The value in a cell of our own making; its arrays lie where the cell lies, and cannot be written to."""
    # By its buffers: a scalar of pyarrow (25) holds a copy of its bytes.
    _, offsets, all_data = cells.buffers()
    start, end = np.frombuffer(offsets, np.int64)[cells.offset + place :][:2].tolist()
    data = all_data.slice(start, end - start)
    (number,) = np.frombuffer(data, np.int64, 1)
    sizes = np.frombuffer(data, np.int64, 1 + number)
    starts, _ = _places(sizes)
    parts = [data.slice(at, size) for at, size in zip(starts, sizes[1:].tolist(), strict=True)]
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 (made by our own workers, read from no storage)


def each_unpacked(column: pa.ChunkedArray) -> Iterator[Any]:
    """The values of a column, one after the other."""
    for cells in column.chunks:
        for place in range(len(cells)):
            yield unpacked(cells, place)


def _places(sizes: np.ndarray) -> tuple[list[int], int]:
    """Where each part begins, and the length of all."""
    starts, end = [], sizes.nbytes
    for size in sizes[1:].tolist():
        start = -(-end // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        starts.append(start)
        end = start + size
    return starts, end
