from pathlib import Path

import pytest

from jobs.powder_archive import LABELS_FILE, make_powder_archive
from texture_store.errors import UsageError
from texture_store.synthetic import labels_csv, powder_collection


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_archive_holds_the_collection_and_its_labels(tmp_path: Path) -> None:
    assert make_powder_archive(str(tmp_path), images_per_class=1, size=48, seed=5) == 8
    files = powder_collection(1, seed=5, size=48)
    expected = {file.path: file.tiff() for file in files} | {LABELS_FILE: labels_csv(files)}
    assert contents(tmp_path) == expected


def test_only_what_is_missing_is_drawn(tmp_path: Path) -> None:
    make_powder_archive(str(tmp_path), images_per_class=1, size=48)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")}
    (tmp_path / "wide-a" / "0000.tif").unlink()
    assert make_powder_archive(str(tmp_path), images_per_class=1, size=48) == 1
    assert make_powder_archive(str(tmp_path), images_per_class=1, size=48) == 0
    assert contents(tmp_path) == before
    changed = [path for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert changed == [tmp_path / "wide-a" / "0000.tif"]


@pytest.mark.parametrize("other", [{"seed": 1}, {"images_per_class": 2}])
def test_two_collections_are_never_mixed(tmp_path: Path, other: dict[str, int]) -> None:
    settings = {"images_per_class": 1, "size": 48, "seed": 0}
    make_powder_archive(str(tmp_path), **settings)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="other --images or --seed"):
        make_powder_archive(str(tmp_path), **(settings | other))
    assert contents(tmp_path) == before
