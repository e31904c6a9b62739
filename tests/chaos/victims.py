"""The processes of one run, by what they do: those below its driver, never others of this machine."""

import os
import signal
import time
from pathlib import Path

KINDS = {
    "load worker": "(_load)",
    "extract actor": "_ExtractActor",
    "write worker": "(_write)",
    "raylet": "/raylet/raylet",
}
"""What the command line of each says; Ray names a worker by the task that it is at."""


def below(pid: int) -> dict[int, str]:
    """Command line of each process that descends from one."""
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            if one != pid:
                found[one] = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                waiting += [int(child) for child in children.read_text().split()]
        except OSError:
            continue  # it has ended meanwhile
    return found


def of_kind(pid: int, kind: str) -> list[int]:
    """Processes of a kind below a driver."""
    return [one for one, name in below(pid).items() if KINDS[kind] in name]


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pids: list[int], *, seconds: float = 200) -> None:
    """Ray's workers end with their driver; what they still write until then is like any late writer."""
    deadline = time.monotonic() + seconds
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < deadline, f"outlived their driver by {seconds:.0f} s"
        time.sleep(0.1)
