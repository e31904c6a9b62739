"""The snapshots of a dataset against each other, and whether every image is accounted for."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from texture_store.errors import BalanceError
from texture_store.store import layout
from texture_store.store.commits import CommitRecord
from texture_store.store.coverage import check_balance, coverage
from texture_store.store.snapshots import Snapshot
from texture_store.verification.findings import Finding, Note

INDEX_AGAIN = "run index again, with the same archive and labels"


@dataclass(frozen=True)
class Balance:
    """How one spec covers the newest snapshot of a dataset."""

    dataset: str
    snapshot: int
    spec: str
    what: str
    indexed: int
    featurized: int
    rejected: int
    pending: int


def check_snapshots(dataset: str, tables: Mapping[int, pa.Table], all_numbers: Sequence[int]) -> list[Finding | Note]:
    """What is wrong between snapshots; `tables` are those that can be read, `all_numbers` those that are there."""
    found: list[Finding | Note] = []
    gaps = sorted(set(range(1, max(all_numbers, default=0))) - set(all_numbers))
    if gaps:
        found.append(Note(f"dataset {dataset}", f"earlier snapshots are gone: {', '.join(map(str, gaps))}"))
    created = ""
    for number in sorted(tables):
        path = layout.snapshot_path(dataset, number)
        moment = (tables[number].schema.metadata or {}).get(b"created", b"").decode()
        if moment < created:
            found.append(Finding(path, "older than the snapshot before it", INDEX_AGAIN, (path,)))
        created = max(created, moment)
        if number == 1 or number - 1 in tables:
            wrong = _wrong_shard(tables[number], tables.get(number - 1))
            if wrong:
                found.append(Finding(path, f"shard {wrong} is not the hash of its images", INDEX_AGAIN, (path,)))
    return found


def _wrong_shard(table: pa.Table, previous: pa.Table | None) -> str | None:
    """A shard that appears first in `table` and whose name is not the hash of its images there."""
    new = table
    if previous is not None:
        new = table.filter(pc.invert(pc.is_in(table["image_id"], value_set=previous["image_id"])))
    tar = pc.if_else(pc.is_null(new["offset"]), "", new["uri"])
    keys = pa.table({"shard": new["shard"], "image_id": new["image_id"], "tar": tar, "offset": new["offset"]})
    images: dict[str, list[str]] = defaultdict(list)
    for row in keys.sort_by([("tar", "ascending"), ("offset", "ascending")]).select(["shard", "image_id"]).to_pylist():
        images[row["shard"]].append(row["image_id"])
    for shard, image_ids in images.items():
        if hashlib.sha256("\n".join(image_ids).encode()).hexdigest()[:24] != shard:
            return shard
    return None


def check_coverage(
    dataset: str, number: int, table: pa.Table, records_of: Mapping[str, Sequence[CommitRecord]]
) -> tuple[list[Balance], list[Finding]]:
    """indexed = featurized + rejected + pending, for every spec and set of pairs that stands the same."""
    snapshot = Snapshot(dataset, number, table, "", "", None)
    balances, findings = [], []
    for spec, records in sorted(records_of.items()):
        alike: dict[frozenset[int], list[str]] = defaultdict(list)
        pair_of = {}
        for pair in sorted({pair for record in records for pair in record.pairs}):
            key = frozenset(index for index, record in enumerate(records) if pair in record.pairs)
            alike[key].append(" ".join(pair))
            pair_of[key] = pair
        for key, names in alike.items():
            covered = coverage(snapshot, records, [pair_of[key]])
            try:
                check_balance(covered)
            except BalanceError as error:
                folder = layout.commits_folder(dataset, spec)
                findings.append(Finding(folder, str(error).partition(";")[0], "restore it from a copy"))
            counts = (covered.num_indexed, covered.num_featurized, covered.num_rejected, covered.num_pending)
            what = ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
            balances.append(Balance(dataset, number, spec, what, *counts))
    return balances, findings
