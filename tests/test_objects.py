"""One contract for every kind of storage, and what goes wrong on each."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texture_store.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageFullError,
    StoragePermissionError,
    TextureStoreError,
    TransientStoreError,
    UnsafeStorageError,
    UsageError,
)
from texture_store.objects import Storage, open_storage
from texture_store.storage_errors import without_secrets

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


def test_a_listing_of_more_than_one_page_is_complete(s3_url):
    storage = open_storage(s3_url)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: storage.create(f"n/{number:04}", b"x"), range(1050)))
    assert [info.path for info in storage.list("n")] == [f"n/{number:04}" for number in range(1050)]


test_a_listing_of_more_than_one_page_is_complete.pytestmark = [pytest.mark.s3]


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


# What goes wrong with files


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=50), start=st.none() | st.integers(0, 60), end=st.none() | st.integers(0, 60))
def test_a_range_is_a_slice(tmp_path_factory, content, start, end):
    storage = open_storage(str(tmp_path_factory.getbasetemp() / "slices"))
    name = uuid.uuid4().hex
    storage.create(name, content)
    assert storage.read(name, start=start, end=end) == content[start:end]


def test_a_changed_file_has_another_version(tmp_path):
    storage = open_storage(str(tmp_path))
    (tmp_path / "a").write_bytes(b"old")
    version = storage.info("a").version
    os.utime(tmp_path / "a", ns=(0, 1))
    assert storage.info("a").version != version
    with pytest.raises(ObjectChangedError):
        storage.read("a", version=version)


def test_what_a_killed_writer_left_is_no_object(tmp_path):
    script = "import os, sys; from texture_store import objects, storage_drivers as d\n"
    script += "d.os.link = lambda *_: os.kill(os.getpid(), 9)\n"
    script += "objects.open_storage(sys.argv[1]).create('a.parquet', b'x' * 1000)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[1])
    (left,) = tmp_path.iterdir()
    assert not left.name.endswith(".parquet")
    assert list(open_storage(str(tmp_path)).list()) == []
    open_storage(str(tmp_path)).create("a.parquet", b"whole")
    assert (tmp_path / "a.parquet").read_bytes() == b"whole"


def test_links_are_followed_and_loops_and_other_things_are_told(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "x").write_bytes(b"x")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "else")
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in" / "pipe")
    told = {}
    listed = [info.path for info in open_storage(str(tmp_path / "in")).list(on_skip=told.__setitem__)]
    assert listed == ["linked/x"]
    assert told == {"deep/up": "link back to a folder above it", "gone": "broken link", "pipe": "not a regular file"}


def test_no_permission_is_said_at_once(tmp_path_factory, without_rights):
    folder = tmp_path_factory.mktemp("rights")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    (folder / "open").write_bytes(b"x")
    (folder / "closed").mkdir(mode=0o700)
    (folder / "secret").write_bytes(b"x")
    (folder / "secret").chmod(0o000)
    if os.geteuid() != 0:
        (folder / "closed").chmod(0o000)
        folder.chmod(0o555)
    storage = open_storage(str(folder))
    with without_rights():
        assert storage.read("open") == b"x"
        with pytest.raises(StoragePermissionError, match=r"secret: Permission denied; check"):
            storage.read("secret")
        with pytest.raises(StoragePermissionError, match="new"):
            storage.create("new", b"x")
        with pytest.raises(StoragePermissionError, match="closed: Permission denied"):
            list(storage.list())
    folder.chmod(0o755)
    assert not (folder / "new").exists()


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]).returncode:
        pytest.skip("only root can mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_full_disk_is_said_and_leaves_nothing_behind(small_disk):
    storage = open_storage(str(small_disk))
    storage.create("fits", bytes(1 << 19))
    with pytest.raises(StorageFullError, match="No space left on device; make room"):
        storage.create("a/too-big", bytes(1 << 20))
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["fits"]
    storage.create("a/small", b"x")


def test_a_read_only_disk_is_a_matter_of_permission(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoragePermissionError, match="Read-only file system"):
        open_storage(str(small_disk)).create("a", b"x")


def test_a_file_system_without_hard_links_is_refused_for_writing(tmp_path, monkeypatch):
    # No such file system can be mounted everywhere that tests run; FAT answers link() with EPERM.
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UnsafeStorageError, match="no hard links"):
        open_storage(str(tmp_path)).create("a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_an_error_of_ours(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    storage = open_storage(str(tmp_path))
    with pytest.raises(TextureStoreError, match=r"a"):
        storage.create("a/b", b"x")
    with pytest.raises(ObjectNotFoundError):
        storage.read("a/b")


def test_storage_in_memory_can_be_read_but_not_written():
    storage = open_storage(f"memory://{uuid.uuid4().hex}/x")
    with pytest.raises(UnsafeStorageError, match="a store needs a local folder or S3"):
        storage.create("a", b"x")
    storage.filesystem.pipe_file(storage.full_path("f/a.png"), DIGITS)
    (info,) = storage.list()
    assert (info.path, info.size) == ("f/a.png", 10)
    assert storage.info("f/a.png") == info
    assert storage.read("f/a.png", start=2, end=5, version=info.version) == b"234"
    with pytest.raises(ObjectChangedError):
        storage.read("f/a.png", version="another")
    assert storage.exists("f/a.png")
    assert not storage.exists("f")


def test_a_retry_budget_that_is_no_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTURE_STORE_RETRY_SECONDS", "soon")
    with pytest.raises(UsageError, match="not a number of seconds"):
        open_storage(str(tmp_path)).exists("a")


# What goes wrong with S3


@pytest.mark.s3
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


@pytest.mark.s3
def test_a_body_that_is_cut_is_read_again(s3_url, s3_faults):
    storage = open_storage(s3_url)
    content = os.urandom(300_000)
    storage.create("a", content)
    s3_faults.fail("cut", times=2, method="GET")
    assert storage.read("a") == content


@pytest.mark.s3
def test_a_lost_reply_does_not_hide_that_another_one_came_first(s3_url, s3_faults):
    storage = open_storage(s3_url)
    storage.create("a", b"theirs")
    s3_faults.fail("lost reply", method="PUT")
    with pytest.raises(ObjectExistsError):
        storage.create("a", b"ours")
    assert storage.read("a") == b"theirs"


@pytest.mark.s3
def test_when_the_budget_is_used_up_the_error_says_what_storage_said(s3_url, s3_faults, monkeypatch):
    monkeypatch.setenv("TEXTURE_STORE_RETRY_SECONDS", "3")
    s3_faults.fail("503", times=1000)
    with pytest.raises(TransientStoreError, match=r"s3://.*/a: Please reduce your request rate.; run again"):
        open_storage(s3_url).read("a")
    assert len(s3_faults.requests) > 1


@pytest.mark.s3
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


@pytest.mark.s3
def test_a_server_that_accepts_the_condition_and_ignores_it_is_refused(s3_url, s3_faults):
    storage = open_storage(s3_url)
    storage.create("store.json", b"{}")
    s3_faults.fail("ignore condition", method="PUT")
    with pytest.raises(UnsafeStorageError, match="concurrent writers would lose data"):
        storage.verify_exclusive_create("store.json")


@pytest.mark.s3
def test_without_credentials_the_error_says_where_they_belong(s3_url, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoragePermissionError, match=r"AWS_\* environment"):
        open_storage(s3_url).read("a")


@pytest.mark.s3
def test_an_object_of_many_parts_is_created_only_once(s3_url):
    storage = open_storage(s3_url)
    content = os.urandom(1 << 20) * 110  # over s3fs's 100 MB for one PUT
    storage.create("large", content)
    with pytest.raises(ObjectExistsError):
        storage.create("large", bytes(len(content)))
    assert storage.read("large") == content
