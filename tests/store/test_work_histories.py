"""Random histories of archives, jobs, crashes and races, and what must hold after every step of them."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.store.attempts import DATASET, PAIRS, SPEC, EventfulStorage, KilledError, die, execute, make_snapshot
from texture_store.objects import Storage
from texture_store.store import committing
from texture_store.store.commits import Pair, fold_commits, read_commits
from texture_store.store.coverage import check_balance, coverage
from texture_store.store.recovery import recover
from texture_store.store.work import Unit, plan_work

SHARD_SIZE = 3
POINTS = ("micrographs/", "rejected/", "encoder=mean/layer=input", "encoder=max/layer=input", "commits/")


@dataclass(frozen=True)
class Job:
    """A run of featurize, with what it meets."""

    pairs: tuple[Pair, ...]
    outcomes: tuple[str, ...]
    """Of the images, in turn."""
    retry: bool
    share: int
    """Every how many-th unit it gets to."""
    recovers: bool = True
    """Whether it begins with recovery, which is needed only after images came back."""

    def outcome(self, image_id: str) -> str:
        return self.outcomes[int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % len(self.outcomes)]


names = st.sets(st.sampled_from("abcdef"), min_size=1)
jobs = st.builds(
    Job,
    pairs=st.lists(st.sampled_from(PAIRS), min_size=1, max_size=3, unique=True).map(tuple),
    outcomes=st.lists(st.sampled_from(["ok", "ok", "ok", "rejected", "gone"]), min_size=1, max_size=5).map(tuple),
    retry=st.booleans(),
    share=st.sampled_from([1, 1, 2]),
    recovers=st.booleans(),
)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.storage = Storage(self.folder)
        self.archive: dict[str, int] = {}
        self.seen: set[str] = set()
        self.members: dict[str, str] = {}
        self.snapshot = make_snapshot(1, {})
        self.slow: list[Unit] = []
        self.must_recover = False
        self.contents: dict[str, str] = {}
        self.rows: dict[str, set[str]] = {}

    def teardown(self) -> None:
        everything_ok = Job(PAIRS, ("ok",), retry=False, share=1)
        # A second round is for what an adopted file lacked.
        for _ in range(2):
            self.run_job(everything_ok)
            self.files_are_sound()
        covered = coverage(self.snapshot, self.commits(), PAIRS)
        assert covered.pending == set()
        assert plan_work(self.snapshot, self.commits(), PAIRS) == []
        for _ in range(2):
            self.run_job(Job(PAIRS, ("ok",), retry=True, share=1))
            self.files_are_sound()
        covered = coverage(self.snapshot, self.commits(), PAIRS)
        assert covered.featurized == set(self.members)
        shutil.rmtree(self.folder)

    def commits(self):
        return read_commits(self.storage, DATASET, SPEC)

    def run_job(self, job: Job, storage: Storage | None = None) -> None:
        storage = storage or self.storage
        for unit in self.plan(job, storage)[:: job.share]:
            execute(storage, unit, job.outcome, self.snapshot.number)

    def plan(self, job: Job, storage: Storage) -> list[Unit]:
        commits = self.commits()
        if job.recovers or self.must_recover:
            commits = recover(storage, DATASET, SPEC, commits, snapshot=self.snapshot.number)
            self.must_recover = False
        return plan_work(self.snapshot, commits, job.pairs, retry_rejected=job.retry)

    @initialize()
    def first_index(self) -> None:
        self.index(set("abcde"), "add")

    @rule(names=names)
    def leave_and_come_back(self, names: set[str]) -> None:
        self.index(names, "remove")
        self.index(names, "add")

    @rule(names=names, action=st.sampled_from(["add", "add", "remove", "change"]))
    def change_archive(self, names: set[str], action: str) -> None:
        self.index(names, action)

    def index(self, names: set[str], action: str) -> None:
        for name in sorted(names):
            if action == "remove":
                self.archive.pop(name, None)
            else:
                version = self.archive.get(name, 1)
                self.archive[name] = version + (action == "change" and name in self.archive)
        ids = {f"{name}v{version}" for name, version in self.archive.items()}
        if any(image_id in self.seen and image_id not in self.members for image_id in ids):
            self.must_recover = True
            self.slow.clear()  # the second case that work.py calls out of reach
        new = sorted(ids - self.members.keys())
        members = {image_id: shard for image_id, shard in self.members.items() if image_id in ids}
        for start in range(0, len(new), SHARD_SIZE):
            chunk = new[start : start + SHARD_SIZE]
            members |= dict.fromkeys(chunk, hashlib.sha256(repr(chunk).encode()).hexdigest()[:12])
        self.members = members
        self.seen |= ids
        self.snapshot = make_snapshot(self.snapshot.number + 1, members)

    @rule(job=jobs)
    def run(self, job: Job) -> None:
        self.run_job(job)

    @rule(job=jobs, point=st.sampled_from(POINTS))
    def run_until_killed(self, job: Job, point: str) -> None:
        with contextlib.suppress(KilledError):
            self.run_job(job, EventfulStorage(self.folder, point, die))

    @rule(job=jobs, point=st.sampled_from(POINTS), names=names)
    def come_back_after_a_kill(self, job: Job, point: str, names: set[str]) -> None:
        self.run_until_killed(job, point)
        self.leave_and_come_back(names)

    @rule(job=jobs, point=st.sampled_from(POINTS), other=jobs)
    def run_two_at_once(self, job: Job, point: str, other: Job) -> None:
        self.run_job(job, EventfulStorage(self.folder, point, lambda: self.run_job(other)))

    @rule(job=jobs)
    def begin_slowly(self, job: Job) -> None:
        self.slow += self.plan(job, self.storage)

    @rule(job=jobs)
    def finish_slowly(self, job: Job) -> None:
        for unit in self.slow:
            execute(self.storage, unit, job.outcome, self.snapshot.number)
        self.slow.clear()

    @rule()
    def fold(self) -> None:
        before = self.commits()
        fold_commits(self.storage, DATASET, SPEC, min_loose=1)
        assert self.commits() == before

    @invariant()
    def files_are_sound(self) -> None:
        folders: dict[str, Counter[str]] = {}
        for file in sorted(Path(self.folder).rglob("*.*")):
            path = file.relative_to(self.folder).as_posix()
            data = file.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            assert self.contents.setdefault(path, digest) == digest, f"{path} was written twice"
            if not path.startswith("commits/"):
                if path not in self.rows:
                    self.rows[path] = set(pq.read_table(pa.BufferReader(data))["image_id"].to_pylist())
                folders.setdefault(path.rpartition("/")[0], Counter()).update(self.rows[path])
        for folder, images in folders.items():
            assert all(count == 1 for count in images.values()), f"{folder}: {images}"
        rows = self.rows
        facts = set().union(*(images for path, images in rows.items() if path.startswith("micrographs/")))
        for record in self.commits():
            assert not set(record.members) & set(record.rejected)
            for listed in record.files:
                assert listed.rows == len(rows[listed.path])
            for listed in record.files_of("features"):
                assert rows[listed.path] == set(record.members)
            if record.members:
                assert len(record.files_of("features")) == len(record.pairs)
            assert set(record.members) <= facts
            for image_id in record.rejected:
                assert any(image_id in images for path, images in rows.items() if path.startswith("rejected/"))

    @invariant()
    def plans_have_exactly_what_is_pending(self) -> None:
        commits = self.commits()
        for pairs in (PAIRS, PAIRS[:1]):
            covered = coverage(self.snapshot, commits, pairs)
            check_balance(covered)
            units = plan_work(self.snapshot, commits, pairs)
            planned = Counter((pair, image_id) for unit in units for pair in unit.pairs for image_id in unit.image_ids)
            assert all(count == 1 for count in planned.values())
            featurized = {(pair, i) for record in commits for pair in record.pairs for i in record.members}
            assert not planned.keys() & featurized
            assert {image_id for _, image_id in planned} == covered.pending
            names = Counter((unit.shard, pair) for unit in units for pair in unit.pairs)
            assert all(count == 1 for count in names.values())


@pytest.fixture
def _in_order_and_unsynced(monkeypatch):
    monkeypatch.setattr(committing, "_WRITERS", 1)  # else which file is there when an attempt dies is left to chance
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nobody pulls the plug here


@pytest.mark.usefixtures("_in_order_and_unsynced")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("num_histories", [35, pytest.param(120, marks=pytest.mark.slow)])
def test_any_history_ends_with_every_image_settled_once(num_histories):
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=num_histories,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
