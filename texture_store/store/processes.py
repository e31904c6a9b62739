"""Which process wrote something, and whether it is gone: told only of processes of this machine."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What tells this process from all others, also from those of another container with the same host name."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "place": _place(), "process": _began(os.getpid())}


def is_gone(holder: Mapping[str, Any]) -> bool:
    """Whether `holder` (of `this_process`, there) was a process of this machine, and is none any more."""
    pid, place = holder.get("pid"), _place()
    if not isinstance(pid, int) or not place or holder.get("place") != place or not holder.get("process"):
        return False
    return _began(pid) != str(holder["process"])


def _place() -> str:
    """This boot of this machine and its process numbers; empty where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When a process began, in ticks since the boot; empty when there is none, or when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
