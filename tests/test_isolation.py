"""What kills a process costs one input, and only where it does so alone and again."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from texture_store.errors import (
    IsolationError,
    OutOfMemoryError,
    ProcessKilledError,
    RejectedImageError,
    TimedOutError,
    UnreadableImageError,
)
from texture_store.isolation import ATTEMPTS_ALONE, Isolated, Limits

TIGHT = Limits(memory_bytes=200 * 2**20, cpu_seconds=1, wall_seconds=240)
IMPATIENT = Limits(wall_seconds=2)
PID = "__import__('os').getpid()"


@pytest.fixture
def evaluate() -> Isolated:
    """Python's eval in another process: the expression is the input."""
    return Isolated("builtins:eval", TIGHT)


def test_calls_go_through_one_other_process_that_lives_on(evaluate: Isolated) -> None:
    first = evaluate(PID)
    assert first != os.getpid()
    assert [evaluate("x + 1", {"x": 41}), evaluate(PID)] == [42, first]


def test_an_error_of_the_function_is_raised_here_and_ends_nothing(evaluate: Isolated) -> None:
    first = evaluate(PID)
    with pytest.raises(ZeroDivisionError):
        evaluate("1 / 0")
    rejecting = Isolated("texture_store.micrograph.decode:decode")
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        rejecting(b"")
    assert evaluate(PID) == first


DEATHS = {
    "__import__('ctypes').string_at(0)": (ProcessKilledError, "SIGSEGV"),
    "__import__('os').abort()": (ProcessKilledError, "SIGABRT"),
    "__import__('os')._exit(3)": (ProcessKilledError, "exit status 3"),
    "__import__('os').kill(__import__('os').getpid(), 9)": (ProcessKilledError, "SIGKILL"),
    "all(True for _ in iter(int, 1))": (TimedOutError, "1 s of processor time"),
    "bytearray(300 * 2**20)": (OutOfMemoryError, "more than 0.195312 GiB"),
    "[bytearray(2**20) for _ in iter(int, 1)]": (OutOfMemoryError, "of memory"),
}


@pytest.mark.parametrize("expression", DEATHS)
def test_an_input_that_ends_every_process_is_rejected_with_its_reason_and_the_next_one_is_read(
    evaluate: Isolated, expression: str
) -> None:
    error, reason = DEATHS[expression]
    with pytest.raises(error, match=reason) as caught:
        evaluate(expression)
    assert isinstance(caught.value, RejectedImageError)
    assert caught.value.stage == "isolation"
    assert "\n" not in str(caught.value)
    assert evaluate("6 * 7") == 42


def test_memory_below_the_limit_is_given(evaluate: Isolated) -> None:
    assert evaluate("len(bytearray(150 * 2**20))") == 150 * 2**20


def dies_first(log: Path, times: int) -> str:
    """An expression that ends its process so many times, and counts its processes in a file."""
    die = "__import__('os').kill(__import__('os').getpid(), 9)"
    return f"open({str(log)!r}, 'a').write('x') and len(open({str(log)!r}).read()) <= {times} and {die} or 'read'"


def test_an_input_has_a_bounded_number_of_processes(evaluate: Isolated, tmp_path: Path) -> None:
    with pytest.raises(ProcessKilledError):
        evaluate(dies_first(tmp_path / "log", 1000))
    assert len((tmp_path / "log").read_text()) == 1 + ATTEMPTS_ALONE


@pytest.mark.parametrize("times", range(1, 1 + ATTEMPTS_ALONE))
def test_an_input_that_is_read_by_one_process_alone_is_not_rejected(
    evaluate: Isolated, tmp_path: Path, times: int
) -> None:
    assert evaluate(dies_first(tmp_path / "log", times)) == "read"


def test_a_process_killed_from_outside_rejects_nothing(evaluate: Isolated) -> None:
    pid = evaluate(PID)
    os.kill(pid, signal.SIGKILL)  # between two inputs
    assert evaluate("'healthy'") == "healthy"
    pid = evaluate(PID)
    killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))  # and in the middle of one
    killer.start()
    assert evaluate("__import__('time').sleep(1) or 'healthy'") == "healthy"
    assert evaluate(PID) != pid


def test_an_input_that_waits_for_ever_is_rejected() -> None:
    evaluate = Isolated("builtins:eval", IMPATIENT)
    with pytest.raises(TimedOutError, match="no answer in 2 s"):
        evaluate("__import__('time').sleep(60)")
    assert evaluate("6 * 7") == 42


def test_a_stopped_process_is_given_up_and_rejects_nothing() -> None:
    evaluate = Isolated("builtins:eval", IMPATIENT)
    os.kill(evaluate(PID), signal.SIGSTOP)
    assert evaluate("'healthy'") == "healthy"
    os.kill(evaluate(PID), signal.SIGSTOP)
    assert evaluate("len(x)", {"x": bytes(20 * 2**20)}) == 20 * 2**20  # more than the socket takes


def test_no_input_is_to_blame_for_a_process_that_does_not_start() -> None:
    with pytest.raises(IsolationError, match=r"no process could be started for no\.such:thing: ModuleNotFoundError"):
        Isolated("no.such:thing")("x")


def test_the_process_ends_with_the_one_that_asks(tmp_path: Path) -> None:
    code = "from texture_store.isolation import Isolated; import time; f = Isolated('builtins:eval')\n"
    code += f"print(f({PID!r}), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        asking.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it outlives the process that asks"
        time.sleep(0.02)


def test_the_interrupt_of_a_terminal_is_for_the_process_that_asks(evaluate: Isolated) -> None:
    pid = evaluate(PID)
    os.kill(pid, signal.SIGINT)
    assert evaluate(PID) == pid


def test_callers_in_several_threads_get_their_own_answers(evaluate: Isolated) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: evaluate(f"{n} ** 2"), range(200))) == [n**2 for n in range(200)]
