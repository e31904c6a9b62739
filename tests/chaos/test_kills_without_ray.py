"""index, publish and the folding of commits are killed at random times, until one attempt is through."""

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.index import index
from jobs.publish import publish_dataset
from tests.jobs.conftest import write_archive
from tests.made_store import DEEP_MEAN, GRAM, MEAN, SPEC, MadeStore
from texture_store.objects import open_storage
from texture_store.store.commits import fold_commits, read_commits
from texture_store.store.snapshots import list_snapshots

from .whole import Committed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

KILLS = 8
PATHS = [f"{number}.tif" for number in range(40)]


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("TEXTURE_STORE_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TEXTURE_STORE_CHAOS_SEED={seed}")
    return seed


def kill_until_done(
    function: Callable[..., object], *args: object, undisturbed: float, seed: int, look: Callable
) -> None:
    """Fork it and SIGKILL it after a random part of the time that it takes, KILLS times; then let it end."""
    choose = random.Random(seed)
    fork = multiprocessing.get_context("fork")
    killed = 0
    while killed < KILLS:
        process = fork.Process(target=function, args=args)
        process.start()
        process.join(choose.uniform(0, undisturbed))
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += process.exitcode == -9
        else:
            assert process.exitcode == 0
            undisturbed *= 0.7  # what it had not left undone is done: be earlier
        look()
        if undisturbed < 0.002:
            break
    assert killed >= 2, "it was never killed"
    print(f"{killed} kills")
    function(*args)
    look()


def seconds_of(function: Callable[..., object], *args: object) -> float:
    started = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=function, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


def take_index(store: str, archive: str) -> None:
    index(store, "steel", archive, labels=f"{archive}/labels.csv")


def test_index(tmp_path: Path, seed: int) -> None:
    archive = str(write_archive(tmp_path / "archive", count=60))
    store, undisturbed = tmp_path / "store", tmp_path / "undisturbed"
    seconds = seconds_of(take_index, str(undisturbed), archive)
    committed = Committed(store)
    kill_until_done(take_index, str(store), archive, undisturbed=seconds, seed=seed, look=committed.look)
    one, other = (open_storage(str(url)) for url in (store, undisturbed))
    assert list_snapshots(one, "steel") == list_snapshots(other, "steel") == [1]


def made(folder: Path) -> str:
    made = MadeStore.at(folder)
    made.index("steel", PATHS)
    for number in range(0, len(PATHS), 2):
        made.commit("steel", f"s{number}", PATHS[number : number + 2], pairs=[MEAN, GRAM, DEEP_MEAN])
    return made.url


def publish_all(url: str) -> None:
    publish_dataset(url, "steel", part_bytes=200)


def test_publish(tmp_path: Path, seed: int) -> None:
    store, undisturbed = made(tmp_path / "store"), made(tmp_path / "undisturbed")
    seconds = seconds_of(publish_all, undisturbed)
    committed = Committed(Path(store))
    kill_until_done(publish_all, store, undisturbed=seconds, seed=seed, look=committed.look)
    assert published(store) == published(undisturbed)


def published(url: str) -> dict[str, bytes]:
    root = Path(url) / "published"
    found = [path for path in root.rglob("*") if path.suffix in (".parquet", ".json")]
    assert len(found) > 20
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def fold(url: str) -> None:
    fold_commits(open_storage(url), "steel", SPEC.fingerprint, min_loose=1)


def test_folding_of_commits(tmp_path: Path, seed: int) -> None:
    store, undisturbed = made(tmp_path / "store"), made(tmp_path / "undisturbed")
    seconds = seconds_of(fold, undisturbed)
    before = read_commits(open_storage(store), "steel", SPEC.fingerprint)

    def look() -> None:
        assert read_commits(open_storage(store), "steel", SPEC.fingerprint) == before

    kill_until_done(fold, store, undisturbed=seconds, seed=seed, look=look)
    assert len(before) == len(PATHS) // 2
