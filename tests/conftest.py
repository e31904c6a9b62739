"""What tests share: the real micrographs, an S3 server for the run, and a fresh bucket per test."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import FaultProxy
from tests.seaweed import SeaweedFS

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
    server = SeaweedFS.start(tmp_path_factory.mktemp("seaweedfs"))
    with server, pytest.MonkeyPatch.context() as environment:
        for name, value in server.environment.items():
            environment.setenv(name, value)
        yield server.url


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """A fresh bucket."""
    from texture_store.storage.connections import connect

    name = f"test-{uuid.uuid4().hex[:12]}"
    with contextlib.suppress(FileExistsError):  # after a reply that came too late on a busy machine
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
