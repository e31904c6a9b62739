"""How a table is declared."""

from collections.abc import Sequence

import pyarrow as pa


def table(name: str, version: int, fields: Sequence[pa.Field]) -> pa.Schema:
    """A schema that carries its table's name and version in its metadata."""
    return pa.schema(fields, metadata={"table": name, "version": str(version)})


def column(name: str, kind: pa.DataType) -> pa.Field:
    """A column that is never null."""
    return pa.field(name, kind, nullable=False)


def optional(name: str, kind: pa.DataType) -> pa.Field:
    """A column that may be null: not known, or does not apply."""
    return pa.field(name, kind, nullable=True)
