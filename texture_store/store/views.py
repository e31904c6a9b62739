"""A DuckDB connection with views of a store: what commits list at the current snapshots, and nothing else.

    images          members of all datasets: dataset, snapshot, image_id, path, label, specimen, meta_ ...
    features        dataset, spec, encoder, layer, image_id, path, num_positions, vector, counts (vlad)
    micrographs     dataset, spec, and the columns of schemas.MICROGRAPHS
    rejected        dataset, spec, image_id, path, stage, error, message
    feature_sets    dataset, spec, encoder, layer, chosen, indexed, featurized, rejected, pending, newest_commit,
                    spec_text
    evaluations     dataset, and the columns of schemas.EVALUATIONS

`features` has one spec for each dataset, encoder and layer: the one that `Store.features` takes when none is named. So
a join on (dataset, image_id) counts an image once for each encoder and layer, whatever else is in the store;
`all_features` has all specs, those with random weights included. `micrographs` and `rejected` have one spec for each
dataset, `all_micrographs` and `all_rejected` have them all. Vectors are FLOAT[].
"""
# ruff: noqa: S608  a view cannot be bound: what stands in its text are names that were checked, and quoted paths

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from schemas import EVALUATIONS, MICROGRAPHS, REJECTED, SNAPSHOT, features_schema
from texture_store.objects import ObjectInfo, Storage
from texture_store.store.catalog import Catalog, CommittedFile
from texture_store.store.choice import Choice, chosen_pairs, default_spec
from texture_store.store.commits import FeaturePair
from texture_store.store.committed_files import CommittedFiles
from texture_store.store.evaluations import evaluation_files
from texture_store.store.snapshots import latest_snapshot, list_datasets

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OWN = "texture_store"
"""Schema with what the views are made of."""

FEATURE_SETS = pa.schema(
    [
        ("dataset", pa.string()),
        ("spec", pa.string()),
        ("encoder", pa.string()),
        ("layer", pa.string()),
        ("chosen", pa.bool_()),
        ("indexed", pa.int64()),
        ("featurized", pa.int64()),
        ("rejected", pa.int64()),
        ("pending", pa.int64()),
        ("newest_commit", pa.string()),
        ("spec_text", pa.string()),
    ]
)


def connect(storage: Storage, *, read_only: bool = False) -> "DuckDBPyConnection":
    """A connection in memory with the views above. Opens no feature file but the first, for its columns.

    `read_only` leaves it no way to any file but the committed ones, nor to write. The kind of a statement does not tell
    that: since DuckDB 2.0 a SELECT may have a COPY in its WITH.
    """
    import duckdb

    catalogs = [Catalog(storage, latest_snapshot(storage, dataset)) for dataset in list_datasets(storage)]
    connection = duckdb.connect()
    connection.execute(f"CREATE SCHEMA {OWN}")
    sources = _Sources(storage, read_only=read_only)
    sources.register(connection)
    views = _Views(connection, sources)
    chosen = {catalog.dataset: chosen_pairs(catalog) for catalog in catalogs}
    views.images(catalogs)
    views.feature_sets(catalogs, chosen)
    views.features(catalogs, chosen)
    views.facts("micrographs", catalogs, MICROGRAPHS)
    views.facts("rejected", catalogs, REJECTED)
    views.evaluations({catalog.dataset: evaluation_files(storage, catalog.dataset) for catalog in catalogs})
    if read_only:
        for setting in _LOCKED:
            connection.execute(f"SET {setting}")
    return connection


class _Sources:
    """What DuckDB calls a committed file: its path where it can open that by itself, else a URL that we serve."""

    def __init__(self, storage: Storage, *, read_only: bool) -> None:
        self._storage = storage
        self._read_only = read_only
        root = storage.full_path()
        # Partition columns and wildcards above the store would be taken for the store's own.
        odd = re.search(r"[*?\[]|(^|/)(dataset|spec|encoder|layer)=", root)
        direct = storage.protocol == "file" and not odd and not read_only
        self._served = None if direct else CommittedFiles(storage, {})

    def name(self, path: str, num_bytes: int) -> str:
        """For read_parquet."""
        if self._served is None:
            return self._storage.full_path(path)
        return self._served.add(path, num_bytes)

    def register(self, connection: "DuckDBPyConnection") -> None:
        """Also the storage itself, for the user's own `read_parquet('s3://...')`."""
        if self._served is not None:
            connection.register_filesystem(self._served)
        if self._storage.protocol != "file" and not self._read_only:
            connection.register_filesystem(self._storage.filesystem)


class _Views:
    """Makes the views, one table after the other."""

    def __init__(self, connection: "DuckDBPyConnection", sources: _Sources) -> None:
        self._connection = connection
        self._sources = sources
        self._number = 0

    def images(self, catalogs: Sequence[Catalog]) -> None:
        """The snapshots themselves are in memory already, so that joins with them read nothing."""
        tables = [_with_columns(SNAPSHOT.empty_table(), dataset="", snapshot=0)]
        for catalog in catalogs:
            snapshot = catalog.snapshot
            tables.append(_with_columns(snapshot.table, dataset=snapshot.dataset, snapshot=snapshot.number))
        # Datasets have different meta_ columns.
        self._keep("images", pa.concat_tables(tables, promote_options="default"))
        self._connection.execute(f"CREATE VIEW images AS SELECT * FROM {OWN}.images")

    def feature_sets(self, catalogs: Sequence[Catalog], chosen: Mapping[str, Mapping[FeaturePair, Choice]]) -> None:
        """What there is, complete or not, and what the other views show of it."""
        rows = []
        for catalog in catalogs:
            every = [(found, pair) for found in catalog.fingerprints() for pair in catalog.pairs(found)]
            for spec, pair in every:
                covered = catalog.coverage(spec, pair)
                choice = chosen[catalog.dataset].get(pair)
                rows.append(
                    {
                        "dataset": catalog.dataset,
                        "spec": spec,
                        "encoder": pair[0],
                        "layer": pair[1],
                        "chosen": choice is not None and choice.spec.fingerprint == spec,
                        "indexed": covered.num_indexed,
                        "featurized": covered.num_featurized,
                        "rejected": covered.num_rejected,
                        "pending": covered.num_pending,
                        "newest_commit": catalog.newest(spec, pair),
                        "spec_text": catalog.spec(spec).describe(),
                    }
                )
        self._keep("feature_sets", pa.Table.from_pylist(rows, FEATURE_SETS))
        self._connection.execute(f"CREATE VIEW feature_sets AS SELECT * FROM {OWN}.feature_sets")

    def features(self, catalogs: Sequence[Catalog], chosen: Mapping[str, Mapping[FeaturePair, Choice]]) -> None:
        """`all_features`, and `features` with one spec for each encoder and layer."""
        # Only vlad files have the column `counts`.
        files: dict[bool, list[CommittedFile]] = {False: [], True: []}
        terms: list[str] = []
        for catalog in catalogs:
            for spec in catalog.fingerprints():
                pairs = catalog.pairs(spec)
                for pair in pairs:
                    files[pair[0] == "vlad"] += catalog.product_files(spec, pair)
                taken = [pair for pair, choice in chosen[catalog.dataset].items() if choice.spec.fingerprint == spec]
                if taken:
                    term = f"dataset = {_text(catalog.dataset)} AND spec = {_text(spec)}"
                    if set(taken) != set(pairs):
                        names = ", ".join(_text(" ".join(pair)) for pair in taken)
                        term += f" AND encoder || ' ' || layer IN ({names})"
                    terms.append(term)
        schema = features_schema(1, 1)
        hive = ("dataset", "spec", "encoder", "layer")
        plain = [name for name in schema.names if name != "counts"]
        selects = [
            *self._selects(files[False], hive, [*plain, "NULL::INTEGER[] AS counts"], "features"),
            *self._selects(files[True], hive, schema.names, "features"),
        ]
        self._view("features", hive, schema, selects, terms)

    def facts(self, name: str, catalogs: Sequence[Catalog], schema: pa.Schema) -> None:
        """`micrographs` and `rejected`."""
        files: list[CommittedFile] = []
        terms: list[str] = []
        for catalog in catalogs:
            for spec in catalog.fingerprints():
                files += catalog.micrograph_files(spec) if name == "micrographs" else catalog.rejected_files(spec)
            default = default_spec(catalog)
            if default is not None:
                terms.append(f"dataset = {_text(catalog.dataset)} AND spec = {_text(default)}")
        hive = ("dataset", "spec")
        self._view(name, hive, schema, self._selects(files, hive, schema.names, name), terms)

    def evaluations(self, files: Mapping[str, Mapping[str, ObjectInfo]]) -> None:
        """Scores; `files` are those that count of each dataset, by key. Opened when they are asked for."""
        self._keep("no_evaluations", pa.schema([("dataset", pa.string()), *EVALUATIONS]).empty_table())
        selects = [f"SELECT * FROM {OWN}.no_evaluations"]
        columns = ", ".join(EVALUATIONS.names)
        for dataset, by_key in files.items():
            if by_key:
                names = ", ".join(_text(self._sources.name(info.path, info.size)) for info in by_key.values())
                selects.append(
                    f"SELECT {_text(dataset)}, {columns} FROM read_parquet([{names}], hive_partitioning=false)"
                )
        self._connection.execute(f"CREATE VIEW evaluations AS {' UNION ALL '.join(selects)}")

    def _view(
        self, name: str, hive: Sequence[str], schema: pa.Schema, selects: Iterable[str], terms: Sequence[str]
    ) -> None:
        """`all_<name>` of everything, and `<name>` of what is chosen."""
        lists = [
            field.with_type(pa.list_(field.type.value_type)) if pa.types.is_fixed_size_list(field.type) else field
            for field in schema
        ]
        empty = pa.schema([*((column, pa.string()) for column in hive), *lists]).empty_table()
        self._keep(f"no_{name}", empty)
        union = " UNION ALL ".join([f"SELECT * FROM {OWN}.no_{name}", *selects])
        self._connection.execute(f"CREATE VIEW all_{name} AS {union}")
        condition = " OR ".join(f"({term})" for term in terms) or "false"
        self._connection.execute(f"CREATE VIEW {name} AS SELECT * FROM all_{name} WHERE {condition}")

    def _selects(
        self, files: Sequence[CommittedFile], hive: Sequence[str], columns: Sequence[str], name: str
    ) -> Iterable[str]:
        """One SELECT for the files whose rows all count, one for those with images that left the snapshot, one for the
        few that have rows of no commit: only what needs a filter pays for one.
        """
        used = [file for file in files if (file.rows >= 0).any()]
        partial = [file for file in used if file.is_partial]
        whole = [file for file in used if not file.is_partial]
        left = [file for file in whole if (file.rows < 0).any()]
        every = [file for file in whole if (file.rows >= 0).all()]
        select = f"SELECT {', '.join([*hive, *columns])} FROM read_parquet"
        if every:
            yield f"{select}({self._list(every)}, {_HIVE})"
        if left:
            yield f"{select}({self._list(left)}, {_HIVE}) SEMI JOIN {OWN}.images USING (dataset, image_id)"
        if partial:
            self._number += 1
            counted = f"{name}_rows_{self._number}"
            self._keep(counted, pa.concat_tables([self._rows(file) for file in partial]))
            source = f"({self._list(partial)}, {_HIVE}, filename=true)"
            yield f"{select}{source} SEMI JOIN {OWN}.{counted} USING (filename, image_id)"

    def _list(self, files: Sequence[CommittedFile]) -> str:
        """The paths stand in the view itself and not in a variable, which cursors of the connection would not see."""
        return "[" + ", ".join(_text(self._sources.name(file.path, file.num_bytes)) for file in files) + "]"

    def _rows(self, file: CommittedFile) -> pa.Table:
        image_ids = file.image_ids.filter(pa.array(file.rows >= 0))
        name = self._sources.name(file.path, file.num_bytes)
        return pa.table({"filename": pa.repeat(pa.scalar(name), len(image_ids)), "image_id": image_ids})

    def _keep(self, name: str, table: pa.Table) -> None:
        self._connection.register("arriving", table)
        self._connection.execute(f"CREATE TABLE {OWN}.{name} AS SELECT * FROM arriving")
        self._connection.unregister("arriving")


_LOCKED = (
    "disabled_filesystems = 'LocalFileSystem'",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "python_enable_replacements = false",
    "lock_configuration = true",
)
_HIVE = "hive_partitioning=true, hive_types_autocast=false"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _with_columns(table: pa.Table, *, dataset: str, snapshot: int) -> pa.Table:
    table = table.add_column(0, "dataset", pa.repeat(pa.scalar(dataset), table.num_rows))
    return table.add_column(1, "snapshot", pa.repeat(pa.scalar(snapshot), table.num_rows)).replace_schema_metadata(None)
