"""A snapshot's features with labels as few large files, for readers that glob.

    STORE/published/dataset=D/snapshot=n<k>/spec=S/encoder=E/layer=L/part-00000.parquet ...
    STORE/published/complete/dataset=D/snapshot=n<k>/spec=S/encoder=E/layer=L.json        written last

Rows are those of `Features`, in its order (by path). Which rows go into which part is decided by their number alone,
and a file is created only if absent: a publish that was torn is completed by running it again. What was published is
never changed; when the snapshot has other features by now (a retry of rejected images), publishing it again is refused.
"""

import hashlib
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, ValidationError

from texture_store.errors import CommitConflictError, FeaturesNotFoundError, ObjectExistsError, ObjectNotFoundError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.catalog import Catalog
from texture_store.store.choice import choose_spec
from texture_store.store.commits import FeaturePair
from texture_store.store.features import Features
from texture_store.store.reader import read_features
from texture_store.store.sealing import is_json_whole, seal_json
from texture_store.store.tables import SET_ASIDE, adopt_table, parquet_bytes, read_image_ids

FORMAT = 1
PART_BYTES = 512 << 20
"""Vectors of one part, decoded. Publishing holds about twice that: the vectors, and the file made of them."""


class PublishedPart(BaseModel):
    """One file."""

    model_config = ConfigDict(frozen=True)

    path: str
    rows: int
    bytes: int
    sha256: str | None = None
    """None in what an older release has published."""


class Publication(BaseModel):
    """What was published of one feature set; its file says that all parts are there."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    dataset: str
    snapshot: int
    spec: str
    encoder: str
    layer: str
    rows: int
    part_rows: int
    members: str
    """SHA-256 of the image_ids in order."""
    parts: list[PublishedPart]


def publish(
    catalog: Catalog,
    pair: FeaturePair,
    *,
    spec: str | None = None,
    part_bytes: int = PART_BYTES,
    allow_pending: bool = False,
    on_rows: Callable[[int], None] | None = None,
) -> Publication:
    """Publish one feature set of the catalog's snapshot. What is there already is kept, and not read again.

    Args:
        catalog: the dataset and snapshot.
        pair: encoder and layer.
        spec: fingerprint or the start of one; else as for `Store.features`.
        part_bytes: vectors of one part, decoded.
        allow_pending: publish although images are pending; they then stay out of this snapshot's files for ever.
        on_rows: told the number of rows of each part that is there.

    Raises:
        FeaturesNotFoundError: there are none, or images are pending.
        CommitConflictError: the snapshot was published with other rows, or with another `part_bytes`.
    """
    choice = choose_spec(catalog, pair, spec)
    if choice.pending and not allow_pending:
        raise FeaturesNotFoundError(
            f"dataset {catalog.dataset}, {pair[0]} {pair[1]}: {choice.pending} images of snapshot"
            f" {catalog.snapshot.number} are pending in spec {choice.spec.fingerprint}; run featurize again, or publish"
            " with --allow-pending"
        )
    features = read_features(catalog, *pair, choice.spec, choice.pending)
    plan = _plan(features, part_bytes)
    storage = catalog.storage
    done = _published(storage, plan)
    tell = on_rows or (lambda _: None)
    if done is not None:
        tell(done.rows)
        return done
    folder = _folder(plan)
    parts = []
    for number, start in enumerate(range(0, plan.rows, plan.part_rows)):
        piece = features.subset(range(start, min(start + plan.part_rows, plan.rows)))
        parts.append(_write_part(storage, f"{folder}/part-{number:05}.parquet", piece, plan))
        tell(len(piece))
    _refuse_strangers(storage, plan, parts)
    complete = plan.model_copy(update={"parts": parts})
    try:
        storage.create(_marker(plan), seal_json(complete.model_dump_json().encode()))
    except ObjectExistsError:
        return _published(storage, plan) or complete
    return complete


def _plan(features: Features, part_bytes: int) -> Publication:
    image_ids = hashlib.sha256("\n".join(features.members.column("image_id").to_pylist()).encode())
    return Publication(
        dataset=features.dataset,
        snapshot=features.snapshot,
        spec=features.spec.fingerprint,
        encoder=features.encoder,
        layer=features.layer,
        rows=len(features),
        part_rows=max(1, part_bytes // (4 * features.num_features)),
        members=image_ids.hexdigest(),
        parts=[],
    )


def _folder(plan: Publication) -> str:
    return (
        f"published/dataset={layout.check_dataset(plan.dataset)}/snapshot=n{plan.snapshot}/spec={plan.spec}"
        f"/encoder={plan.encoder}/layer={plan.layer}"
    )


def _marker(plan: Publication) -> str:
    """Beside the tables and not among them: a folder of one feature set then holds Parquet files and nothing else."""
    return _folder(plan).replace("published/", "published/complete/", 1) + ".json"


def _published(storage: Storage, plan: Publication) -> Publication | None:
    """What a complete publication of this feature set says; None when there is none."""
    try:
        data = storage.read(_marker(plan))
    except ObjectNotFoundError:
        return None
    found = parse_publication(data)
    if found is None:
        raise CommitConflictError(f"{storage.url_of(_marker(plan))}: damaged; {SET_ASIDE}")
    if found.members != plan.members:
        raise CommitConflictError(
            f"dataset {plan.dataset}, {plan.encoder} {plan.layer}: snapshot {plan.snapshot} was published with"
            f" {found.rows} images and has other {plan.rows} by now; {_again(plan)}"
        )
    return found


def parse_publication(data: bytes) -> Publication | None:
    """What a complete publication says of itself; None when it is damaged."""
    if is_json_whole(data) is False:
        return None
    try:
        return Publication.model_validate_json(data)
    except ValidationError:
        return None


def _again(plan: Publication) -> str:
    return f"what is published never changes; delete {_folder(plan)} and {_marker(plan)} to publish it again"


def _write_part(storage: Storage, path: str, features: Features, plan: Publication) -> PublishedPart:
    # One that is there is from a publish that was torn, or from one that runs now. A file is there whole or not at all,
    # and vectors of the same images in the same spec are the same.
    if not storage.exists(path):
        data = parquet_bytes(features.to_arrow())
        try:
            storage.create(path, data)
            sha256 = hashlib.sha256(data).hexdigest()
            return PublishedPart(path=path, rows=len(features), bytes=len(data), sha256=sha256)
        except ObjectExistsError:
            del data
    there = adopt_table(storage, path, None)
    if read_image_ids(storage, path) != features.members.column("image_id").to_pylist():
        raise CommitConflictError(f"{storage.url_of(path)}: was published with other images; {_again(plan)}")
    return PublishedPart(path=path, rows=there.rows, bytes=there.bytes, sha256=there.sha256)


def _refuse_strangers(storage: Storage, plan: Publication, parts: list[PublishedPart]) -> None:
    """Files of an earlier publish with other parts would give readers that glob images twice."""
    strangers = {info.path for info in storage.list(_folder(plan))} - {part.path for part in parts}
    if strangers:
        raise CommitConflictError(
            f"{storage.url_of(min(strangers))}: from an earlier publish with parts of another size; {_again(plan)}"
        )
