"""What goes wrong with S3: a server that fails now and then, refuses, or ignores conditions."""

import os

import pytest

from texture_store.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StoragePermissionError,
    TransientStoreError,
    UnsafeStorageError,
)
from texture_store.objects import open_storage

DIGITS = b"0123456789"

pytestmark = pytest.mark.s3


@pytest.mark.parametrize("fault", ["503", "reset", "lost reply"])
def test_every_request_survives_a_server_that_fails_now_and_then(s3_url, s3_faults, fault):
    storage = open_storage(s3_url)
    for use, expected in (
        (lambda: storage.create("a", DIGITS), None),
        (lambda: storage.read("a", start=1, end=3), b"12"),
        (lambda: storage.info("a").size, 10),
        (lambda: [info.path for info in storage.list()], ["a"]),
        (storage.exists, True),
    ):
        s3_faults.fail(fault, times=2)
        assert use() == expected
    assert len(s3_faults.requests) >= 15


def test_a_body_that_is_cut_is_read_again(s3_url, s3_faults):
    storage = open_storage(s3_url)
    content = os.urandom(300_000)
    storage.create("a", content)
    s3_faults.fail("cut", times=2, method="GET")
    assert storage.read("a") == content


def test_a_lost_reply_does_not_hide_that_another_one_came_first(s3_url, s3_faults):
    storage = open_storage(s3_url)
    storage.create("a", b"theirs")
    s3_faults.fail("lost reply", method="PUT")
    with pytest.raises(ObjectExistsError):
        storage.create("a", b"ours")
    assert storage.read("a") == b"theirs"


def test_when_the_budget_is_used_up_the_error_says_what_storage_said(s3_url, s3_faults, monkeypatch):
    monkeypatch.setenv("TEXTURE_STORE_RETRY_SECONDS", "3")
    s3_faults.fail("503", times=1000)
    with pytest.raises(TransientStoreError, match=r"s3://.*/a: Please reduce your request rate; run again"):
        open_storage(s3_url).read("a")
    assert len(s3_faults.requests) > 1


def test_what_will_not_get_better_is_asked_once(s3_url, s3_faults, monkeypatch):
    storage = open_storage(s3_url)
    with pytest.raises(ObjectNotFoundError):
        storage.read("nothing")
    with pytest.raises(ObjectNotFoundError, match="no such bucket"):
        list(open_storage("s3://no-such-bucket-here").list())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrongwrong")
    for use in (lambda: storage.read("a"), lambda: storage.create("a", b""), lambda: list(storage.list())):
        with pytest.raises(StoragePermissionError, match="check the credentials") as caught:
            use()
        assert "wrongwrong" not in str(caught.value)
        assert "testkey" not in str(caught.value)
    assert len(s3_faults.requests) == 5


def test_a_server_that_accepts_the_condition_and_ignores_it_is_refused(s3_url, s3_faults):
    storage = open_storage(s3_url)
    storage.create("store.json", b"{}")
    s3_faults.fail("ignore condition", method="PUT")
    with pytest.raises(UnsafeStorageError, match="concurrent writers would lose data"):
        storage.verify_exclusive_create("store.json")


def test_without_credentials_the_error_says_where_they_belong(s3_url, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoragePermissionError, match=r"AWS_\* environment"):
        open_storage(s3_url).read("a")


def test_an_object_of_many_parts_is_created_only_once(s3_url):
    storage = open_storage(s3_url)
    content = os.urandom(1 << 20) * 110  # over s3fs's 100 MB for one PUT
    storage.create("large", content)
    with pytest.raises(ObjectExistsError):
        storage.create("large", bytes(len(content)))
    assert storage.read("large") == content
