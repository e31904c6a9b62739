"""SeaweedFS, an S3 server, on loopback: for benchmarks, and for tests."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from texture_store.errors import StoreError

START_SECONDS = 60
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


def weed_binary() -> Path | None:
    """SeaweedFS' `weed`, beside this Python or on the path."""
    beside = Path(sys.executable).parent / "weed"
    if beside.is_file():
        return beside
    found = shutil.which("weed")
    return Path(found) if found else None


@contextlib.contextmanager
def seaweed(weed: Path, folder: Path, *, access_key: str, secret_key: str) -> Iterator[str]:
    """The endpoint of a SeaweedFS on loopback with its data in `folder`, killed at the end of the block.

    Raises StoreError when it does not answer within START_SECONDS.
    """
    identity = {
        "name": "local",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": _ACTIONS,
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = free_ports(4)
    command = server_command(weed, folder, ports)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 (the binary that was found)
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=server_environment(),
        )
    endpoint = f"http://127.0.0.1:{ports[3]}"
    try:
        _wait_until_ready(endpoint, process, log)
        yield endpoint
    finally:
        process.kill()  # SIGTERM takes it 27 s
        process.wait()


def server_command(weed: Path, folder: Path, ports: Sequence[int]) -> list[str]:
    """What starts a server with its data and its `s3.json` in `folder`, on loopback; the last of four ports is S3's."""
    master, volume, filer, s3 = ports
    # setpriv (util-linux): a run that is killed takes its server along.
    command = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    command += [str(weed), "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={s3}"]
    # Each bucket takes a volume at least, and of these there are as many as the free space has room for: with 1 GB
    # each, a run of the tests on a disk with 55 GB left was refused writes to its newest buckets.
    command += [f"-s3.config={folder / 's3.json'}", "-volume.max=0", "-master.volumeSizeLimitMB=64"]
    # Telemetry is on by default.
    command += ["-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=300ms"]
    return [*command, "-volume.readMode=local", "-s3.port.iceberg=0", "-s3.port.lance=0"]


def server_environment() -> dict[str, str]:
    """What `server_command` runs in."""
    return {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def free_ports(number: int) -> list[int]:
    """Ports whose +10000 neighbour, which SeaweedFS takes for gRPC, is free too."""
    found: list[int] = []
    while len(found) < number:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        port = port - 10000 if port > 55000 else port
        if port in found or {port - 10000, port + 10000} & set(found):
            continue
        with contextlib.suppress(OSError), _reserved(port), _reserved(port + 10000):
            found.append(port)
    return found


@contextlib.contextmanager
def _reserved(port: int) -> Iterator[None]:
    with socket.socket() as reservation:
        reservation.bind(("127.0.0.1", port))
        yield


def _wait_until_ready(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            try:
                direct.open(f"{endpoint}/", timeout=1)
            except urllib.error.HTTPError as answer:
                if answer.code in (401, 403):  # it answers, and wants a signature
                    return
        time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise StoreError(f"SeaweedFS did not start: {''.join(last) or 'no answer'}; name a server with --s3")
