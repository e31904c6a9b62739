import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.index import command, index
from tests.archive.test_listing import put, tar_bytes
from texture_store.errors import (
    ArchiveNotFoundError,
    DuplicatePathError,
    EmptyArchiveError,
    InvalidNameError,
    LabelsError,
    UsageError,
)
from texture_store.objects import open_storage
from texture_store.store.opening import open_for_reading
from texture_store.store.snapshots import latest_snapshot, list_snapshots

ROOT = Path(__file__).parents[2]


@pytest.fixture
def archive(tmp_path):
    for name in ("a.png", "sub/b.tif", "c.jpg"):
        put(tmp_path / "archive", name, name.encode())
    (tmp_path / "labels.csv").write_text("path,label,specimen\na.png,01,s1\nsub/b.tif,1,s1\nz.png,2,s2\n")
    return tmp_path / "archive"


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def run(*arguments: str):
    return CliRunner().invoke(command, list(arguments), standalone_mode=True)


def test_an_index_takes_a_snapshot_and_says_what_it_found(archive, store):
    told = []
    steps = []
    labels = str(archive.parent / "labels.csv")
    summary = index(store, "steel", str(archive), labels=labels, tell=told.append, advance=steps.append)
    assert (summary.snapshot, summary.is_new, summary.images, summary.new, summary.shards) == (1, True, 3, 3, 1)
    assert (summary.labels_without_image, summary.images_without_label) == (1, 1)
    assert told == ["1 labels without image, such as z.png", "1 images without label, such as c.jpg"]
    assert sum(steps) == 3
    snapshot = latest_snapshot(open_for_reading(store), "steel")
    assert snapshot.archive_url == str(archive)
    assert snapshot.labels_source == labels
    assert snapshot.table.select(["path", "label", "specimen"]).to_pylist() == [
        {"path": "a.png", "label": "01", "specimen": "s1"},
        {"path": "c.jpg", "label": None, "specimen": None},
        {"path": "sub/b.tif", "label": "1", "specimen": "s1"},
    ]


def test_indexing_again_writes_only_when_something_differs(archive, store):
    labels = str(archive.parent / "labels.csv")
    index(store, "steel", str(archive), labels=labels)
    again = index(store, "steel", str(archive))
    assert (again.snapshot, again.is_new) == (1, False)
    (archive / "c.jpg").unlink()
    put(archive, "d.png")
    put(archive, "a.png", b"other bytes")
    update = index(store, "steel", str(archive))
    assert (update.snapshot, update.new, update.changed, update.gone, update.relabelled) == (2, 1, 1, 1, 0)
    (archive.parent / "labels.csv").write_text("path,label\na.png,1\n")
    relabelled = index(store, "steel", str(archive), labels=labels)
    assert (relabelled.snapshot, relabelled.relabelled, relabelled.new) == (3, 2, 0)
    storage = open_for_reading(store)
    assert list_snapshots(storage, "steel") == [1, 2, 3]
    assert latest_snapshot(storage, "steel").labels_source == labels


def race(*arguments: str) -> list[int]:
    """The snapshots that two processes arrive at when they index at the same time."""
    with multiprocessing.get_context("fork").Pool(2) as processes:
        return [done.snapshot for done in processes.starmap_async(index, [arguments] * 2, chunksize=1).get(timeout=100)]


def test_two_indexes_at_once_end_in_one_snapshot_of_everything(archive, store):
    assert race(store, "steel", str(archive)) == [1, 1]
    assert list_snapshots(open_for_reading(store), "steel") == [1]


def test_an_index_that_somebody_overtakes_compares_with_theirs(archive, store):
    index(store, "steel", str(archive))
    put(archive, "new.png")
    overtaken = []

    def overtake(_: int) -> None:  # after this job has listed, before it writes
        if not overtaken:
            overtaken.append(True)
            put(archive, "theirs.png")
            index(store, "steel", str(archive))

    summary = index(store, "steel", str(archive), advance=overtake)
    assert summary.snapshot == 3
    assert (summary.new, summary.gone) == (0, 1)  # it had listed before theirs.png was there


def test_tars_and_listing_files_are_archives_too(tmp_path, store):
    put(tmp_path, "t/one.tar", tar_bytes({"m/a.png": b"1", "b.png": b"2"}))
    (tmp_path / "t" / "list.csv").write_text("path,label\none.tar,\n")
    assert index(store, "tars", str(tmp_path / "t")).images == 2
    put(tmp_path, "f/x.png")
    put(tmp_path, "f/y.png")
    (tmp_path / "f" / "list.csv").write_text("path,class\nx.png,7\n")
    summary = index(store, "listed", str(tmp_path / "f" / "list.csv"), label_column="class")
    assert summary.images == 1
    table = latest_snapshot(open_for_reading(store), "listed").table
    assert table.select(["path", "label"]).to_pylist() == [{"path": "x.png", "label": "7"}]


def test_conditions_choose_images_by_label(archive, store):
    summary = index(store, "steel", str(archive), labels=str(archive.parent / "labels.csv"), where=["label=01"])
    assert (summary.images, summary.excluded) == (1, 2)


def test_labels_that_fit_no_image_are_told_with_an_example_of_each(archive, store):
    (archive.parent / "labels.csv").write_text("path,label\narchive/a.png,1\n")
    told = []
    index(store, "steel", str(archive), labels=str(archive.parent / "labels.csv"), tell=told.append)
    assert told == ["no label fits any image: labels say archive/a.png, images are called like a.png"]


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"archive_url": "{}/nothing"}, ArchiveNotFoundError, "no such folder"),
        ({"archive_url": "{}/empty"}, EmptyArchiveError, "no micrograph"),
        ({"archive_url": "{}/tars"}, DuplicatePathError, r"one\.tar and in .*two\.tar"),
        ({"dataset": "Steel"}, InvalidNameError, "not allowed"),
        ({"dataset": "../x"}, InvalidNameError, "not allowed"),
        ({"labels": "{}/labels.csv", "label_column": "class"}, LabelsError, "no column class; it has path, label"),
        ({"labels": "{}/nothing.csv"}, LabelsError, "no such file"),
        ({"label_column": "class"}, UsageError, "give it with --labels"),
        ({"where": ["label"]}, UsageError, "COLUMN=VALUE"),
        ({"archive_url": "s3://AKID:topsecret@bucket/x"}, UsageError, "in the environment"),
        ({"store_url": "s3://AKID:topsecret@bucket/x"}, UsageError, "in the environment"),
        ({"store_url": "memory://store"}, Exception, "a store needs a local folder or S3"),
    ],
)
def test_what_cannot_be_indexed_is_one_line_and_writes_no_snapshot(archive, store, change, error, reason):
    folder = archive.parent
    (folder / "empty").mkdir()
    put(folder, "tars/one.tar", tar_bytes({"a.png": b"1"}))
    put(folder, "tars/two.tar", tar_bytes({"a.png": b"2"}))
    settings = {"store_url": store, "dataset": "steel", "archive_url": str(archive)}
    for name, value in change.items():
        settings[name] = value.format(folder) if isinstance(value, str) else value
    with pytest.raises(error, match=reason) as caught:
        index(**settings)
    assert "\n" not in str(caught.value)
    assert "topsecret" not in str(caught.value)
    assert not list((folder / "store").rglob("*.parquet")) if (folder / "store").exists() else True


def test_an_archive_that_may_not_be_read_is_said(tmp_path_factory, without_rights):
    folder = tmp_path_factory.mktemp("closed")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    put(folder, "archive/a.png")
    (folder / "archive").chmod(0o700 if os.geteuid() == 0 else 0)
    (folder / "store").mkdir()
    (folder / "store").chmod(0o777)
    try:
        with without_rights(), pytest.raises(PermissionError, match="archive: Permission denied; check"):
            index(str(folder / "store"), "steel", str(folder / "archive"))
    finally:
        (folder / "archive").chmod(0o700)


def test_the_command_prints_a_summary_and_json(archive, store):
    labels = str(archive.parent / "labels.csv")
    result = run("--store", store, "--dataset", "steel", str(archive), "--labels", labels)
    assert result.exit_code == 0, result.output
    assert "images                3" in result.stdout
    assert "list: 3 files" in result.stderr
    result = run("--store", store, "--dataset", "steel", str(archive), "--json")
    summary = json.loads(result.stdout)
    assert (summary["snapshot"], summary["is_new"], summary["images"]) == (1, False, 3)


def test_the_command_ends_with_one_line_and_status_2_for_wrong_usage(archive, store):
    result = run("--store", store, "--dataset", "Steel", str(archive))
    assert result.exit_code == 2
    assert "texture-store index: dataset 'Steel': not allowed" in result.stderr
    assert "Traceback" not in result.stderr
    result = run("--store", store, "--dataset", "steel", str(archive / "nothing"))
    assert result.exit_code == 1


def test_the_module_runs_by_itself(archive, store):
    result = subprocess.run(
        [sys.executable, "-m", "jobs.index", "--store", store, "--dataset", "steel", str(archive), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 3


def test_the_real_archives_are_indexed_whole(test_data, store):
    for name, images, labels in (("uhcs", 38, 6), ("neu", 600, 6), ("schott", 1050, 10), ("nffa", 81, None)):
        url = str(test_data / name)
        summary = index(store, name, url, labels=f"{url}/labels.csv")
        assert (summary.images, summary.images_without_label, summary.labels_without_image) == (images, 0, 0)
        table = latest_snapshot(open_for_reading(store), name).table
        if labels is not None:
            assert len(set(table["label"].to_pylist())) == labels
    assert "01" in latest_snapshot(open_for_reading(store), "schott").table["label"].to_pylist()


@pytest.mark.s3
def test_an_archive_and_a_store_on_s3_go_together(s3_url):
    archive = open_storage(f"{s3_url}/archive")
    for name in ("a.png", "b/c.tif"):
        archive.create(name, name.encode())
    archive.create("labels.csv", b"path,label\na.png,01\nb/c.tif,1\n")
    archive.create("more.tar", tar_bytes({"t.png": b"1"}))
    store = f"{s3_url}/store"
    summary = index(store, "steel", archive.url, labels=archive.url_of("labels.csv"))
    assert (summary.images, summary.new, summary.images_without_label) == (3, 3, 1)
    assert not index(store, "steel", archive.url).is_new
    archive.create("new.png", b"x")
    update = index(store, "steel", archive.url)
    assert (update.snapshot, update.new, update.changed, update.gone) == (2, 1, 0, 0)


@pytest.mark.s3
def test_two_indexes_at_once_on_s3_end_in_one_snapshot(s3_url):
    archive = open_storage(f"{s3_url}/archive")
    archive.create("a.png", b"x")
    assert race(f"{s3_url}/store", "steel", archive.url) == [1, 1]
    assert list_snapshots(open_for_reading(f"{s3_url}/store"), "steel") == [1]


@pytest.mark.s3
def test_a_wrong_secret_is_a_matter_of_permission(s3_url, tmp_path, monkeypatch):
    open_storage(s3_url).create("a.png", b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrongwrong")
    with pytest.raises(PermissionError, match="check the credentials"):
        index(str(tmp_path / "store"), "steel", s3_url)
