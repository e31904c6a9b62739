"""What goes wrong with files, and with storage that is neither local nor S3."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texture_store.errors import (
    ObjectChangedError,
    ObjectNotFoundError,
    StorageFullError,
    StoragePermissionError,
    TextureStoreError,
    UnsafeStorageError,
    UsageError,
)
from texture_store.objects import open_storage

DIGITS = b"0123456789"


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
    script = "import os, sys; from texture_store import objects; from texture_store.storage import local_files as d\n"
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


def test_what_a_killed_writer_leaves_is_told_apart_from_files(tmp_path):
    storage = open_storage(str(tmp_path))
    storage.create("a/b", b"whole")
    (tmp_path / "a" / ".00ff.partial").write_bytes(b"half")
    assert [info.path for info in storage.list()] == ["a/b"]
    [left] = storage.partials()
    assert (left.path, left.size) == ("a/.00ff.partial", 4)
    storage.remove(left.path)
    assert list(storage.partials()) == []
