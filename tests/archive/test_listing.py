import hashlib
import io
import os
import tarfile
import uuid
from pathlib import Path

import pytest

from texture_store.archive.listing import IMAGE_SUFFIXES, list_archive
from texture_store.errors import (
    ArchiveNotFoundError,
    DuplicatePathError,
    EmptyArchiveError,
    StoragePermissionError,
    UsageError,
)
from texture_store.objects import Storage, open_storage


def put(folder: Path, name: str, data: bytes = b"x") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def paths(listing) -> list[str]:
    return listing.table["path"].to_pylist()


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "archive"))
    return open_storage(f"{request.getfixturevalue('s3_url')}/archive")


def test_an_archive_is_its_images_by_extension_and_the_rest_is_counted(archive):
    for name in (
        "a.tif",
        "sub/b.PNG",
        "sub/deep er/ü.JpEg",
        "readme",
        "labels.csv",
        "sub/x.csv",
        "notes.txt",
        "c.tar.gz",
    ):
        archive.create(name, name.encode())
    for hidden in ("._a.tif", ".trash/a.tif", "sub/.hidden.png", "__MACOSX/a.tif"):
        archive.create(hidden, b"x")
    listing = list_archive(archive.url)
    assert paths(listing) == ["a.tif", "sub/b.PNG", "sub/deep er/ü.JpEg"]
    assert listing.skipped == {"hidden": 4, ".csv": 2, "": 1, ".txt": 1, ".tar.gz": 1}
    assert listing.archive_url == archive.url


def test_a_row_says_where_the_bytes_lie_and_which_version_they_are(archive):
    archive.create("sub/a.tif", b"12345")
    (row,) = list_archive(archive.url).table.to_pylist()
    info = archive.info("sub/a.tif")
    assert row["uri"] == f"{archive.url}/sub/a.tif"
    assert (row["size"], row["offset"], row["sidecar"]) == (5, None, None)
    assert row["object_version"] == info.version
    version = row["etag"] or row["mtime"]
    assert version == (info.etag or info.mtime_ns)
    assert row["image_id"] == hashlib.sha256(f"sub/a.tif\0{5}\0{version}".encode()).hexdigest()[:32]


def test_every_agreed_extension_is_an_image(tmp_path):
    for suffix in IMAGE_SUFFIXES:
        put(tmp_path, f"a{suffix}")
    assert len(paths(list_archive(str(tmp_path)))) == len(IMAGE_SUFFIXES) == 8


def test_rows_are_sorted_by_path_and_listing_again_gives_the_same(tmp_path):
    for name in ("b.png", "a/z.png", "a.png", "a-.png"):
        put(tmp_path, name)
    first, second = list_archive(str(tmp_path)), list_archive(f"{tmp_path}/")
    assert paths(first) == sorted(paths(first))
    assert first.table.equals(second.table)


def test_an_image_id_depends_on_path_size_and_time_and_not_on_where_the_archive_is(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / folder, "a.png", b"abc")
        os.utime(tmp_path / folder / "a.png", ns=(5, 5))
    (one,) = list_archive(str(tmp_path / "one")).table["image_id"].to_pylist()
    (two,) = list_archive(str(tmp_path / "two")).table["image_id"].to_pylist()
    assert one == two
    os.utime(tmp_path / "two" / "a.png", ns=(5, 6))
    (later,) = list_archive(str(tmp_path / "two")).table["image_id"].to_pylist()
    assert later != one
    put(tmp_path / "one", "a.png", b"abcd")
    os.utime(tmp_path / "one" / "a.png", ns=(5, 5))
    (longer,) = list_archive(str(tmp_path / "one")).table["image_id"].to_pylist()
    assert longer not in (one, later)


@pytest.mark.parametrize("sidecar", ["a.txt", "a.hdr", "a-tif.hdr", "a.tif.txt", "a.TXT"])
def test_a_sidecar_is_attached_to_its_image_and_is_part_of_its_identity(tmp_path, sidecar):
    put(tmp_path, "s/a.tif")
    put(tmp_path, "s/b.tif")
    put(tmp_path, "a.txt")  # of another folder
    alone = list_archive(str(tmp_path)).table.to_pylist()[0]["image_id"]
    put(tmp_path, f"s/{sidecar}", b"meta")
    os.utime(tmp_path / "s" / sidecar, ns=(7, 7))
    listing = list_archive(str(tmp_path))
    first, second = listing.table.to_pylist()
    assert first["sidecar"] == f"{tmp_path}/s/{sidecar}@4-7"
    assert first["image_id"] != alone
    assert second["sidecar"] is None
    assert listing.skipped == {".txt": 1}


def test_a_missing_archive_is_told_from_an_empty_one(archive):
    with pytest.raises(ArchiveNotFoundError, match="no such folder or prefix"):
        list_archive(archive.url)
    with pytest.raises(ArchiveNotFoundError, match=r"nothing\.tar: no such file"):
        list_archive(archive.url_of("nothing.tar"))
    archive.create("a.docx", b"x")
    archive.create("b.docx", b"x")
    with pytest.raises(EmptyArchiveError, match=r"no micrograph in it \(skipped: \.docx 2\); images end in \.tif"):
        list_archive(archive.url)


@pytest.mark.s3
def test_an_archive_in_a_bucket_that_is_not_there_is_missing(s3_server):
    with pytest.raises(ArchiveNotFoundError, match="no such bucket"):
        list_archive("s3://no-such-bucket-here/archive")


def test_an_empty_folder_is_an_empty_archive(tmp_path):
    with pytest.raises(EmptyArchiveError, match="nothing at all"):
        list_archive(str(tmp_path))


def test_a_single_image_is_no_archive(tmp_path):
    put(tmp_path, "a.png")
    with pytest.raises(ArchiveNotFoundError, match="an archive is a folder"):
        list_archive(str(tmp_path / "a.png"))


def test_a_sub_folder_that_may_not_be_read_stops_the_listing(tmp_path_factory, without_rights):
    folder = tmp_path_factory.mktemp("archive")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    put(folder, "a.png")
    put(folder, "closed/b.png")
    (folder / "closed").chmod(0o700 if os.geteuid() == 0 else 0)
    try:
        with without_rights(), pytest.raises(StoragePermissionError, match="closed: Permission denied"):
            list_archive(str(folder))
    finally:
        (folder / "closed").chmod(0o700)


def test_loops_broken_links_and_odd_names_are_left_out_and_told(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    put(tmp_path, os.fsdecode(b"latin-\xe9.png"))
    listing = list_archive(str(tmp_path))
    assert paths(listing) == ["a.png"]
    assert dict(listing.left_out) == {
        "again": "link back to a folder above it",
        "gone.png": "broken link",
        "latin-?.png": "name is not UTF-8",
    }


def test_progress_adds_up_to_all_files(tmp_path):
    for number in range(2100):
        put(tmp_path, f"{number}.png", b"")
    put(tmp_path, "x.csv")
    steps = []
    list_archive(str(tmp_path), progress=steps.append)
    assert sum(steps) == 2101
    assert len(steps) > 2


# Tars


def tar_bytes(members: dict[str, bytes], *, format: int = tarfile.PAX_FORMAT, mtime: float = 1.5) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LONG = "long/" + "n" * 180 + ".png"


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_of_a_tar_are_byte_ranges_of_it(archive, format):
    members = {"./a.tif": b"A" * 700, "b/c.PNG": b"", LONG: b"L" * 100_000, "ü.jpg": b"U", "labels.csv": b"path"}
    data = tar_bytes(members, format=format)
    archive.create("shards/one.tar", data)
    for url in (archive.url, archive.url_of("shards"), archive.url_of("shards/one.tar")):
        listing = list_archive(url)
        assert paths(listing) == sorted(["a.tif", "b/c.PNG", LONG, "ü.jpg"])
        assert listing.skipped == {".csv": 1}
        for row in listing.table.to_pylist():
            assert row["uri"] == archive.url_of("shards/one.tar")
            content = members.get(row["path"], members.get("./" + row["path"]))
            assert data[row["offset"] : row["offset"] + row["size"]] == content
            assert row["object_version"] == archive.info("shards/one.tar").version


def test_packing_the_same_files_again_keeps_their_ids(tmp_path):
    members = {"a.png": b"a" * 600, "b.png": b"b", "c.png": b"c"}
    put(tmp_path, "one/x.tar", tar_bytes(members))
    put(tmp_path, "two/y.tar", tar_bytes({"b.png": b"b", "a.png": b"a" * 600}, format=tarfile.USTAR_FORMAT))
    put(tmp_path, "two/z.tar", tar_bytes({"c.png": b"c"}))
    one, two = (list_archive(str(tmp_path / name)).table for name in ("one", "two"))
    assert one["image_id"].to_pylist() == two["image_id"].to_pylist()
    put(tmp_path, "two/z.tar", tar_bytes({"c.png": b"c"}, mtime=9))
    assert list_archive(str(tmp_path / "two")).table["image_id"].to_pylist()[2] != one["image_id"].to_pylist()[2]


def test_two_tars_with_one_path_are_refused_and_both_are_named(tmp_path):
    put(tmp_path, "one.tar", tar_bytes({"a.png": b"1"}))
    put(tmp_path, "two.tar", tar_bytes({"b.png": b"1", "a.png": b"2"}))
    with pytest.raises(DuplicatePathError, match=r"a\.png: in .*/one\.tar and in .*/two\.tar"):
        list_archive(str(tmp_path))


def test_a_path_twice_in_one_tar_is_refused(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
        tar.addfile(tarfile.TarInfo("./a.png"))
    put(tmp_path, "one.tar", out.getvalue())
    with pytest.raises(DuplicatePathError, match=r"one\.tar"):
        list_archive(str(tmp_path / "one.tar"))


def test_links_and_names_that_climb_are_left_out_of_a_tar(tmp_path):
    out = io.BytesIO(tar_bytes({"a.png": b"1", "../b.png": b"2"}))
    with tarfile.open(fileobj=out, mode="a") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.png"
            tar.addfile(info)
    put(tmp_path, "one.tar", out.getvalue())
    listing = list_archive(str(tmp_path))
    assert paths(listing) == ["a.png"]
    assert {path for path, _ in listing.left_out} == {"../b.png", "l.png", "h.png"}


def test_a_sidecar_in_a_tar_belongs_to_an_image_of_the_same_tar(tmp_path):
    put(
        tmp_path,
        "one.tar",
        tar_bytes({"a.tif": b"1", "a.txt": b"meta", "b.txt": b"other"}, format=tarfile.USTAR_FORMAT),
    )
    put(tmp_path, "two.tar", tar_bytes({"b.tif": b"1"}))
    first, second = list_archive(str(tmp_path)).table.to_pylist()
    assert first["sidecar"] == f"a.txt@{3 * 512}+4"
    assert second["sidecar"] is None


def test_tars_and_single_files_can_lie_together(tmp_path):
    put(tmp_path, "a.png")
    put(tmp_path, "sub/one.tar", tar_bytes({"b.png": b"1"}))
    assert paths(list_archive(str(tmp_path))) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.bz2", "a.tar.zst"])
def test_a_compressed_tar_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="decompress it to a plain"):
        list_archive(str(tmp_path / name))


def corrupt(data: bytes) -> dict[str, bytes]:
    return {
        "cut within a member": data[: 512 + 300],
        "cut within a header": data[: 512 + 1024 + 100],
        "a header overwritten": data[: 512 + 1024] + b"\xff" * 512 + data[512 + 1024 + 512 :],
        "no tar at all": b"\x1f\x8b" + bytes(range(256)) * 8,
    }


@pytest.mark.parametrize("damage", list(corrupt(b"")))
def test_a_broken_tar_loses_no_member_silently(tmp_path, damage):
    data = tar_bytes({"a.png": b"a" * 1000, "b.png": b"b"}, format=tarfile.USTAR_FORMAT)
    put(tmp_path, f"{uuid.uuid4().hex}.tar", corrupt(data)[damage])
    with pytest.raises(Exception, match="again") as caught:
        list_archive(str(tmp_path))
    assert type(caught.value).__name__ == "CorpusError"


def test_a_tar_without_its_end_mark_is_read(tmp_path):
    data = tar_bytes({"a.png": b"a" * 512}, format=tarfile.USTAR_FORMAT)
    put(tmp_path, "a.tar", data[:1024])
    assert paths(list_archive(str(tmp_path))) == ["a.png"]
