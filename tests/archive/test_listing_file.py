import gzip

import pytest

from tests.archive.test_listing import paths, put, tar_bytes
from texture_store.archive import listing_file
from texture_store.archive.labels import labels_of
from texture_store.archive.listing import list_archive
from texture_store.errors import ArchiveNotFoundError, DuplicatePathError, LabelsError, UsageError
from texture_store.objects import open_storage


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "sub/b.tif", "sub/b.txt", "c.jpg"):
        put(tmp_path, name, name.encode())
    put(tmp_path, "t.tar", tar_bytes({"m.png": b"1"}))
    return tmp_path


def listing_of(folder, text, name="list.csv", **options):
    (folder / name).write_text(text)
    return list_archive(str(folder / name), **options)


def test_paths_are_relative_to_the_listing_and_rows_are_those_of_the_folder(folder):
    whole = list_archive(str(folder)).table
    listing = listing_of(folder, "path\n./sub/b.tif\nsub/b.txt\na.png\nc.jpg\nt.tar\n")
    assert listing.table.equals(whole)
    assert listing.archive_url == str(folder)
    assert listing.label_columns is None


def test_only_what_is_listed_belongs_to_the_archive(folder):
    assert paths(listing_of(folder, "path\na.png\n")) == ["a.png"]


def test_other_columns_are_labels(folder):
    listing = listing_of(folder, "path,label,size,mtime\na.png,01,999,2020\nc.jpg,,,\n")
    labels = labels_of(listing.label_columns, source="x")
    assert labels.table.select([0, 1]).to_pylist() == [
        {"path": "a.png", "label": "01"},
        {"path": "c.jpg", "label": None},
    ]
    assert listing.table["size"].to_pylist() == [5, 5]  # of the file, whatever the listing says


def test_a_uri_can_have_another_path_in_the_dataset(folder):
    listing = listing_of(folder, f"uri,path\n{folder}/sub/b.tif,steel/1.tif\nfile://{folder}/a.png,x.png\n")
    assert listing.table.select(["path", "uri"]).to_pylist() == [
        {"path": "steel/1.tif", "uri": f"{folder}/sub/b.tif"},
        {"path": "x.png", "uri": f"{folder}/a.png"},
    ]


def test_a_root_can_be_given(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists")
    listing = listing_of(elsewhere, f"uri\n{folder}/a.png\n", root=str(folder))
    assert (listing.archive_url, paths(listing)) == (str(folder), ["a.png"])
    assert paths(listing_of(elsewhere, "path\na.png\n", root=str(folder))) == ["a.png"]


@pytest.mark.parametrize("uri", ["/etc/passwd.png", "../x.png", "a/../../x.png", "http://host/a.png", "s3://b/a.png"])
def test_what_does_not_lie_under_the_root_is_refused(folder, uri):
    with pytest.raises(UsageError, match="does not lie under"):
        listing_of(folder, f"uri\n{uri}\n", root=str(folder))


def test_credentials_in_a_listed_uri_are_not_repeated(folder):
    for uri in ("s3://AKID:topsecret@bucket/a.png", "https://host/a.png?sig=topsecret"):
        with pytest.raises(UsageError) as caught:
            listing_of(folder, f"uri\n{uri}\n")
        assert "topsecret" not in str(caught.value)


def test_what_is_listed_and_not_there_is_told(folder):
    listing = listing_of(folder, "path\na.png\nsub/gone.png\n")
    assert paths(listing) == ["a.png"]
    assert listing.left_out == (("sub/gone.png", "listed, but not there"),)


def test_a_path_listed_twice_is_refused(folder):
    with pytest.raises(DuplicatePathError):
        listing_of(folder, "path\na.png\n./a.png\n")


def test_a_table_that_is_no_listing_says_what_it_has(folder):
    with pytest.raises(LabelsError, match="needs a column path or uri; it has file, label"):
        listing_of(folder, "file,label\na.png,x\n")
    with pytest.raises(ArchiveNotFoundError, match="no such file"):
        list_archive(str(folder / "nothing.csv"))


@pytest.mark.s3
@pytest.mark.parametrize("kind", ["inventory", "inventory with header", "inventory.gz", "uris"])
def test_an_s3_inventory_lists_a_bucket_without_asking_for_each_object(s3_url, s3_faults, folder, kind):
    storage = open_storage(s3_url)
    for name in ("in/a b+c.png", "in/ü.tif"):
        storage.create(name, name.encode())
    bucket = s3_url.removeprefix("s3://")
    whole = list_archive(s3_url)
    rows = [("in/a%20b%2Bc.png", "in/a b+c.png"), ("in/%C3%BC.tif", "in/ü.tif")]
    etags = {info.path: info.etag for info in storage.list()}
    lines = [f'"{bucket}","{key}","{len(p.encode())}","2026-01-02T03:04:05.000Z","{etags[p]}"' for key, p in rows]
    text = "\n".join(lines) + "\n"
    if kind == "inventory with header":
        text = "Bucket,Key,Size,LastModifiedDate,ETag\n" + text
    if kind == "uris":
        text = "uri,size,etag\n" + "".join(f'"{s3_url}/{p}",{len(p.encode())},"{etags[p]}"\n' for _, p in rows)
    name = "list.csv"
    if kind == "inventory.gz":
        name = "list.csv.gz"
        (folder / name).write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text)
    s3_faults.requests.clear()
    listing = list_archive(str(folder / name))
    assert listing.table.equals(whole.table)
    assert listing.archive_url == s3_url
    assert s3_faults.requests == []


@pytest.mark.s3
def test_listed_objects_without_size_are_asked_for(s3_url, folder):
    storage = open_storage(s3_url)
    storage.create("in/a.png", b"abc")
    listing = listing_of(folder, f"uri\n{s3_url}/in/a.png\n{s3_url}/in/gone.png\n")
    assert listing.table.equals(list_archive(s3_url).table)
    assert listing.left_out == (("in/gone.png", "listed, but not there"),)


@pytest.mark.s3
@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_only_what_the_listing_does_not_say_is_asked_for(s3_url, tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(listing_file, "ROWS_AT_ONCE", rows_at_once)
    storage = open_storage(s3_url)
    for name in ("a.png", "c.png", "e.png"):
        storage.create(name, name.encode() * 3)
    rows = [f"{s3_url}/{name},,\n" for name in ("e.png", "d.png", "c.png")]
    # What is said of b.png is believed: there is no such object.
    rows[1:1] = [f"{s3_url}/b.png,7,abc\n"]
    listing = listing_of(tmp_path, "uri,size,etag\n" + "".join(rows) + f"{s3_url}/a.png,,\n")
    assert listing.table.select(["path", "size"]).to_pylist() == [
        {"path": "a.png", "size": 15},
        {"path": "b.png", "size": 7},
        {"path": "c.png", "size": 15},
        {"path": "e.png", "size": 15},
    ]
    etags = dict(zip(listing.table["path"].to_pylist(), listing.table["etag"].to_pylist(), strict=True))
    assert etags == {info.path: info.etag for info in storage.list()} | {"b.png": "abc"}
    assert listing.left_out == (("d.png", "listed, but not there"),)
