"""Featurize, add images, encode, evaluate, publish, kill, round after round: the driver's memory and handles stay flat.

Runs for TEXTURE_STORE_SOAK_MINUTES. The jobs run in this process, so that it is the driver; of its Ray's workers one is
killed each round, and now and then a driver of its own is, as a child. What was seen is printed (pytest -rP).
"""

import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from statistics import median

import pytest

from jobs.dictionary_fits import Learning
from jobs.encode import EncodeRequest, encode
from jobs.evaluate import evaluate
from jobs.evaluation_request import EvaluationRequest
from jobs.featurize import featurize
from jobs.fit_dictionary import fit_dictionary
from jobs.index import index
from jobs.planning import Request
from jobs.publish import publish_dataset
from tests.jobs.conftest import write_archive
from texture_store.spec import make_pixel_spec

from .victims import KINDS, below, of_kind, send, wait_until_gone
from .whole import DATASET, Committed, feature_sets

MINUTES = float(os.environ.get("TEXTURE_STORE_SOAK_MINUTES") or 0)
FIRST, ADDED, SHARD_SIZE = 16, 4, 2
WARM_UP_ROUNDS = 2
"""Imports, caches and connections of a first round stay."""
MAX_GROWTH = 3e6
"""bytes of the driver a round. Ray (2.60) keeps its classes and records of tasks of each stream and fan-out, six
of them a round: 1.8 MB were measured over an hour, of which tracemalloc finds 0.25, most of it in Ray's modules."""
MAX_HANDLES = 8
LAYER = "conv1_2"
PIXELS = ["--size", "64", "--weights", "random:0", "--precision", "float32"]
OF_ENCODE = ("load worker", "extract actor", "write worker")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.chaos,
    pytest.mark.timeout(3600 + 90 * MINUTES),
    pytest.mark.filterwarnings("ignore:.*RANDOM"),
    pytest.mark.skipif(not MINUTES, reason="runs with TEXTURE_STORE_SOAK_MINUTES=60"),
]


@dataclass(frozen=True)
class Driver:
    """What this process holds."""

    bytes: int
    handles: int
    threads: int

    @classmethod
    def now(cls) -> "Driver":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * resource.getpagesize(), len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


class Killer(threading.Thread):
    """Kills one worker of a kind, the next that is seen, below this process."""

    def __init__(self, kind: str, kills: Counter[str]) -> None:
        super().__init__(daemon=True)
        self._kind, self._kills = kind, kills
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.01):
            if any(send(pid, SIGKILL) for pid in of_kind(os.getpid(), self._kind)[:1]):
                self._kills[self._kind] += 1
                return

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def test_a_driver_stays_flat_and_nothing_is_lost(tmp_path: Path, ray_session: None) -> None:
    seed = int(os.environ.get("TEXTURE_STORE_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TEXTURE_STORE_CHAOS_SEED={seed}")
    choose = random.Random(seed)
    archive, store = tmp_path / "archive", tmp_path / "store"
    committed, kills = Committed(store), Counter[str]()
    seen: list[Driver] = []
    seconds: list[float] = []
    count, started = 0, time.monotonic()
    while time.monotonic() - started < 60 * MINUTES:
        began = time.monotonic()
        added = ADDED if count else FIRST
        write_archive(archive, first=count, count=added, enlarge=8)
        count += added
        index(str(store), DATASET, str(archive), labels=str(archive / "labels.csv"), shard_size=SHARD_SIZE)
        if len(seen) % 3 == 2:
            arguments = ["featurize", "--store", str(store), "--dataset", DATASET, "--layers", LAYER, *PIXELS]
            kills["driver"] += kill_while_it_works(arguments, after=choose.uniform(0, 3))
            committed.look()
        one_round(store, choose.choice(sorted(set(KINDS) & set(OF_ENCODE))), kills)
        committed.look()
        assert_whole(store, count)
        seconds.append(time.monotonic() - began)
        seen.append(Driver.now())
        print(f"round {len(seen)}: {count} images, {seconds[-1]:.0f} s, {dict(kills)}, {seen[-1]}", flush=True)
    print(f"{len(seen)} rounds, {sum(kills.values())} kills, longest round {max(seconds):.0f} s")
    assert_flat(seen[WARM_UP_ROUNDS:])


def kill_while_it_works(arguments: list[str], *, after: float) -> bool:
    """Start a driver and SIGKILL it some seconds after its network is there; False when it was done before."""
    driver = subprocess.Popen([sys.executable, "-m", "jobs.cli", *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while driver.poll() is None and not of_kind(driver.pid, "extract actor"):
        assert time.monotonic() < deadline, "no extract actor within 200 s"
        time.sleep(0.05)
    time.sleep(after)
    family = list(below(driver.pid))
    driver.kill()
    wait_until_gone(family)
    return driver.wait() == -SIGKILL


def one_round(store: Path, kind: str, kills: Counter[str]) -> None:
    def request(*encoders: str) -> Request:
        pixels = make_pixel_spec(size="64x64")
        settings = {"weights": "random:0", "precision": "float32", "layers": (LAYER,)}
        return Request(store_url=str(store), dataset=DATASET, pixels=pixels, encoders=encoders, **settings)

    with Killer(kind, kills):
        done = featurize(request("mean", "max", "gram"))
    assert (done.pending, done.rejected) == (0, 0), done
    learnt, _ = fit_dictionary(request("sample"), Learning((LAYER,), 4, 1.0, 0, 1))
    assert learnt is not None
    assert encode(EncodeRequest(str(store), DATASET, dictionary=learnt.dictionary, refit="never")).pending == 0
    wanted = EvaluationRequest(
        str(store), DATASET, encoders=("mean",), layers=(LAYER,), trials=1, trees=10, spec=done.spec
    )
    evaluate(wanted)
    publish_dataset(str(store), DATASET, spec=done.spec)


def assert_whole(store: Path, count: int) -> None:
    for name, (paths, _) in feature_sets(store).items():
        assert len(paths) == len(set(paths)), f"{name}: rows twice"
        if name[1] != "vlad":  # earlier dictionaries' stay as they were
            assert len(paths) == count, f"{name}: images lost"


def assert_flat(seen: list[Driver]) -> None:
    third = max(1, len(seen) // 3)
    first, last = seen[:third], seen[-third:]
    grown = median(one.bytes for one in last) - median(one.bytes for one in first)
    handles = median(one.handles for one in last) - median(one.handles for one in first)
    threads = median(one.threads for one in last) - median(one.threads for one in first)
    rounds = len(seen) - third  # between the middles of the two thirds
    print(f"grown by {grown / 1e6:.1f} MB in {rounds} rounds, {handles:.0f} handles, {threads:.0f} threads")
    assert grown < MAX_GROWTH * rounds
    assert handles <= MAX_HANDLES
    assert threads <= MAX_HANDLES
