import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from texture_store.errors import LeaseHeldError, StoragePermissionError
from texture_store.objects import open_storage
from texture_store.store.leases import lease
from texture_store.store.opening import open_for_writing
from texture_store.store.processes import this_process


def signs(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("runs/*/*/*/*"))


def held_by(folder: Path, number: int, **values: object) -> None:
    """A lease as another process would have left it."""
    path = folder / f"runs/dataset=steel/job=reevaluate/lease-{number}/held.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "place": "x", "process": "1"} | values))


def now(ago: float = 0) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()


def test_a_lease_is_released_and_the_next_has_the_next_number(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    with lease(storage, "steel", "reevaluate") as first:
        assert (first.number, first.took_over) == (1, "")
    with lease(storage, "steel", "reevaluate") as second:
        assert (second.number, second.took_over) == (2, "")
        with lease(storage, "steel", "other-job"), lease(storage, "iron", "reevaluate"):
            pass  # of another job and of another dataset
    assert [name for name in signs(tmp_path) if "steel/job=ree" in name] == [
        "runs/dataset=steel/job=reevaluate/lease-1/held.json",
        "runs/dataset=steel/job=reevaluate/lease-1/released.json",
        "runs/dataset=steel/job=reevaluate/lease-2/held.json",
        "runs/dataset=steel/job=reevaluate/lease-2/released.json",
    ]


def test_it_is_released_when_the_run_fails(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    with pytest.raises(RuntimeError), lease(storage, "steel", "reevaluate"):
        raise RuntimeError("oh")
    with lease(storage, "steel", "reevaluate") as second:
        assert second.number == 2


def test_a_second_run_is_refused_and_told_who_has_it(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    first = lease(storage, "steel", "reevaluate")
    with first, pytest.raises(LeaseHeldError) as caught, lease(storage, "steel", "reevaluate"):
        pytest.fail("two at once")
    assert "dataset steel: another run of reevaluate is going on (process" in str(caught.value)
    assert f"process {os.getpid()} on " in str(caught.value)
    assert "this one can begin in 10 min" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_many_that_begin_at_once_one_gets_it(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    got, refused, start, done = [], [], threading.Barrier(8), threading.Event()

    def attempt() -> None:
        start.wait()
        try:
            with lease(storage, "steel", "reevaluate") as held:
                got.append(held.number)
                done.wait(20)
        except LeaseHeldError:
            refused.append(1)
            if len(refused) == 7:
                done.set()

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (got, len(refused)) == ([1], 7)


def test_a_silent_holder_elsewhere_loses_it_after_its_time_and_not_before(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    held_by(tmp_path, 3, at=now(ago=590))
    with pytest.raises(LeaseHeldError, match="process 7 on elsewhere"), lease(storage, "steel", "reevaluate"):
        pass
    storage.create("runs/dataset=steel/job=reevaluate/lease-3/beat-2.json", json.dumps({"at": now(ago=601)}).encode())
    with lease(storage, "steel", "reevaluate") as held:
        assert held.number == 4
        assert "no sign of life for 10 minutes" in held.took_over


def test_the_newest_beat_counts(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    held_by(tmp_path, 1, at=now(ago=5000))
    for beat, ago in ((9, 4000), (10, 30)):
        path = f"runs/dataset=steel/job=reevaluate/lease-1/beat-{beat}.json"
        storage.create(path, json.dumps({"at": now(ago=ago)}).encode())
    with pytest.raises(LeaseHeldError, match="sign of life 30 s ago"), lease(storage, "steel", "reevaluate"):
        pass


def test_a_holder_beats(tmp_path: Path):
    storage = open_storage(str(tmp_path))
    with lease(storage, "steel", "reevaluate", beat=0.02):
        deadline = time.monotonic() + 20
        while not any("beat-3" in name for name in signs(tmp_path)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"at": 7}'])
def test_a_sign_that_cannot_be_read_is_none(tmp_path: Path, content: bytes):
    storage = open_storage(str(tmp_path))
    storage.create("runs/dataset=steel/job=reevaluate/lease-1/held.json", content)
    with lease(storage, "steel", "reevaluate") as held:
        assert held.number == 2


def test_a_process_of_this_machine_that_was_killed_is_not_waited_for(tmp_path: Path):
    if not this_process()["place"]:
        pytest.skip("processes cannot be told apart here")
    code = (
        "import sys, time\n"
        "from texture_store.objects import open_storage\n"
        "from texture_store.store.leases import lease\n"
        "with lease(open_storage(sys.argv[1]), 'steel', 'reevaluate'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    storage = open_storage(str(tmp_path))
    with pytest.raises(LeaseHeldError), lease(storage, "steel", "reevaluate"):
        pass
    holder.kill()
    holder.wait()
    with lease(storage, "steel", "reevaluate") as held:
        assert f"process {holder.pid}" in held.took_over
        assert "its process is gone" in held.took_over


def test_a_process_with_the_same_number_is_another_one(tmp_path: Path):
    """Numbers of processes come again; when it began tells them apart."""
    if not this_process()["place"]:
        pytest.skip("processes cannot be told apart here")
    storage = open_storage(str(tmp_path))
    held_by(tmp_path, 1, at=now(), pid=os.getpid(), place=this_process()["place"], process="1")
    with lease(storage, "steel", "reevaluate") as held:
        assert "its process is gone" in held.took_over


def test_without_the_right_to_write_there_is_one_clear_line(tmp_path: Path, without_rights):
    storage = open_for_writing(str(tmp_path / "store"))
    (tmp_path / "store").chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and len(folder.parts) > 2:
            folder.chmod(0o755)
    with without_rights(), pytest.raises(StoragePermissionError) as caught, lease(storage, "steel", "reevaluate"):
        pytest.fail("nobody may write here")
    assert str(tmp_path / "store") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.s3
def test_on_s3(s3_url: str):
    storage = open_storage(f"{s3_url}/store")
    with lease(storage, "steel", "reevaluate") as first:
        assert first.number == 1
        with pytest.raises(LeaseHeldError), lease(storage, "steel", "reevaluate"):
            pass
    with lease(storage, "steel", "reevaluate") as second:
        assert second.number == 2
