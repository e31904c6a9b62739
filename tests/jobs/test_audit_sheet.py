import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.audit_pictures import Duplicates
from jobs.audit_sheet import duplicate_sets, write_sheet
from jobs.audited import Audited, audited_dataset
from jobs.index import index
from tests.jobs.conftest import write_archive
from tests.made_store import SPEC
from tests.report.sheets import GREY_TILE, area, places
from texture_store.errors import TransientStoreError
from texture_store.evaluation.near_duplicates import Match, NearDuplicate
from texture_store.objects import open_storage
from texture_store.spec import PixelSpec

LABELS = np.array(["a", "a", "b", "a", "a", "a", None, "a"], dtype=object)
GROUPS = np.array(["p", "p", "p", "p", "q", "p", "p", "p"], dtype=object)
NO_GROUPS = np.full(8, None, dtype=object)


def near(row: int, other: int, correlation: float, overlap: float = 1.0) -> NearDuplicate:
    return NearDuplicate(row, other, Match(correlation, overlap, 20))


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.intp)


def test_sets_that_contradict_each_other_come_first() -> None:
    found = Duplicates([rows(0, 1), rows(3, 4)], [rows(5, 6)], [near(2, 7, 0.9)], None, 0)
    sets = duplicate_sets(found, LABELS, GROUPS)
    assert [one.rows for one in sets] == [[2, 7], [3, 4], [0, 1], [5, 6]]
    assert [(one.crossing.labels, one.crossing.groups) for one in sets] == [
        (True, False),
        (False, True),
        (False, False),
        (False, False),
    ]
    # Without groups, images that have none do not contradict.
    assert [one.rows for one in duplicate_sets(found, LABELS, NO_GROUPS)] == [[2, 7], [0, 1], [3, 4], [5, 6]]


def test_of_a_large_set_one_of_each_label_and_group_is_shown() -> None:
    [one] = duplicate_sets(Duplicates([rows(0, 1, 3, 5, 7, 4, 2)], [], None, None, 0), LABELS, GROUPS)
    assert one.rows[:4] == [0, 2, 4, 1]
    assert sorted(one.rows) == [0, 1, 2, 3, 4, 5, 7]
    assert one.what == "identical files, 4 of 7 images shown"


def test_near_duplicates_are_told_by_correlation_and_overlap() -> None:
    pairs = [near(0, 1, 0.91), near(1, 2, 0.85), near(3, 7, 0.987, 0.534)]
    sets = duplicate_sets(Duplicates([], [], pairs, None, 0), LABELS, GROUPS)
    assert [one.what for one in sets] == [
        "same view, correlation 0.850 to 0.910 in 2 pairs",
        "same view, correlation 0.987; the second shows 53 % of the first",
    ]
    # The pair that contradicts stands first, though another one is more alike.
    assert sets[0].rows == [1, 2, 0]


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    """Eight pictures of 80x64 px as they are, and a store that knows them."""
    archive = write_archive(tmp_path / "archive", count=8)
    index(str(tmp_path / "store"), "steel", str(archive), labels=str(archive / "labels.csv"))
    made = audited_dataset(str(tmp_path / "store"), "steel", label_column=None, group_column=None)
    return dataclasses.replace(made, spec=SPEC.model_copy(update={"pixels": PixelSpec(size="native")}))


def sheet_of(url: str) -> np.ndarray:
    with Image.open(io.BytesIO(Path(url).read_bytes())) as opened:
        return np.asarray(opened.convert("RGB"))


def test_the_sheet_shows_what_the_network_receives(audited: Audited, tmp_path: Path) -> None:
    [url] = write_sheet(audited, Duplicates([rows(0, 1)], [], None, None, 0), None)
    assert Path(url).parent == tmp_path / "store" / "reports" / "dataset=steel"
    sheet = sheet_of(url)
    for name in ("image000.tif", "image001.png"):
        picture = np.asarray(Image.open(tmp_path / "archive" / name))
        assert len(places(sheet, np.kron(picture, np.ones((3, 3), np.uint8)))) == 1


def test_a_picture_that_is_gone_or_broken_leaves_a_grey_tile(audited: Audited, tmp_path: Path) -> None:
    (tmp_path / "archive" / "image001.png").unlink()
    sheet = sheet_of(write_sheet(audited, Duplicates([rows(0, 1)], [], None, None, 0), None)[0])
    assert area(sheet, GREY_TILE) > 180 * 256


def test_archive_storage_that_fails_is_asked_once(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def fail(*_: object) -> None:
        asked.append(1)
        raise TransientStoreError("s3://lab: no answer")

    monkeypatch.setattr("jobs.audit_pictures.fetch", fail)
    [url] = write_sheet(audited, Duplicates([rows(0, 1), rows(2, 3)], [], None, None, 0), None)
    assert area(sheet_of(url), GREY_TILE) > 4 * 100 * 256
    assert len(asked) == 1


def test_no_more_than_24_sets_are_drawn(audited: Audited) -> None:
    few, many = (
        sheet_of(write_sheet(audited, Duplicates([rows(0, 1)] * number, [], None, None, 0), None)[0])
        for number in (24, 40)
    )
    assert few.shape == many.shape


def test_a_sheet_is_written_once_and_to_the_output_too(audited: Audited, tmp_path: Path) -> None:
    found = Duplicates([rows(0, 1)], [], None, None, 0)
    out = open_storage(str(tmp_path / "out"))
    first = write_sheet(audited, found, out)
    written = Path(first[0]).stat()
    assert write_sheet(audited, found, out) == first
    assert Path(first[0]).stat().st_mtime_ns == written.st_mtime_ns
    assert first[1] == str(tmp_path / "out" / f"steel-{Path(first[0]).name}")
    assert Path(first[1]).read_bytes() == Path(first[0]).read_bytes()


def test_a_store_that_may_not_be_written_is_said_on_one_line(
    audited: Audited, without_rights, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    (tmp_path / "store").chmod(0o555)
    with without_rights():
        files = write_sheet(audited, Duplicates([rows(0, 1)], [], None, None, 0), open_storage(str(out)))
    (tmp_path / "store").chmod(0o755)
    assert [Path(file).parent for file in files] == [out]
    [line] = [line for line in capsys.readouterr().err.splitlines() if "cannot be written" in line]
    assert "Permission denied" in line
    assert not (tmp_path / "store" / "reports").exists()


def test_without_duplicates_there_is_no_sheet(audited: Audited, tmp_path: Path) -> None:
    assert write_sheet(audited, Duplicates([], [], [], None, 0), open_storage(str(tmp_path / "out"))) == []
    assert not (tmp_path / "store" / "reports").exists()
    assert not (tmp_path / "out").exists()
