"""Writing what came of one unit of work: its tables, and last its commit. See `work` for why in this order."""

import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pyarrow as pa
import pyarrow.compute as pc

from texture_store.errors import EncodingError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, Pair, step_name, write_commit
from texture_store.store.tables import FileRecord, check_rows, read_image_ids, write_table
from texture_store.store.work import Unit

_WRITERS = 6
"""Files of a unit that are encoded and sent at once: object storage answers slowly but in parallel."""


def commit_shard(
    storage: Storage,
    *,
    unit: Unit,
    job: str,
    dataset: str,
    spec: str,
    features: Mapping[Pair, pa.Table],
    micrographs: pa.Table,
    rejected: pa.Table,
    environment: Mapping[str, str],
    seconds: Mapping[str, float],
    snapshot: int,
) -> CommitRecord | None:
    """Write what came of a unit and make it visible. Safe to call again, and by several at once.

    Args:
        storage: The store.
        unit: What was worked on, as planned.
        job: Name of the job, the first part of the step's name.
        dataset: Its name.
        spec: The spec's fingerprint.
        features: A table (schemas.features_schema or samples_schema) for each of the unit's pairs, all with the same
            images.
        micrographs: The facts (MICROGRAPHS) of the same images; not written where the unit says so.
        rejected: REJECTED rows of images whose bytes are the reason.
        environment: Processor, threads, library versions, kernel path.
        seconds: Duration of the legs before this one.
        snapshot: Number of the index snapshot that was worked from.

    Images of the unit that are in neither table stay pending.

    Returns:
        The commit; None when there was nothing to commit. Its `members` and `rejected` may differ from what was given:
        files of an earlier attempt that died before its commit are adopted as they are, and what they lack stays
        pending for the next run. Should those files not even agree with each other, there is one commit for each set
        of pairs that do, and the one with the fewest members is returned.

    Raises:
        EncodingError: the tables do not fit the unit or each other, or a vector has NaN or infinity. A mistake in a
            program, not in an image; nothing is written.
        StoreError: storage failed; the unit stays pending.
    """
    started = time.monotonic()
    done = _check_outcome(unit, features, micrographs, rejected)
    if not done and not set(_ids(rejected)) - unit.retried:
        return None
    files: list[FileRecord] = []
    facts: list[str] = []
    if unit.writes_facts:
        files.append(write_table(storage, layout.micrographs_path(dataset, spec, unit.shard), micrographs))
        facts = _image_ids(storage, files[0], micrographs)
        features = {pair: _only(table, facts) for pair, table in features.items()}
        rejected = _without(rejected, facts)
    # A name whose facts are empty has no image: whoever else works on it has to drop all features too.
    is_empty = unit.writes_facts and not facts
    written: dict[Pair, tuple[FileRecord, list[str]]] = {}
    if not unit.writes_facts:
        # Adopted features may hold images that this attempt rejects. Of those that are in all files no commit would say
        # that they are rejected, so a row for them would be repeated by whoever rejects them next.
        written = _write_features(storage, dataset, spec, unit, features)
        rejected = _without(rejected, set.intersection(*(set(images) for _, images in written.values())))
    repeated = unit.rejected_before.intersection(_ids(rejected))
    rejected = _without(rejected, unit.rejected_before)
    rejections: set[str] = set(repeated)
    if _needs_rejected_file(unit, rejected, facts, adopted=bool(files) and files[0].adopted):
        path = layout.rejected_path(dataset, spec, unit.rejections or unit.shard)
        files.append(write_table(storage, path, rejected))
        rejections.update(_image_ids(storage, files[-1], rejected))
    if unit.writes_facts and not is_empty:
        written = _write_features(storage, dataset, spec, unit, features)
    groups: dict[frozenset[str], list[Pair]] = {}
    for pair in unit.pairs:
        groups.setdefault(frozenset(written[pair][1]) if pair in written else frozenset(), []).append(pair)
    records = []
    for members, pairs in groups.items():
        own = [written[pair][0] for pair in pairs if pair in written]
        record = CommitRecord(
            job=job,
            step=step_name(job, pairs),
            dataset=dataset,
            spec=spec,
            shard=unit.shard,
            snapshot=snapshot,
            pairs=tuple(pairs),
            members=tuple(written[pairs[0]][1]) if own else (),
            rejected=tuple(sorted(rejections - members)),
            facts_only=tuple(image_id for image_id in facts if image_id not in members),
            files=(*files, *own),
            environment=dict(environment),
            seconds={**seconds, "write": time.monotonic() - started},
        )
        records.append(write_commit(storage, record))
    return min(records, key=lambda record: len(record.members))


def _needs_rejected_file(unit: Unit, rejected: pa.Table, facts: Collection[str], *, adopted: bool) -> bool:
    """Whether there are rows to write; or images are left undecided, or an earlier attempt may have written rows."""
    if rejected.num_rows:
        return True
    if not unit.writes_facts or not unit.writes_rejections:
        return False
    return adopted or bool(set(unit.image_ids).difference(facts, unit.rejected_before))


def _write_features(
    storage: Storage, dataset: str, spec: str, unit: Unit, features: Mapping[Pair, pa.Table]
) -> dict[Pair, tuple[FileRecord, list[str]]]:
    def write(pair: Pair) -> tuple[FileRecord, list[str]]:
        file = write_table(storage, layout.product_path(dataset, spec, *pair, unit.shard), features[pair])
        return file, _image_ids(storage, file, features[pair])

    with ThreadPoolExecutor(_WRITERS) as pool:
        # Each thread's lines are about what this one's are about.
        writing = [pool.submit(copy_context().run, write, pair) for pair in unit.pairs]
        return {pair: done.result() for pair, done in zip(unit.pairs, writing, strict=True)}


def _check_outcome(
    unit: Unit, features: Mapping[Pair, pa.Table], micrographs: pa.Table, rejected: pa.Table
) -> list[str]:
    """The images that were featurized."""
    done = _ids(micrographs)
    failed = set(_ids(rejected))
    name = f"shard {unit.shard}"
    if set(features) != set(unit.pairs):
        raise EncodingError(f"{name}: features of other pairs than were asked for; nothing was written")
    for (encoder, layer), table in features.items():
        check_rows(table, f"{name}, {encoder} at {layer}")
        if _ids(table) != done:
            raise EncodingError(f"{name}: {encoder} at {layer} has other images than micrographs; nothing was written")
    check_rows(micrographs, f"{name}, micrographs")
    check_rows(rejected, f"{name}, rejected")
    if failed.intersection(done) or not failed.union(done) <= set(unit.image_ids):
        raise EncodingError(
            f"{name}: images that it does not have, or both featurized and rejected; nothing was written"
        )
    return done


def _image_ids(storage: Storage, file: FileRecord, table: pa.Table) -> list[str]:
    """Of a file as it lies in the store."""
    return read_image_ids(storage, file.path) if file.adopted else _ids(table)


def _ids(table: pa.Table) -> list[str]:
    ids: list[str] = table["image_id"].to_pylist()
    return ids


def _only(table: pa.Table, image_ids: Collection[str]) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(image_ids, pa.string())))


def _without(table: pa.Table, image_ids: Collection[str]) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table["image_id"], value_set=pa.array(image_ids, pa.string()))))
