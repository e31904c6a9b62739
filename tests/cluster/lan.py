"""A network of its own: a bridge that machines are plugged into, and no way out.

Everything is in namespaces without names, so that nothing is left once their processes have ended, however they end:
an interface goes with its namespace, and a namespace with the last process in it.
"""

import ipaddress
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

_TOOLS = ("ip", "nsenter", "setpriv", "unshare")
# The child ends with this process, and takes along what it has started.
_TIED = ["setpriv", "--pdeathsig", "KILL"]
_SPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

_NEEDED = (
    "ip link add lan0 type bridge",
    "ip link add one0 type veth peer name two0",
    "mount -t tmpfs tmpfs /mnt",
)


def skip_unless_possible() -> None:
    """Skip the test on a machine that gives us no namespaces."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (iproute2 and util-linux)")
    tried = subprocess.run(
        [*_SPACES, "sh", "-c", " && ".join(_NEEDED)],
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        pytest.skip(f"needs the right to make network namespaces, as root has it: {tried.stderr.strip()}")


class Lan:
    """The bridge, and this machine's own interface on it. `close` it."""

    def __init__(self) -> None:
        self._network = _free_network()
        self._given = iter(self._network.hosts())
        self.host = str(next(self._given))
        """This machine's address on it: the only thing outside that a machine on it can reach."""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._switch = self._spawn([*_TIED, "unshare", "--net", "sleep", "infinity"])
        _in(self._switch, "link", "add", "lan", "type", "bridge")
        _in(self._switch, "link", "set", "lan", "up")
        name = f"lan{secrets.token_hex(3)}"
        self._plug(name, os.getpid())
        _ip("addr", "add", f"{self.host}/{self._network.prefixlen}", "dev", name)
        _ip("link", "set", name, "up")

    def machine(self, command: Sequence[str], *, log: Path, environment: dict[str, str]) -> "Machine":
        """Start one: a process tree with a network, process numbers and mounts of its own; `command` is its first.

        The command finds its interface as `eth0`, once it is there, and its address in ADDRESS.
        """
        address = str(next(self._given))
        environment = environment | {"ADDRESS": address, "PREFIX": str(self._network.prefixlen)}
        with log.open("wb") as out:
            process = self._spawn([*_TIED, *_SPACES, *command], environment=environment, out=out)
        self._plug("eth0", process.pid)
        return Machine(address, process, log)

    def _spawn(
        self,
        command: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        out: int | IO[bytes] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        self._processes.append(process)
        _wait_for_network_of(process)
        return process

    def _plug(self, name: str, pid: int) -> None:
        """A cable from the bridge to an interface `name` in the network of a process."""
        port = f"port{len(self._processes)}" if pid != os.getpid() else "uplink"
        cable = ["link", "add", port, "type", "veth", "peer", "name", name, "netns", str(pid)]
        _in(self._switch, *cable)
        _in(self._switch, "link", "set", port, "master", "lan", "up")

    def close(self) -> None:
        """Kill all that is on it; with them goes the rest."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()


class Machine:
    """One on the network."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.address = address
        self.log = log
        self._process = process

    def run(self, *command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command on it."""
        inside = ["nsenter", "--target", str(self._first), "--net", "--mount", "--pid", "--", *command]
        return subprocess.run(inside, env=environment, capture_output=True, text=True, timeout=300)

    @property
    def is_on(self) -> bool:
        return self._process.poll() is None

    def power_off(self) -> None:
        """SIGKILL to all of its processes at one moment: the kernel does so when the first of them goes."""
        self._process.kill()
        self._process.wait()

    @property
    def _first(self) -> int:
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])


def _network(process: Path) -> str:
    try:
        return str((process / "ns" / "net").readlink())
    except OSError:
        return ""


def _free_network() -> ipaddress.IPv4Network:
    """One of the networks that are set aside for tests (RFC 2544), which this machine has no route to."""
    taken = _ip("-4", "route", "show", "table", "all")
    for number in range(os.getpid() % 256, 256 + os.getpid() % 256):
        network = ipaddress.IPv4Network(f"198.18.{number % 256}.0/24")
        if f"198.18.{number % 256}." not in taken:
            return network
    raise AssertionError("no free network below 198.18.0.0/16")


def _wait_for_network_of(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while _network(Path(f"/proc/{process.pid}")) in ("", _network(Path("/proc/self"))):
        assert process.poll() is None, "a namespace was not made"
        assert time.monotonic() < deadline, "a namespace was not made within 30 s"
        time.sleep(0.01)


def _in(process: subprocess.Popen[bytes], *arguments: str) -> None:
    command = ["nsenter", "--target", str(process.pid), "--net", "ip", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
