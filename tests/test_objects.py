"""One contract for every kind of storage, and what goes wrong on each."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from texture_store.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    UsageError,
)
from texture_store.objects import Storage, open_storage
from texture_store.storage.error_translation import without_secrets

DIGITS = b"0123456789"


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "new" / "folder"))
    return open_storage(f"{request.getfixturevalue('s3_url')}/pre/fix")


# What holds everywhere


def test_what_was_created_is_read_back_whole_and_in_ranges(storage):
    storage.create("a/b.bin", DIGITS)
    assert storage.read("a/b.bin") == DIGITS
    assert storage.read("a/b.bin", start=2, end=4) == b"23"
    assert storage.read("a/b.bin", start=7) == b"789"
    assert storage.read("a/b.bin", end=3) == b"012"


def test_a_range_behind_the_end_is_short_or_empty(storage):
    storage.create("a", DIGITS)
    assert storage.read("a", start=8, end=20) == b"89"
    assert storage.read("a", start=10, end=20) == b""
    assert storage.read("a", start=4, end=4) == b""


def test_an_empty_object_can_be_created_and_read(storage):
    storage.create("empty", b"")
    assert storage.read("empty") == b""
    assert storage.info("empty").size == 0


def test_what_exists_is_never_overwritten(storage):
    storage.create("a", b"first")
    with pytest.raises(ObjectExistsError, match="exists already"):
        storage.create("a", b"second")
    assert storage.read("a") == b"first"


def test_creating_the_same_bytes_again_is_refused_too(storage):
    storage.create("a", b"first")
    with pytest.raises(ObjectExistsError):
        storage.create("a", b"first")


def test_of_racing_threads_exactly_one_creates(storage):
    for round_ in range(3):
        barrier = threading.Barrier(6)

        def write(who: int, round_: int = round_, barrier: threading.Barrier = barrier) -> bytes | None:
            barrier.wait()
            try:
                storage.create(f"race/{round_}", b"%d" % who * 1000)
            except ObjectExistsError:
                return None
            return b"%d" % who * 1000

        with ThreadPoolExecutor(6) as threads:
            winners = [content for content in threads.map(write, range(6)) if content is not None]
        assert winners == [storage.read(f"race/{round_}")]


RACE = """
import sys
from texture_store.errors import ObjectExistsError
from texture_store.objects import open_storage
storage = open_storage(sys.argv[1])
sys.stdin.readline()
for key in range(6):
    try:
        storage.create(f"race/{key}", sys.argv[2].encode())
        print(key)
    except ObjectExistsError:
        pass
"""


def test_of_racing_processes_exactly_one_creates(storage):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, storage.url, who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for who in "abc"
    ]
    outputs = [racer.communicate("go\n", timeout=60)[0] for racer in racers]
    assert all(racer.returncode == 0 for racer in racers)
    won = {who: output.split() for who, output in zip("abc", outputs, strict=True)}
    assert sorted(key for keys in won.values() for key in keys) == [str(key) for key in range(6)]
    for who, keys in won.items():
        assert all(storage.read(f"race/{key}") == who.encode() for key in keys)


def test_a_reader_meets_the_whole_object_or_none(storage):
    content = os.urandom(1 << 20)
    done = threading.Event()
    seen: set[int] = set()

    def watch() -> None:
        while not done.is_set():
            for key in range(8):
                try:
                    seen.add(len(storage.read(f"big/{key}")))
                except ObjectNotFoundError:
                    seen.add(-1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for key in range(8):
        storage.create(f"big/{key}", content)
    done.set()
    watcher.join()
    assert seen <= {-1, len(content)}
    assert all(storage.read(f"big/{key}") == content for key in range(8))


def test_a_listing_is_recursive_and_relative_and_agrees_with_info(storage):
    for path in ("top", "a/one", "a/b/two", "ab/three"):
        storage.create(path, path.encode())
    listed = {info.path: info for info in storage.list()}
    assert sorted(listed) == ["a/b/two", "a/one", "ab/three", "top"]
    for path, info in listed.items():
        assert info.size == len(path)
        assert storage.info(path).version == info.version
    assert sorted(info.path for info in storage.list("a")) == ["a/b/two", "a/one"]  # a folder, not the start of a name


def test_the_listing_of_a_folder_that_is_not_there_is_empty(storage):
    assert list(storage.list()) == []
    assert list(storage.list("nothing/here")) == []


@pytest.mark.s3
def test_a_listing_of_more_than_one_page_is_complete(s3_url):
    storage = open_storage(s3_url)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: storage.create(f"n/{number:04}", b"x"), range(1050)))
    assert [info.path for info in storage.list("n")] == [f"n/{number:04}" for number in range(1050)]


def test_what_is_not_there_is_not_found(storage):
    storage.create("folder/file", b"x")
    for path in ("nothing", "folder/nothing", "folder"):
        with pytest.raises(ObjectNotFoundError, match=path):
            storage.info(path)
        assert not storage.exists(path)
    with pytest.raises(ObjectNotFoundError, match="no such file or object"):
        storage.read("folder/nothing")


def test_a_place_exists_when_something_lies_there(storage):
    assert not storage.exists()
    storage.create("a", b"")
    assert storage.exists()
    assert storage.exists("a")


def test_reading_another_version_than_the_listed_one_is_refused(storage):
    storage.create("a", DIGITS)
    version = storage.info("a").version
    assert storage.read("a", start=1, end=3, version=version) == b"12"
    with pytest.raises(ObjectChangedError, match="changed since it was listed"):
        storage.read("a", start=1, end=3, version="another")


def test_storage_pickles_as_its_url(storage):
    storage.create("a", DIGITS)
    copy = pickle.loads(pickle.dumps(storage))
    assert copy.url == storage.url
    assert copy.read("a") == DIGITS
    assert len(pickle.dumps(storage)) < 300


def test_a_forked_process_opens_its_own_connection(storage):
    storage.create("a", DIGITS)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(storage.read, ("a",)).get(timeout=30) == DIGITS


def test_fsspec_reads_the_full_path(storage):
    storage.create("a/b", DIGITS)
    assert storage.filesystem.cat_file(storage.full_path("a/b")) == DIGITS


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/passwd", "a/./b", "a\0b"])
def test_a_path_stays_inside_the_storage(storage, path):
    for use in (storage.read, storage.info, storage.full_path, lambda path: storage.create(path, b"")):
        with pytest.raises(UsageError):
            use(path)


def test_storage_that_creates_exclusively_passes_the_check_before_writing(storage):
    storage.create("store.json", b"{}")
    storage.verify_exclusive_create("store.json")
    assert storage.read("store.json") == b"{}"


# URLs

SECRETS = ["s3://AKIDEXAMPLE:wJalrXUtn@bucket/x", "s3://AKIDEXAMPLE:wJal/rXUtn@bucket/x", "s3://wJalrXUtn@bucket/x"]
SECRETS += ["s3://bucket/x?X-Amz-Signature=wJalrXUtn", "https://user:wJalrXUtn@host/x", "https://host/x?sig=wJalrXUtn"]
SECRETS += ["sftp://user:wJalrXUtn@host/x", "simplecache::s3://AKIDEXAMPLE:wJalrXUtn@bucket", "S3://a:wJalrXUtn@bucket"]


@pytest.mark.parametrize("url", SECRETS)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    with pytest.raises(UsageError, match="give credentials in the environment") as caught:
        open_storage(url)
    assert "rXUtn" not in str(caught.value)
    assert "AKIDEXAMPLE" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"), [("", "empty"), ("s3://", "bucket"), ("s4://bucket", "no storage protocol")]
)
def test_a_url_that_cannot_be_storage_is_refused(url, reason):
    with pytest.raises(UsageError, match=reason):
        open_storage(url)


def test_urls_of_one_place_are_written_alike(tmp_path):
    (tmp_path / "a b").mkdir()
    for url in (f"{tmp_path}/a b/", f"file://{tmp_path}/a%20b", f"file:{tmp_path}/a b", f"{tmp_path}/x/../a b"):
        assert open_storage(url).url == f"{tmp_path}/a b"
    assert open_storage("s3a://bucket/x//").url == "s3://bucket/x"
    assert open_storage("s3://bucket/x").url_of("y@2x.png") == "s3://bucket/x/y@2x.png"


def test_secrets_are_taken_out_of_foreign_messages(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtn")
    text = "no http://me:pw@host/\nwJalrXUtn https://b/x?X-Amz-Signature=abc&a=b sig=def \x1b[2J"
    assert without_secrets(text) == "no http://host/ *** https://b/x?X-Amz-Signature=***&a=b sig=*** [2J"


def test_what_is_removed_is_gone_and_its_name_is_free_again(storage):
    storage.create("a/b", b"one")
    storage.create("a/c", b"other")
    storage.remove("a/b")
    storage.remove("a/b")  # gone already
    assert [info.path for info in storage.list()] == ["a/c"]
    storage.create("a/b", b"two")
    assert storage.read("a/b") == b"two"
    with pytest.raises(UsageError):
        storage.remove("../a")
