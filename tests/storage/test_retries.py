"""The retry budget itself: which errors, how long, how often, and what is said meanwhile."""

import errno
import itertools
import logging
import ssl
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from texture_store.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageFullError,
    StoragePermissionError,
    StoreError,
    TransientStoreError,
    UsageError,
)
from texture_store.objects import open_storage
from texture_store.storage import local_files, retries
from texture_store.storage.retries import persist

URL = "/store/a"


class Failing:
    """Raises these errors, one a call; after them it answers."""

    def __init__(self, *errors: Exception) -> None:
        self.left = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return "answer"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made; the clock goes on by them."""
    made: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", made.append)
    monkeypatch.setattr("tenacity.time.monotonic", lambda: sum(made))
    monkeypatch.setattr("texture_store.storage.retries.time.monotonic", lambda: sum(made))
    monkeypatch.setattr(retries, "_slow", retries._Slow())
    monkeypatch.setenv("TEXTURE_STORE_RETRY_SECONDS", "120")
    return made


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.ENOTCONN])
def test_an_error_that_passes_is_tried_again(pauses, number):
    request = Failing(*[OSError(number, "not now")] * 5)
    assert persist(request, URL) == "answer"
    assert request.calls == 6


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, ObjectNotFoundError),
        (errno.EEXIST, ObjectExistsError),
        (errno.EACCES, StoragePermissionError),
        (errno.ENOSPC, StorageFullError),
        (errno.EIO, StoreError),
    ],
)
def test_an_error_that_stays_is_met_once(pauses, number, kind):
    request = Failing(OSError(number, "no"))
    with pytest.raises(kind):
        persist(request, URL)
    assert (request.calls, pauses) == (1, [])


def test_the_budget_outlasts_a_minute_without_storage_and_ends(pauses):
    request = Failing(*[ConnectionRefusedError(errno.ECONNREFUSED, "refused")] * 10_000)
    with pytest.raises(TransientStoreError, match=r"/store/a: refused; run again"):
        persist(request, URL)
    assert 60 < sum(pauses) <= 120
    assert request.calls < 100


def test_pauses_are_random_below_a_bound_that_doubles(pauses):
    runs = []
    for _ in range(40):
        pauses.clear()
        persist(Failing(*[TimeoutError()] * 8), URL)
        runs.append(list(pauses))
    for place, made in enumerate(zip(*runs, strict=True)):
        bound = min(15.0, 0.2 * 2**place)
        assert all(0 <= pause <= bound for pause in made)
        assert min(made) < bound / 4
        assert max(made) > bound * 3 / 4


def test_of_requests_that_fail_with_four_in_ten_none_is_lost(pauses):
    import random

    chance = random.Random(7)
    for _ in range(2000):
        pauses.clear()
        errors = itertools.takewhile(lambda _: chance.random() < 0.4, itertools.repeat(ConnectionResetError()))
        assert persist(Failing(*errors), URL) == "answer"


def test_a_budget_that_is_no_number_is_wrong_usage(monkeypatch):
    monkeypatch.setenv("TEXTURE_STORE_RETRY_SECONDS", "long")
    with pytest.raises(UsageError, match="TEXTURE_STORE_RETRY_SECONDS=long: not a number"):
        persist(Failing(), URL)


def test_one_line_is_said_for_many_requests_and_one_when_it_is_over(monkeypatch, caplog):
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(retries, "_slow", retries._Slow())
    is_back = threading.Event()

    def request() -> None:
        if not is_back.is_set():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    timer = threading.Timer(3, is_back.set)
    timer.start()
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: persist(request, URL), range(20)))
    waiting, over = [record.getMessage() for record in caplog.records]
    assert waiting == "storage does not answer (/store/a: refused), waiting (a request is tried for 20 s)"
    assert over.startswith("storage answers again, after ")


def test_a_few_everyday_failures_say_nothing(pauses, caplog):
    with caplog.at_level(logging.WARNING):
        persist(Failing(TimeoutError(), TimeoutError()), URL)
    assert not caplog.records


# Local files: every kind of request is tried again, also the many looks of a listing.


def test_every_request_for_local_files_is_tried_again(tmp_path, pauses, monkeypatch):
    storage = open_storage(str(tmp_path))
    storage.create("folder/a", b"0123456789")
    for function, use, expected in (
        ("Path.open", lambda: storage.read("folder/a", start=1, end=3), b"12"),
        ("Path.stat", lambda: storage.info("folder/a").size, 10),
        ("os.scandir", lambda: [info.path for info in storage.list()], ["folder/a"]),
        ("Path.stat", lambda: [info.path for info in storage.list()], ["folder/a"]),
        ("os.fsync", lambda: storage.create("b", b"new"), None),
        ("os.link", lambda: storage.create("c", b"new"), None),
    ):
        with monkeypatch.context() as patch:
            struck = stale_twice(patch, function)
            assert use() == expected, function
        assert len(struck) == 2, function
    assert storage.read("b") == storage.read("c") == b"new"
    assert [info.path for info in storage.list()] == ["b", "c", "folder/a"]


def stale_twice(patch: pytest.MonkeyPatch, function: str) -> list[str]:
    """As on a network file system whose server has restarted: the first two calls fail."""
    owner, name = function.split(".")
    where = Path if owner == "Path" else local_files.os
    real: Callable[..., object] = getattr(where, name)
    struck: list[str] = []

    def stale(*args: object, **kwargs: object) -> object:
        if len(struck) < 2:
            struck.append(name)
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(*args, **kwargs)

    patch.setattr(where, name, stale)
    return struck


# TLS


@pytest.fixture
def tls_url(tmp_path: Path) -> str:
    """A server on loopback whose certificate nobody trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    import http.server

    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_certificate_that_is_not_trusted_is_met_once(tls_url, pauses, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", tls_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")
    with pytest.raises(StoreError, match="certificate verify failed") as caught:
        open_storage("s3://bucket").read("a")
    assert not isinstance(caught.value, TransientStoreError)
    assert pauses == []
