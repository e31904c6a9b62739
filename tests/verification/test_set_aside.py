from pathlib import Path

import pytest

from texture_store.objects import Storage, open_storage
from texture_store.verification.findings import Finding
from texture_store.verification.set_aside import repair

CONTENT = {"commits/a.json": b"record", "features/a.parquet": b"vectors", "commits/checkpoint-1.parquet": b"folded"}
FINDINGS = [
    Finding(
        "features/a.parquet",
        "damaged",
        "again",
        ("commits/checkpoint-1.parquet", "features/a.parquet", "commits/a.json"),
    ),
    Finding("commits/b.json", "missing", "nothing", (), b"restored"),
]
FOLDER = "set-aside/now"


class KilledError(Exception):
    pass


class Dying(Storage):
    """Dies at a call that changes something, just before it or just after it."""

    def __init__(self, url: str, calls: int, *, after: bool) -> None:
        super().__init__(url)
        self._left, self._after = calls, after

    def _count(self) -> bool:
        self._left -= 1
        return self._left < 0

    def create(self, path: str, data: bytes) -> None:
        dies = self._count()
        if dies and not self._after:
            raise KilledError
        super().create(path, data)
        if dies:
            raise KilledError

    def remove(self, path: str) -> None:
        dies = self._count()
        if dies and not self._after:
            raise KilledError
        super().remove(path)
        if dies:
            raise KilledError


def filled(folder: Path) -> Storage:
    storage = open_storage(str(folder))
    for path, data in CONTENT.items():
        storage.create(path, data)
    return storage


def present(storage: Storage) -> dict[str, bytes]:
    return {info.path: storage.read(info.path) for info in storage.list()}


def test_what_is_damaged_is_moved_and_what_is_known_is_restored(tmp_path: Path):
    storage = filled(tmp_path)
    infos = {info.path: info for info in storage.list()}
    moved = repair(storage, FINDINGS, infos, FOLDER)
    assert moved == list(FINDINGS[0].set_aside)
    expected = {f"{FOLDER}/{path}": data for path, data in CONTENT.items()} | {"commits/b.json": b"restored"}
    assert present(storage) == expected
    assert repair(storage, FINDINGS, infos, FOLDER) == []
    assert present(storage) == expected


@pytest.mark.s3
def test_objects_are_moved_as_files_are(s3_url: str):
    storage = open_storage(f"{s3_url}/store")
    for path, data in CONTENT.items():
        storage.create(path, data)
    repair(storage, FINDINGS, {info.path: info for info in storage.list()}, FOLDER)
    expected = {f"{FOLDER}/{path}": data for path, data in CONTENT.items()} | {"commits/b.json": b"restored"}
    assert present(storage) == expected


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("calls", range(7))
def test_killed_at_any_step_nothing_is_lost_and_the_next_repair_ends_it(tmp_path: Path, calls: int, after: bool):
    storage = filled(tmp_path)
    infos = {info.path: info for info in storage.list()}
    with pytest.raises(KilledError):
        repair(Dying(storage.url, calls, after=after), FINDINGS, infos, FOLDER)
    there = present(storage)
    for path, data in CONTENT.items():
        assert there.get(path, there.get(f"{FOLDER}/{path}")) == data
    assert "commits/a.json" in there or "features/a.parquet" not in there  # the record goes last
    left = {info.path: info for info in storage.list() if info.path in CONTENT}
    repair(storage, FINDINGS, left, "set-aside/later")
    there = present(storage)
    assert not set(CONTENT) & set(there)
    assert set(there.values()) == {*CONTENT.values(), b"restored"}


def test_a_file_that_is_another_by_now_is_left_alone(tmp_path: Path):
    storage = filled(tmp_path)
    infos = {info.path: info for info in storage.list()}
    storage.remove("features/a.parquet")
    storage.create("features/a.parquet", b"made again meanwhile")
    repair(storage, FINDINGS, infos, FOLDER)
    assert storage.read("features/a.parquet") == b"made again meanwhile"


def test_two_files_of_one_path_are_both_kept(tmp_path: Path):
    storage = filled(tmp_path)
    for data in (b"one", b"two"):
        storage.create("x", data)
        repair(storage, [Finding("x", "", "", ("x",))], {info.path: info for info in storage.list()}, FOLDER)
    assert storage.read(f"{FOLDER}/x") == b"one"
    assert storage.read(f"{FOLDER}/x.again") == b"two"
