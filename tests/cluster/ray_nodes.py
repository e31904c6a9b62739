"""A Ray cluster as an operator starts it, `ray start` by `ray start`, each node a machine of its own on a `Lan`."""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.cluster import HEALTH, KEEPALIVE

from .lan import Lan, Machine

ROOT = Path(__file__).parents[2]
_SET_UP = Path(__file__).with_name("node.sh")
GCS, DASHBOARD = 6379, 8265
START_SECONDS = 300


class RayNodes:
    """Starts them. A context manager; all are killed at the end.

    A node sees the files of this machine, but has a home, a `/dev/shm` and a folder for Ray of its own, all empty.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` of every node, beside what Ray needs."""
        self.lan = Lan()
        self.folder = Path(tempfile.mkdtemp(prefix="n", dir="/tmp"))  # short: the paths of Unix sockets are limited
        self.own_folder = own = self.folder / "own"
        own.mkdir()
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(own / "home"),
            "OWN_FOLDER": str(own),
            "RAY_USAGE_STATS_ENABLED": "0",
            **KEEPALIVE,
            **self.token,
            **environment,
        }
        self._ray_folder = str(own / "ray")
        self.head: Machine | None = None

    def start_head(self) -> Machine:
        """One that leads, and has no processor to give. Comes back when it takes jobs."""
        self.head = self._start(
            "head", ["--head", f"--port={GCS}", "--dashboard-host=0.0.0.0"], cpus=0, gpus=0, **HEALTH
        )
        self.wait([self.head])
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "the dashboard did not start"
            time.sleep(0.2)
        return self.head

    def start(self, name: str, *, cpus: int, gpus: int) -> Machine:
        """One that works, with logical GPUs. Does not wait for it."""
        assert self.head is not None
        return self._start(name, [f"--address={self.head.address}:{GCS}"], cpus=cpus, gpus=gpus)

    def wait(self, machines: list[Machine]) -> None:
        """Until they have joined."""
        deadline = time.monotonic() + START_SECONDS
        for machine in machines:
            while "Ray runtime started" not in machine.log.read_text(errors="replace"):
                is_late = time.monotonic() > deadline
                assert machine.is_on and not is_late, machine.log.read_text(errors="replace")[-3000:]  # noqa: PT018
                time.sleep(0.1)

    @property
    def dashboard(self) -> str:
        assert self.head is not None
        return f"http://{self.head.address}:{DASHBOARD}"

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """What Ray itself lists of its `nodes`, `actors` or `tasks`, the dead ones too."""
        answer = json.loads(self._get(f"/api/v0/{kind}?limit=10000&detail=true"))
        assert answer["result"], answer["msg"]
        found: list[dict[str, Any]] = answer["data"]["result"]["result"]
        return found

    def id_of(self, machine: Machine) -> str:
        """Of its node in Ray."""
        (node,) = (one["node_id"] for one in self.listed("nodes") if one["node_ip"] == machine.address)
        return str(node)

    def notice(self, machine: Machine, *, seconds: int) -> None:
        """Tell the cluster that this machine will be taken away so soon, as clouds do of a spot machine."""
        assert self.head is not None
        told = self.head.run(
            "ray",
            "drain-node",
            f"--address={self.head.address}:{GCS}",
            f"--node-id={self.id_of(machine)}",
            "--reason=DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message=the machine is taken away",
            f"--deadline-remaining-seconds={seconds}",
            environment=self.environment,
        )
        assert told.returncode == 0, told.stderr

    def _start(self, name: str, arguments: list[str], *, cpus: int, gpus: int, **environment: str) -> Machine:
        command = ["ray", "start", "--block", "--disable-usage-stats", f"--temp-dir={self._ray_folder}"]
        command += [f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--object-store-memory=100000000", *arguments]
        log = self.folder / f"{name}.log"
        environment = self.environment | environment | {"LOG": str(log)}
        return self.lan.machine(["bash", str(_SET_UP), *command], log=log, environment=environment)

    def _answers(self) -> bool:
        try:
            return bool(self._get("/api/version"))
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(self.dashboard + path)
        request.add_header("Authorization", f"Bearer {self.token['RAY_AUTH_TOKEN']}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def __enter__(self) -> "RayNodes":
        return self

    def __exit__(self, *_: object) -> None:
        self.lan.close()
        shutil.rmtree(self.folder, ignore_errors=True)
