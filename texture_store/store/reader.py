"""Opening a store and asking it: datasets, snapshots, images, features, SQL."""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas import MICROGRAPHS, REJECTED
from texture_store.objects import Storage
from texture_store.spec import Encoder, FeatureSpec, Layer
from texture_store.store.catalog import Catalog, CommittedFile
from texture_store.store.choice import choose_spec, default_spec
from texture_store.store.evaluations import evaluations_frame, read_evaluations
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.features import Features
from texture_store.store.members import read_members
from texture_store.store.opening import open_for_reading
from texture_store.store.runs import PAST_RUNS
from texture_store.store.snapshots import latest_snapshot, list_datasets, list_snapshots, read_snapshot
from texture_store.store.status import DatasetStatus, dataset_status
from texture_store.store.textures import read_textures, textures_frame

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection


def open_store(url: str) -> "Store":
    """The store at a URL (a path, `s3://...`), for reading.

    Raises StoreFormatError when there is none or a newer release wrote it, UsageError for a URL that is not allowed.
    """
    return Store(open_for_reading(url))


class Store:
    """A store, for reading. Nothing is kept between calls: each sees what is committed at that time."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def __repr__(self) -> str:
        return f"<Store {self.storage.url}>"

    @property
    def url(self) -> str:
        """Where it is."""
        return self.storage.url

    def datasets(self) -> list[str]:
        """Names of the datasets that have been indexed, sorted."""
        return list_datasets(self.storage)

    def snapshots(self, dataset: str) -> list[int]:
        """Numbers of a dataset's index snapshots, rising; the last is the current one. Raises DatasetNotFoundError."""
        return list_snapshots(self.storage, dataset) or [latest_snapshot(self.storage, dataset).number]

    def images(self, dataset: str, *, snapshot: int | None = None) -> pa.Table:
        """The members of a snapshot (schemas.snapshot_schema), sorted by path: image_id, path, label, meta_ ...

        Raises DatasetNotFoundError and SnapshotNotFoundError, as everything here does.
        """
        return self.catalog(dataset, snapshot).snapshot.table

    def specs(self, dataset: str) -> dict[str, FeatureSpec]:
        """The specs that the dataset has commits of, by fingerprint."""
        catalog = self.catalog(dataset)
        return {fingerprint: catalog.spec(fingerprint) for fingerprint in catalog.fingerprints()}

    def features(
        self,
        dataset: str,
        *,
        encoder: Encoder,
        layer: Layer,
        spec: str | None = None,
        snapshot: int | None = None,
        um_per_px: float | None = None,
        tolerance: float = 0.1,
    ) -> Features:
        """The features of a snapshot's images (the current one), in the snapshot's order (by path).

        Args:
            dataset: its name.
            encoder: mean, max, gram or vlad.
            layer: conv1_2 ... conv5_3, or `input`.
            spec: fingerprint of a spec, or an unambiguous start of one. Else that of the newest commit that covers the
                whole snapshot; when none does, the one that covers most, with a warning. Never one with random weights
                unless it is named.
            snapshot: number of an earlier snapshot.
            um_per_px: only images that the network saw at this scale; see `Features.at_scale`.
            tolerance: relative, for `um_per_px`.

        Raises DatasetNotFoundError, SnapshotNotFoundError, UsageError, and FeaturesNotFoundError, which says what
        there is.
        """
        catalog = self.catalog(dataset, snapshot)
        choice = choose_spec(catalog, (encoder, layer), spec)
        if choice.note:
            warnings.warn(f"dataset {dataset}, {encoder} {layer}: {choice.note}", stacklevel=2)
        found = read_features(catalog, encoder, layer, choice.spec, choice.pending)
        return found if um_per_px is None else found.at_scale(um_per_px, tolerance=tolerance)

    def micrographs(self, dataset: str, *, spec: str | None = None, snapshot: int | None = None) -> pa.Table:
        """Facts that were read from each file of a snapshot (schemas.MICROGRAPHS), sorted by path."""
        catalog = self.catalog(dataset, snapshot)
        fingerprint = default_spec(catalog, spec)
        files = [] if fingerprint is None else catalog.micrograph_files(fingerprint)
        return read_members(self.storage, files, MICROGRAPHS)

    def rejected(self, dataset: str, *, spec: str | None = None, snapshot: int | None = None) -> pa.Table:
        """Images of a snapshot that have no features, and why (schemas.REJECTED), sorted by path."""
        catalog = self.catalog(dataset, snapshot)
        fingerprint = default_spec(catalog, spec)
        files = [] if fingerprint is None else catalog.rejected_files(fingerprint)
        return read_members(self.storage, files, REJECTED)

    def evaluations(self, dataset: str | None = None) -> "pd.DataFrame":
        """Scores of feature sets, one row a trial (schemas.EVALUATIONS): encoder, layer, classifier, protocol, trial,
        f1_weighted, f1_macro, accuracy ...; of all snapshots and specs that were evaluated. Empty before the first.

        Of all datasets when none is named. A trial that failed has its `error`, and no scores. Raises
        DatasetNotFoundError.
        """
        if dataset is not None:
            self.snapshots(dataset)
        names = self.datasets() if dataset is None else [dataset]
        return evaluations_frame({name: read_evaluations(self.storage, name) for name in names})

    def importances(
        self, dataset: str, *, label_column: str | None = None, snapshot: int | None = None, every: bool = False
    ) -> "pd.DataFrame":
        """What the forests rely on, one row a filter (schemas.IMPORTANCES), the most important ones first.

        Those that explain wrote last, of this label column or snapshot if one is given; `every`: all that there are.
        Empty before the first. Raises DatasetNotFoundError, as all of these do.
        """
        return self._explained(dataset, "importances", every, label_column=label_column, snapshot=snapshot)

    def characteristics(
        self, dataset: str, *, label_column: str | None = None, snapshot: int | None = None, every: bool = False
    ) -> "pd.DataFrame":
        """How characteristic each filter is of each class, one row each (schemas.CHARACTERISTICS); as `importances`."""
        return self._explained(dataset, "characteristics", every, label_column=label_column, snapshot=snapshot)

    def typical(
        self, dataset: str, *, label_column: str | None = None, snapshot: int | None = None, every: bool = False
    ) -> "pd.DataFrame":
        """How usual each image is in its class and in the dataset (schemas.TYPICAL), by path; as `importances`."""
        return self._explained(dataset, "typical", every, label_column=label_column, snapshot=snapshot)

    def map(
        self,
        dataset: str,
        *,
        method: str | None = None,
        label_column: str | None = None,
        snapshot: int | None = None,
        every: bool = False,
    ) -> "pd.DataFrame":
        """A map of the dataset in two dimensions, one row an image (schemas.MAP_POINTS), by path; as `importances`."""
        return self._explained(dataset, "map", every, method=method, label_column=label_column, snapshot=snapshot)

    def exemplars(
        self, dataset: str, *, layer: Layer | None = None, number: int | None = None, every: bool = False
    ) -> "pd.DataFrame":
        """The micrographs that filters are most active on, with patches, as JPEG and PNG bytes (schemas.EXEMPLARS).

        Of all filters that explain looked at, or those of a layer, or one `number`; of each what was written last.
        """
        return self._explained(dataset, "exemplars", every, layer=layer, filter=number)

    def heat_maps(
        self, dataset: str, *, path: str | None = None, layer: Layer | None = None, every: bool = False
    ) -> "pd.DataFrame":
        """Activations of filters over micrographs, as PNG bytes, beside the micrographs (schemas.HEAT_MAPS)."""
        return self._explained(dataset, "heat_maps", every, path=path, layer=layer)

    def neighbours(self, dataset: str, *, path: str | None = None, every: bool = False) -> "pd.DataFrame":
        """The micrographs nearest to those that explain was asked about (schemas.NEIGHBOURS), nearest first."""
        return self._explained(dataset, "neighbours", every, asked_path=path)

    def textures(
        self,
        *,
        weights: str | None = None,
        layer: Layer | None = None,
        filters: Collection[int] | None = None,
        recipe: str | None = None,
    ) -> "pd.DataFrame":
        """Pictures that filters answer to most, as PNG bytes (schemas.TEXTURES), with the column `gain`.

        Of all datasets, since they are of the weights alone: all that were made, or those of some weights (their digest
        in a spec), a layer, filters, a recipe (better, paper).
        """
        return textures_frame(read_textures(self.storage, weights=weights, layer=layer, filters=filters, recipe=recipe))

    def duckdb(self, *, read_only: bool = False) -> "DuckDBPyConnection":
        """A DuckDB connection of its own (in memory) with views of all datasets at their current snapshots.

        images, micrographs, features, rejected, feature_sets, evaluations; `all_features`, `all_micrographs` and
        `all_rejected` also have the specs that are not the chosen ones. See `texture_store.store.views`. The views show
        what was committed when it was opened. `read_only` is for SQL of others: it reaches the views, nothing else, and
        writes nowhere.
        """
        from texture_store.store.views import connect

        return connect(self.storage, read_only=read_only)

    def status(self, dataset: str, *, past_runs: int = PAST_RUNS) -> DatasetStatus:
        """How far a dataset is: indexed, featurized, rejected, pending, for each spec, encoder and layer; its runs."""
        return dataset_status(self.catalog(dataset), past_runs=past_runs)

    def _explained(self, dataset: str, table: str, every: bool, **equal: object) -> "pd.DataFrame":
        self.snapshots(dataset)
        return explanations_frame(read_explanations(self.storage, dataset, table), table, every=every, **equal)

    def catalog(self, dataset: str, snapshot: int | None = None) -> Catalog:
        """What the commits say about one dataset now."""
        return read_catalog(self.storage, dataset, snapshot)


def read_catalog(storage: Storage, dataset: str, snapshot: int | None = None) -> Catalog:
    """The catalog of a dataset at a snapshot (the current one). Raises DatasetNotFoundError, SnapshotNotFoundError."""
    if snapshot is None:
        return Catalog(storage, latest_snapshot(storage, dataset))
    return Catalog(storage, read_snapshot(storage, dataset, snapshot))


def read_features(catalog: Catalog, encoder: Encoder, layer: Layer, spec: FeatureSpec, pending: int) -> Features:
    """One feature set of a catalog; no feature file is opened yet."""
    return _with_files(
        catalog, encoder, layer, spec, pending, catalog.product_files(spec.fingerprint, (encoder, layer))
    )


def read_fold_features(catalog: Catalog, layer: Layer, spec: FeatureSpec, dictionary: str) -> Features:
    """VLAD by one of the dictionaries of a spec of fold vectors; no file is opened yet."""
    files = catalog.product_files(spec.fingerprint, ("fold-vlad", layer))
    return replace(_with_files(catalog, "vlad", layer, spec, 0, files), column=dictionary)


def _with_files(
    catalog: Catalog,
    encoder: Encoder,
    layer: Layer,
    spec: FeatureSpec,
    pending: int,
    files: Sequence[CommittedFile],
) -> Features:
    table = catalog.snapshot.table
    every = Features(
        storage=catalog.storage,
        dataset=catalog.dataset,
        snapshot=catalog.snapshot.number,
        encoder=encoder,
        layer=layer,
        spec=spec,
        pending=pending,
        members=table,
        files=files,
        micrographs=catalog.micrograph_files(spec.fingerprint),
    )
    has = np.zeros(table.num_rows + 1, bool)  # the last one is for -1
    for file in every.files:
        has[file.rows] = True
    return every.subset(has[:-1])


def read_facts(catalog: Catalog, images: pa.Table, spec: str | None = None) -> pa.Table | None:
    """Facts (schemas.MICROGRAPHS) of each of `images`, rows of a snapshot; null where a file was not read.

    Of the default spec, or the one that is named. None when no file of it was read.
    """
    fingerprint = default_spec(catalog, spec)
    if fingerprint is None:
        return None
    read = read_members(catalog.storage, catalog.micrograph_files(fingerprint), MICROGRAPHS)
    if not read.num_rows:
        return None
    return read.take(pc.index_in(images.column("image_id"), value_set=read.column("image_id")))
