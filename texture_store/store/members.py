"""The rows of small tables, such as micrographs and rejected, that count at a snapshot."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from texture_store.objects import Storage
from texture_store.store.catalog import CommittedFile
from texture_store.store.scan import Rows, scan


def read_members(storage: Storage, files: Sequence[CommittedFile], schema: pa.Schema) -> pa.Table:
    """The rows of members of the snapshot, in its order. Raises SchemaMismatchError for a damaged file."""
    tables: list[pa.Table] = [schema.empty_table()]
    places: list[Rows] = [np.empty(0, np.int64)]

    def consume(rows: Rows, table: pa.Table) -> None:
        # One append of a pair: threads must not come between the two lists.
        parts.append((rows, table))

    parts: list[tuple[Rows, pa.Table]] = []
    scan(storage, files, schema.names, consume, whole=True, complete=False)
    for rows, table in parts:
        places.append(rows)
        tables.append(table.select(schema.names).cast(schema))
    order = np.argsort(np.concatenate(places), kind="stable")
    return pa.concat_tables(tables).take(pa.array(order))
