"""Files that an interrupted attempt left without a commit.

They are harmless as long as their images stay where they are: the next attempt adopts them. But an image can go from
the archive and come back, in another shard; then nobody looks at the old name again. So a job that is going to write
first makes known which images lie under such names, and plans with that.

Shards that another job is just writing look the same. Nothing is lost or doubled then: both write the same files, and
an image that the other job was about to reject may stay pending for the next run.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from schemas import MICROGRAPHS, REJECTED
from texture_store.errors import InvalidNameError
from texture_store.objects import Storage
from texture_store.store import layout
from texture_store.store.commits import CommitRecord, step_name, write_commit
from texture_store.store.tables import adopt_table, read_image_ids, write_table

_JOB = "recover"
_WORKERS = 8


def recover(
    storage: Storage, dataset: str, spec: str, commits: Sequence[CommitRecord], *, snapshot: int
) -> list[CommitRecord]:
    """`commits`, and a commit for each name whose facts no commit lists: it says which images are at home there.

    Lists one folder, with one small file a shard. The features of those images are then planned under that name, where
    what is there of them is adopted. `snapshot` is the index snapshot that the calling job works from.
    """
    known = {file.path for record in commits for file in record.files_of("micrographs")}
    folder = layout.micrographs_folder(dataset, spec)
    left = [info.path for info in storage.list(folder) if info.path not in known]
    shards = [path.removeprefix(f"{folder}/").removesuffix(".parquet") for path in left if path.endswith(".parquet")]

    def commit(shard: str) -> CommitRecord | None:
        try:
            layout.check_shard(shard)
        except InvalidNameError:  # not ours
            return None
        return _commit_facts(storage, dataset, spec, shard, snapshot)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return [*commits, *filter(None, pool.map(commit, shards))]


def _commit_facts(storage: Storage, dataset: str, spec: str, shard: str, snapshot: int) -> CommitRecord:
    path = layout.micrographs_path(dataset, spec, shard)
    facts = read_image_ids(storage, path)
    # Empty unless the attempt got as far as its rejections; then no slow attempt can add some any more.
    rejections = write_table(storage, layout.rejected_path(dataset, spec, shard), REJECTED.empty_table())
    rejected = set(read_image_ids(storage, rejections.path)) if rejections.adopted else set()
    record = CommitRecord(
        job=_JOB,
        step=step_name(_JOB, ()),
        dataset=dataset,
        spec=spec,
        shard=shard,
        snapshot=snapshot,
        pairs=(),
        members=(),
        rejected=tuple(sorted(rejected.difference(facts))),
        facts_only=tuple(facts),
        files=(adopt_table(storage, path, MICROGRAPHS), rejections),
    )
    return write_commit(storage, record)
