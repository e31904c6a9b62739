"""How far a dataset is: what is indexed, featurized, rejected and pending, for each spec, encoder and layer."""

from collections import Counter

from pydantic import BaseModel, ConfigDict

from schemas import REJECTED
from texture_store.spec import Product
from texture_store.store.catalog import Catalog
from texture_store.store.choice import chosen_pairs
from texture_store.store.dictionaries import dictionaries_of
from texture_store.store.members import read_members
from texture_store.store.runs import PAST_RUNS, RunStatus, read_runs


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class FeatureSetStatus(_Frozen):
    """One encoder at one layer; indexed = featurized + rejected + pending."""

    encoder: str
    layer: str
    featurized: int
    rejected: int
    pending: int
    newest_commit: str
    """ISO 8601, UTC."""
    chosen: bool
    """Whether commands and readers take this spec when none is named."""


class SpecStatus(_Frozen):
    """One spec of a dataset."""

    spec: str
    description: str
    random_weights: bool
    rejected_by_reason: dict[str, int]
    """Class of texture_store.errors: images of the snapshot."""
    sampled: int
    """Images of the snapshot with sampled descriptors at some layer."""
    dictionaries: list[str]
    """Ids of VLAD dictionaries that were learnt from them, newest first."""
    fold_vectors: int
    """Images of the snapshot with vectors of dictionaries that were learnt inside the folds of an evaluation."""
    feature_sets: list[FeatureSetStatus]


class DatasetStatus(_Frozen):
    """One dataset at one snapshot."""

    dataset: str
    archive_url: str
    snapshot: int
    created: str
    labels_source: str | None
    indexed: int
    labelled: int
    specs: list[SpecStatus]
    runs: list[RunStatus]
    """Those that are going on, and the last ones."""


def dataset_status(catalog: Catalog, *, past_runs: int = PAST_RUNS) -> DatasetStatus:
    """How far the catalog's snapshot is, and its runs. Reads the small rejected tables; no feature file."""
    chosen = {pair: choice.spec.fingerprint for pair, choice in chosen_pairs(catalog).items()}
    members = set(catalog.snapshot.table["image_id"].to_pylist())
    specs = []
    for fingerprint in catalog.fingerprints():
        spec = catalog.spec(fingerprint)
        sets = []
        for pair in catalog.pairs(fingerprint):
            covered = catalog.coverage(fingerprint, pair)
            sets.append(
                FeatureSetStatus(
                    encoder=pair[0],
                    layer=pair[1],
                    featurized=covered.num_featurized,
                    rejected=covered.num_rejected,
                    pending=covered.num_pending,
                    newest_commit=catalog.newest(fingerprint, pair),
                    chosen=chosen.get(pair) == fingerprint,
                )
            )
        rejected = read_members(catalog.storage, catalog.rejected_files(fingerprint), REJECTED)
        reasons = Counter(rejected.column("error").to_pylist())
        specs.append(
            SpecStatus(
                spec=fingerprint,
                description=spec.describe(),
                random_weights=spec.is_random,
                rejected_by_reason=dict(reasons.most_common()),
                sampled=len(
                    members & (_with_any(catalog, fingerprint, "sample") | _with_any(catalog, fingerprint, "positions"))
                ),
                dictionaries=[one.id for one in dictionaries_of(catalog.commits(fingerprint), spec)],
                fold_vectors=len(members & _with_any(catalog, fingerprint, "fold-vlad")),
                feature_sets=sets,
            )
        )
    snapshot = catalog.snapshot
    return DatasetStatus(
        dataset=snapshot.dataset,
        archive_url=snapshot.archive_url,
        snapshot=snapshot.number,
        created=snapshot.created,
        labels_source=snapshot.labels_source,
        indexed=len(snapshot),
        labelled=len(snapshot) - snapshot.table.column("label").null_count,
        specs=specs,
        runs=read_runs(catalog.storage, snapshot.dataset, past=past_runs),
    )


def _with_any(catalog: Catalog, fingerprint: str, product: Product) -> set[str]:
    """image_ids that have this product at any layer."""
    commits = catalog.commits(fingerprint)
    made = (record for record in commits if any(one == product for one, _ in record.pairs))
    return {image_id for record in made for image_id in record.members}
