"""What an audit looks at: the images of a labels file, or of a dataset with all that its store knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.evaluation_columns import column_of, selected
from jobs.metadata_fields import MetadataFields, metadata_fields
from schemas import META_PREFIX
from texture_store.archive.labels import matches, parse_condition, read_labels
from texture_store.errors import LabelsError, UsageError
from texture_store.evaluation.missing import missing
from texture_store.spec import FeatureSpec
from texture_store.store.catalog import Catalog
from texture_store.store.choice import chosen_pairs, default_spec, named_spec
from texture_store.store.commits import FeaturePair
from texture_store.store.features import Features
from texture_store.store.opening import open_for_reading
from texture_store.store.reader import read_catalog, read_facts, read_features

NEAR_PAIRS: tuple[FeaturePair, ...] = (
    ("mean", "conv4_3"),
    ("mean", "conv3_3"),
    ("mean", "conv5_3"),
    ("mean", "conv2_2"),
    ("mean", "conv1_2"),
)
"""Feature sets that propose near duplicates, the best first. Of 237 micrographs with three copies each, 95 % of the
brighter copies are among the 4 nearest at conv4_3, and among the 18 nearest at conv3_3."""


@dataclass(frozen=True)
class Audited:
    """n images, by path."""

    source: str
    """URL of the labels file, or of the store."""
    dataset: str
    snapshot: int
    """0 for a labels file."""
    label_column: str
    group_column: str | None
    """None when there are no groups."""
    images: pa.Table
    """(n rows): path, meta_<name>; of a dataset all columns of the snapshot."""
    labels: npt.NDArray[np.object_]
    """(n,) text, or None."""
    groups: npt.NDArray[np.object_]
    """(n,) text, or None."""
    facts: pa.Table | None
    """(n rows) of schemas.MICROGRAPHS, null where no file was read; None where none was."""
    features: Features | None
    """That near duplicates are looked for in."""
    spec: FeatureSpec | None
    """How the network sees the images: that of the features, else of the facts."""
    archive_url: str | None

    @cached_property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(n,) who has a label."""
        says_nan = [str(label).lower() == "nan" for label in self.labels]  # what pandas writes for a missing value
        return np.asarray(~(missing(self.labels) | np.array(says_nan, bool)))

    def fields(self, only: Sequence[str] = ()) -> MetadataFields:
        """What is known about the labelled images beside their pixels."""
        keep = pa.array(self.labelled)
        facts = None if self.facts is None else self.facts.filter(keep)
        return metadata_fields(
            self.images.filter(keep),
            facts,
            not_used=[self.label_column, *([self.group_column] if self.group_column else [])],
            only=only,
        )

    def rows_of(self, features: Features) -> npt.NDArray[np.int64]:
        """Row here of each row of `features`; -1 for an image that is not looked at."""
        places = pc.index_in(features.members.column("image_id"), value_set=self.images.column("image_id"))
        return np.asarray(pc.fill_null(places, -1).to_numpy(), np.int64)


def audited_labels(
    url: str, *, label_column: str | None, group_column: str | None, where: Sequence[str] = ()
) -> Audited:
    """The images of a labels file (CSV or Parquet with a column path). Raises LabelsError and UsageError."""
    labels = read_labels(url, label_column=label_column, group_column=group_column)
    if "label" not in labels.names.values():
        raise LabelsError(
            f"{url}: no column label; name another with --label-column; there are {', '.join(sorted(labels.names))}"
        )
    names = ["path", "label", "specimen", *(META_PREFIX + name for name in labels.meta_columns)]
    table = labels.table.rename_columns(names)
    table = table.filter(matches(table, [parse_condition(text) for text in where], labels.names))
    return Audited(
        source=labels.source,
        dataset="labels",
        snapshot=0,
        label_column=label_column or "label",
        group_column=group_column or ("specimen" if "specimen" in labels.names.values() else None),
        images=table,
        labels=_texts(table.column("label")),
        groups=_texts(table.column("specimen")),
        facts=None,
        features=None,
        spec=None,
        archive_url=None,
    )


def audited_dataset(
    store_url: str,
    dataset: str,
    *,
    label_column: str | None,
    group_column: str | None,
    where: Sequence[str] = (),
    spec: str | None = None,
    snapshot: int | None = None,
) -> Audited:
    """The images of a dataset's snapshot, the current one unless said otherwise.

    Raises UsageError for a column that is not there, and the errors of opening a store and reading a dataset.
    """
    catalog = read_catalog(open_for_reading(store_url), dataset, snapshot)
    images = catalog.snapshot.table
    labels = column_of(images, label_column or "label", "--label-column")
    groups = column_of(images, group_column or "specimen", "--group-column")
    keep = pa.array(selected(images, where))
    images = images.filter(keep)
    grouped = groups.filter(keep)
    features = _features(catalog, spec)
    seen = default_spec(catalog, spec)
    return Audited(
        source=store_url,
        dataset=dataset,
        snapshot=catalog.snapshot.number,
        label_column=label_column or "label",
        group_column=group_column or ("specimen" if grouped.null_count < len(grouped) else None),
        images=images,
        labels=_texts(labels.filter(keep)),
        groups=_texts(grouped),
        facts=read_facts(catalog, images, spec),
        features=features,
        spec=features.spec if features is not None else None if seen is None else catalog.spec(seen),
        archive_url=catalog.snapshot.archive_url,
    )


def check_not_empty(audited: Audited, where: Sequence[str]) -> None:
    """Raise UsageError when there is no image, or none with a label."""
    if not audited.images.num_rows:
        conditions = f"no image meets --where {' --where '.join(where)}" if where else "there is no image"
        raise UsageError(f"{audited.source}: {conditions}")
    if not audited.labelled.any():
        raise UsageError(
            f"{audited.source}: no image has a label in column {audited.label_column}; name another --label-column"
        )


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    return np.array(column.to_pylist(), dtype=object)


def _features(catalog: Catalog, spec: str | None) -> Features | None:
    if spec is None:
        chosen: dict[FeaturePair, FeatureSpec] = {pair: choice.spec for pair, choice in chosen_pairs(catalog).items()}
    else:
        fingerprint = named_spec(catalog, spec)
        chosen = dict.fromkeys(catalog.pairs(fingerprint), catalog.spec(fingerprint))
    for pair in NEAR_PAIRS:
        if pair in chosen:
            return read_features(catalog, *pair, chosen[pair], 0)
    return None
