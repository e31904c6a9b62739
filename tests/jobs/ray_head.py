"""A Ray cluster of one node in processes of its own, as `ray start --head` makes it, on loopback and its own ports."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_START = """
import sys
import ray._private.utils, ray._private.node
ray_version, python_version = sys.argv.pop(1), sys.argv.pop(1)
if ray_version != "own":
    ray.__version__ = ray_version
if python_version != "own":
    sys.version_info = tuple(int(part) for part in python_version.split("."))
from ray.scripts.scripts import main
main()
"""


@dataclass(frozen=True)
class Head:
    """A running head node."""

    address: str
    """HOST:PORT that `--address` takes."""
    dashboard: str
    """URL that jobs are submitted to."""
    environment: Mapping[str, str]
    """What a client of it needs: its token."""
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def ray_head(
    *,
    ray_version: str = "own",
    python_version: str = "own",
    dashboard: bool = False,
    num_cpus: int = 2,
    num_gpus: int = 0,
) -> Iterator[Head]:
    """Start a head node; another version is what it tells of itself, in its real metadata."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # short: the paths of Unix sockets are limited
    port, dashboard_port, *others = _free_ports(7)
    # The last one: else Ray takes 127.0.0.1 for the outward address of this machine.
    token = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # The `python` of submitted jobs.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment |= token | {"RAY_USAGE_STATS_ENABLED": "0"}
    names = ["node-manager-port", "object-manager-port", "dashboard-agent-listen-port", "metrics-export-port"]
    command = [sys.executable, "-c", _START, ray_version, python_version, "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}", f"--num-cpus={num_cpus}"]
    command += [f"--num-gpus={num_gpus}", f"--include-dashboard={str(dashboard).lower()}"]
    command += [f"--dashboard-port={dashboard_port}"]
    command += ["--dashboard-host=127.0.0.1", "--object-store-memory=200000000", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in zip(names, others, strict=False)]
    process = _started(command, environment, Path(folder) / "out")
    try:
        if dashboard:
            _wait_for_port(dashboard_port)
        yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}", token, process)
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the head and all that it started, and nothing else; SIGTERM would drain it for half a minute."""
    for pid in [process.pid, *_below(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _started(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    # Ray gives its own start 30 s, fixed, which a busy machine does not always keep.
    for _ in range(3):
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        while process.poll() is None:
            if "Ray runtime started" in log.read_text(errors="replace"):
                return process
            time.sleep(0.2)
        if "timed out during startup" not in log.read_text(errors="replace"):
            break
    raise AssertionError(log.read_text(errors="replace")[-3000:])


def _wait_for_port(port: int) -> None:
    # The dashboard comes up after the node says that it has started.
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the dashboard did not start within 120 s"
            time.sleep(0.2)


def _below(pid: int) -> list[int]:
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return children + [descendant for child in children for descendant in _below(child)]


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
