import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from jobs.index import index
from jobs.preview import command, preview
from tests.report.drawn import png_bytes
from texture_store.errors import DatasetNotFoundError, StoreFormatError
from texture_store.spec import PixelSpec


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(7):
        picture = np.random.default_rng(number).integers(0, 256, (80, 100), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(png_bytes(picture))
    return folder


@pytest.fixture
def store(tmp_path: Path, archive: Path) -> str:
    url = str(tmp_path / "store")
    index(url, "steel", str(archive))
    return url


SMALL = PixelSpec(size="64x64")


def page_of(written: list[str]) -> str:
    return next(Path(path) for path in written if path.endswith(".html")).read_text()


def test_the_sheet_and_the_page_lie_in_the_store_and_are_written_once(store: str) -> None:
    steps: list[tuple[int, int]] = []
    written = preview(store, "steel", SMALL, advance=lambda done, rejected: steps.append((done, rejected)))
    assert [Path(path).suffix for path in written] == [".png", ".html"]
    assert all(Path(path).parent == Path(store, "reports", "dataset=steel") for path in written)
    assert steps == [(1, 0)] * 7
    before = [Path(path).stat() for path in written]
    assert preview(store, "steel", SMALL) == written
    assert [(stat.st_mtime_ns, stat.st_ino) for stat in before] == [
        (Path(path).stat().st_mtime_ns, Path(path).stat().st_ino) for path in written
    ]


def test_other_settings_make_another_sheet_beside_it(store: str) -> None:
    first = preview(store, "steel", SMALL)
    other = preview(store, "steel", PixelSpec(size="64x64", databar="10"))
    assert set(first).isdisjoint(other)
    assert "rows, 10 rows cut (12.5 %)" in page_of(other)
    assert "rows cut" not in page_of(first)


def test_few_images_are_spread_over_the_whole_snapshot(store: str, tmp_path: Path) -> None:
    page = page_of(preview(store, "steel", SMALL, num_images=3, output=str(tmp_path / "out")))
    shown = [number for number in range(7) if f"{number}.png" in page]
    assert shown == [0, 3, 6]
    assert "3 of 7 images" in page
    assert not Path(store, "reports").exists()


def test_images_that_cannot_be_used_are_shown_with_their_reason(store: str, archive: Path) -> None:
    (archive / "3.png").unlink()
    (archive / "broken.png").write_bytes((archive / "0.png").read_bytes()[:300])
    (archive / "text.tif").write_text("no image at all")
    index(store, "steel", str(archive))
    (archive / "5.png").write_bytes((archive / "6.png").read_bytes() + b"more")
    page = page_of(preview(store, "steel", SMALL))
    assert page.count("rejected (decode)") == 4  # two images, each in the grid and in the table
    assert page.count("changed since it was indexed") == 2
    assert "3 of 8 cannot be used" in page


def test_a_rejected_image_that_can_be_decoded_is_still_shown(store: str) -> None:
    page = page_of(preview(store, "steel", PixelSpec(size=None, um_per_px=0.1)))
    assert page.count("um per px is unknown") == 14
    assert page.count("<img") == 7


def test_the_command_prints_where_the_sheet_is(store: str, tmp_path: Path) -> None:
    arguments = ["--store", store, "--dataset", "steel", "--size", "64", "--images", "2", "--json"]
    result = CliRunner(catch_exceptions=False).invoke(command, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert Path(printed["sheet"]).read_bytes().startswith(b"\x89PNG")
    assert "2 of 7" in Path(printed["page"]).read_text()


def test_an_unknown_dataset_or_store_is_one_line(store: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no dataset copper"):
        preview(store, "copper", SMALL)
    with pytest.raises(StoreFormatError, match="no store here"):
        preview(str(tmp_path), "steel", SMALL)
    result = CliRunner().invoke(command, ["--store", store, "--dataset", "copper"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_a_setting_that_is_not_allowed_is_a_usage_error(store: str) -> None:
    result = CliRunner().invoke(command, ["--store", store, "--dataset", "steel", "--size", "8"])
    assert result.exit_code == 2


def test_databars_of_real_micrographs_are_counted_and_drawn(test_data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "real"
    archive.mkdir()
    for name in ("micrograph1.tif", "micrograph10.png", "micrograph11.tif"):
        shutil.copy(test_data / "uhcs" / "images" / name, archive)
    index(str(tmp_path / "store"), "steel", str(archive))
    page = page_of(preview(str(tmp_path / "store"), "steel", PixelSpec()))
    assert page.count("bottom, 38 rows cut (7.3 %)") == 6
    assert page.count('class="box cut" style="left:0.0%;top:92.72%') == 3
