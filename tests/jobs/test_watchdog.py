"""A run in which nothing happens any more ends by itself, with one line that says what to do."""

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGSTOP

import pytest

from jobs.index import index
from jobs.watchdog import VARIABLE, Watchdog
from tests.chaos.victims import below, of_kind, send
from texture_store.errors import StalledError, UsageError

from .conftest import texture_store, write_archive
from .killing import commits, start_and_wait


def test_items_come_through_in_their_order_and_so_does_an_error():
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    found = []
    with pytest.raises(KeyError, match="third"):
        found.extend(Watchdog("work", minutes=1).watch(items()))
    assert list(Watchdog("work", minutes=1).watch([])) == []
    assert list(Watchdog("work", minutes=1).watch(range(100))) == list(range(100))


def test_what_hangs_is_stopped_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "0.002")
    release = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        release.wait()

    found = Watchdog("featurizing", minutes=30).watch(items())
    assert next(found) == 1
    with pytest.raises(StalledError, match=r"featurizing: nothing was done for .*run the same command again"):
        next(found)
    release.set()


def test_signs_of_life_keep_it_going(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "0.01")
    dog = Watchdog("featurizing", minutes=30)

    def items() -> Iterator[int]:
        pause = threading.Event()
        for _ in range(20):
            pause.wait(0.1)  # 2 s in all, over three times what is allowed
            dog.alive()
        yield 1

    assert list(dog.watch(items())) == [1]


def test_a_command_that_stands_still_ends_without_waiting_for_what_hangs():
    lines = """
        import atexit, threading
        import click
        from jobs.commands import JobCommand
        from texture_store.errors import StalledError

        @click.command("featurize", cls=JobCommand)
        def command():
            atexit.register(print, "waited for the end of others")
            threading.Thread(target=threading.Event().wait).start()
            raise StalledError("nothing was done")

        command()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(lines)], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == ["texture-store featurize: nothing was done"]


def test_who_stops_listening_stops_the_source():
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    for item in Watchdog("work", minutes=1).watch(items()):
        if item == 3:
            break
    assert closed.wait(20)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_minutes_that_are_none(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=f"{VARIABLE}={text}: write minutes"):
        Watchdog("work", minutes=1)


@pytest.mark.ray
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.*RANDOM")
def test_a_run_whose_actors_stand_still_ends_with_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = str(tmp_path / "store")
    archive = write_archive(tmp_path / "archive", count=40, enlarge=8)
    index(store, "steel", str(archive), shard_size=2)
    settings = ["--size", "64", "--layers", "conv1_2", "--weights", "random:0", "--precision", "float32"]
    arguments = ["featurize", "--store", store, "--dataset", "steel", *settings]
    monkeypatch.setenv(VARIABLE, "0.75")
    driver = start_and_wait(arguments, store, num_commits=2)
    family = below(driver.pid)
    stopped = of_kind(driver.pid, "extract actor")
    assert stopped
    try:
        assert all(send(pid, SIGSTOP) for pid in stopped)
        _, errors = driver.communicate(timeout=400)
    finally:
        for pid in family:
            send(pid, SIGKILL)
    assert driver.returncode == 1, errors
    (line,) = [line for line in errors.splitlines() if "nothing was done for" in line]
    assert "run the same command again" in line
    assert "Traceback" not in errors
    monkeypatch.delenv(VARIABLE)
    result = texture_store(*arguments)
    assert result.returncode == 0, result.stderr
    assert len(commits(store)) == 20
