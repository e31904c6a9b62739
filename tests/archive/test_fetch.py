import itertools

import pytest

from tests.archive.test_listing import tar_bytes
from texture_store.archive.fetch import fetch
from texture_store.archive.listing import list_archive
from texture_store.archive.snapshot import next_snapshot
from texture_store.errors import CorpusError, StoragePermissionError, UsageError
from texture_store.objects import open_storage


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def archive(request, tmp_path):
    if request.param == "local":
        return open_storage(str(tmp_path / "archive"))
    return open_storage(f"{request.getfixturevalue('s3_url')}/archive")


def rows_of(archive):
    return next_snapshot(None, list_archive(archive.url), None).table


def test_images_and_sidecars_come_in_order_with_their_bytes(archive):
    contents = {f"{n:02}.tif": bytes([n]) * n for n in range(20)}
    for name, data in contents.items():
        archive.create(name, data)
    archive.create("03.txt", b"meta three")
    archive.create("t.tar", tar_bytes({"x/a.tif": b"tar bytes", "x/a.hdr": b"tar meta", "x/b.tif": b""}))
    rows = rows_of(archive)
    fetched = list(fetch(rows, archive.url))
    assert [one.index for one in fetched] == list(range(22))
    assert all(one.problem is None for one in fetched)
    found = dict(zip(rows["path"].to_pylist(), fetched, strict=True))
    for name, data in contents.items():
        assert found[name].data == data
        assert found[name].sidecar == (b"meta three" if name == "03.tif" else None)
    assert (found["x/a.tif"].data, found["x/a.tif"].sidecar) == (b"tar bytes", b"tar meta")
    assert found["x/b.tif"].data == b""


def replace(archive, path, data):
    archive.filesystem.rm_file(archive.full_path(path))
    archive.create(path, data)


def test_what_changed_or_went_since_the_index_is_told_apart_and_the_rest_is_read(archive):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        archive.create(name, b"old")
    archive.create("d.txt", b"old meta")
    archive.create("t.tar", tar_bytes({"m.png": b"1"}))
    rows = rows_of(archive)
    replace(archive, "a.png", b"new")
    archive.filesystem.rm_file(archive.full_path("b.png"))
    replace(archive, "d.txt", b"new meta")
    replace(archive, "t.tar", tar_bytes({"m.png": b"2"}))
    fetched = dict(zip(rows["path"].to_pylist(), fetch(rows, archive.url), strict=True))
    assert fetched["c.png"].data == b"old"
    problems = {path: str(one.problem) for path, one in fetched.items() if one.problem is not None}
    assert problems == {
        "a.png": "a.png: changed since it was indexed; run index again",
        "b.png": "b.png: gone since it was indexed; run index again",
        "d.png": "d.png: changed since it was indexed; run index again",
        "m.png": "m.png: changed since it was indexed; run index again",
    }
    assert all(fetched[path].data is None for path in problems)


def test_an_index_cannot_lead_out_of_its_archive(tmp_path):
    archive = open_storage(str(tmp_path / "archive"))
    archive.create("a.png", b"x")
    (tmp_path / "secret.png").write_bytes(b"secret")
    rows = rows_of(archive)
    for uri in (
        f"{tmp_path}/secret.png",
        f"{archive.url}/../secret.png",
        f"file://{archive.url}/a.png",
        "s3://b/a.png",
    ):
        altered = rows.set_column(rows.column_names.index("uri"), "uri", [[uri]])
        with pytest.raises((CorpusError, UsageError)):
            list(fetch(altered, archive.url))
    sidecar = rows.set_column(rows.column_names.index("sidecar"), "sidecar", [[f"{tmp_path}/secret.png@6-1"]])
    with pytest.raises(CorpusError, match="does not lie in the archive"):
        list(fetch(sidecar, archive.url))


def test_errors_of_storage_are_raised_and_reject_nothing(tmp_path_factory, without_rights):
    folder = tmp_path_factory.mktemp("archive")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    archive = open_storage(str(folder))
    archive.create("a.png", b"x")
    rows = rows_of(archive)
    (folder / "a.png").chmod(0o000)
    with without_rights(), pytest.raises(StoragePermissionError, match=r"a\.png"):
        list(fetch(rows, archive.url))


def test_a_reader_that_stops_early_leaves_no_request_behind(tmp_path):
    archive = open_storage(str(tmp_path))
    for n in range(40):
        archive.create(f"{n:02}.png", b"x")
    images = fetch(rows_of(archive), archive.url)
    assert [one.index for one in itertools.islice(images, 3)] == [0, 1, 2]
    images.close()


@pytest.mark.s3
def test_one_image_is_one_request_and_faults_are_outlasted(s3_url, s3_faults):
    archive = open_storage(s3_url)
    for n in range(10):
        archive.create(f"{n}.png", bytes([n]) * 1000)
    rows = rows_of(archive)
    s3_faults.requests.clear()
    assert [one.data for one in fetch(rows, archive.url)] == [bytes([n]) * 1000 for n in range(10)]
    assert len(s3_faults.requests) == 10
    for fault in ("503", "cut", "reset"):
        s3_faults.fail(fault, times=3, method="GET")
    assert [one.data for one in fetch(rows, archive.url)] == [bytes([n]) * 1000 for n in range(10)]
