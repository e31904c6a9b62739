"""A cluster that cannot be joined: told in seconds, in one line."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from jobs import joining
from jobs.joining import check_address, explained, greet
from tests.jobs.conftest import texture_store
from tests.jobs.ray_head import Head, ray_head
from texture_store.errors import UsageError


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_port_that_nobody_listens_at(closed_port: int) -> None:
    with pytest.raises(UsageError, match=rf"no Ray at 127\.0\.0\.1:{closed_port}: Connection refused; start one"):
        check_address(f"127.0.0.1:{closed_port}")


def test_a_machine_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PROBE_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UsageError, match=r"no answer within .* s; is the cluster up"):
            greet("127.0.0.1", silent.getsockname()[1], name="the head")


def test_another_server() -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    with pytest.raises(UsageError, match="what answers at the head is not Ray"):
        greet("127.0.0.1", server.server_port, name="the head")
    server.server_close()


@pytest.mark.parametrize("address", ["cluster", "10.0.0.5", "host:port", "ray://127.0.0.1:10001", ""])
def test_what_is_no_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="write local, auto, or the HOST:PORT"):
        check_address(address)


def test_an_unknown_host() -> None:
    with pytest.raises(UsageError, match=r"no Ray at nowhere\.invalid:6379: .*; start one"):
        check_address("nowhere.invalid:6379")


def test_rays_text_of_two_versions_becomes_one_line() -> None:
    import ray._private.utils

    with pytest.raises(RuntimeError) as raised:
        ray._private.utils.check_version_info({"ray_version": "2.9.1", "python_version": "3.9.2"}, "node 10.0.0.7")
    line = str(explained(raised.value, "10.0.0.5:6379"))
    assert line.startswith("the Ray cluster at 10.0.0.5:6379 runs Ray 2.9.1 on Python 3.9.2, this is Ray 2.")
    assert "use one image" in line
    assert "\n" not in line


@pytest.mark.ray
def test_a_job_on_a_dead_cluster_fails_at_once(closed_port: int, archive: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert texture_store("index", "--store", store, "--dataset", "steel", str(archive)).returncode == 0
    arguments = ["featurize", "--store", store, "--dataset", "steel", "--size", "64", "--weights", "random:0"]
    result = texture_store(*arguments, "--address", f"127.0.0.1:{closed_port}", timeout=60)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"texture-store featurize: no Ray at 127.0.0.1:{closed_port}: Connection refused")
    assert "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def foreign_head() -> Iterator[Head]:
    """A cluster that says in its metadata that it runs an older Ray on another Python."""
    with ray_head(ray_version="2.50.1", python_version="3.10.4") as head:
        yield head


def _join(head: Head, **changes: str) -> str:
    code = f"""
from jobs.cluster import connected
from texture_store.errors import UsageError
try:
    with connected({head.address!r}):
        print("joined")
except UsageError as error:
    print(error)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= dict(head.environment) | changes
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return result.stdout.strip()


@pytest.mark.ray
def test_a_cluster_of_other_versions(foreign_head: Head) -> None:
    line = _join(foreign_head)
    assert line.startswith(f"the Ray cluster at {foreign_head.address} runs Ray 2.50.1 on Python 3.10.4, this is Ray ")


@pytest.mark.ray
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_wrong_token_and_none(foreign_head: Head, mode: str) -> None:
    line = _join(foreign_head, RAY_AUTH_MODE=mode, RAY_AUTH_TOKEN="0" * 64)
    assert line.startswith(f"the Ray cluster at {foreign_head.address} refused the token")
    assert "\n" not in line
