"""explain where something is there already, is missing, is asked for by name, or is wrong."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from jobs.index import command as index_command
from tests.jobs.explained import BROKEN, QUICK, run_explain
from texture_store import open_store
from texture_store.evaluation import nearest

pytestmark = pytest.mark.ray


def refusal(result: Result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("texture-store explain:")]
    return line


@pytest.fixture
def store(explained: tuple[str, Result], tmp_path: Path) -> str:
    """A copy of it, to change."""
    shutil.copytree(explained[0], tmp_path / "store")
    return str(tmp_path / "store")


def digests(store: str) -> dict[str, str]:
    """Of each file but the records of runs."""
    files = (path for path in Path(store).rglob("*") if path.is_file())
    found = {path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: digest for name, digest in found.items() if not name.startswith("runs/")}


def test_a_second_run_computes_nothing_and_starts_no_ray(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(store)
    monkeypatch.setattr("jobs.cluster.connected", lambda _: pytest.fail("Ray is not needed"))
    result = run_explain(store, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    assert not any(json.loads(result.stdout)["computed"].values())
    assert digests(store) == before


def test_a_missing_texture_cache_is_made_again(store: str) -> None:
    before = open_store(store).textures().set_index(["layer", "filter"])["picture"]
    shutil.rmtree(Path(store) / "textures")
    result = run_explain(store, *QUICK, "--json")
    computed = json.loads(result.stdout)["computed"]
    assert {name: number for name, number in computed.items() if number} == {"textures": len(before)}
    assert open_store(store).textures().set_index(["layer", "filter"])["picture"].to_dict() == before.to_dict()


def test_without_weights_textures_are_left_out_and_it_says_so(store: str) -> None:
    shutil.rmtree(Path(store) / "textures")
    shutil.rmtree(Path(store) / "weights")
    result = run_explain(store, *QUICK)
    assert result.exit_code == 1
    assert "textures are left out: " in result.stdout
    assert "important filters:" in result.stdout


def test_without_the_archive_numbers_and_textures_are_kept(store: str) -> None:
    shutil.rmtree(Path(store) / "explanations")
    archive = Path(open_store(store).catalog("steel").snapshot.archive_url.removeprefix("file://"))
    hidden = archive.rename(archive.with_name("hidden"))
    try:
        result = run_explain(store, *QUICK)
    finally:
        hidden.rename(archive)
    assert result.exit_code == 1
    assert "changed since they were indexed" in result.stdout
    found = open_store(store)
    assert len(found.importances("steel")) == 1472
    assert len(found.exemplars("steel")) == 0
    again = run_explain(store, *QUICK)
    assert again.exit_code == 0
    assert len(found.exemplars("steel")) > 0


def test_named_filters_are_all_that_is_looked_at(store: str) -> None:
    result = run_explain(store, "--filters", "conv1_2:3, conv3_3:9", "--recipe", "paper", "--json")
    summary = json.loads(result.stdout)
    assert [(row["layer"], row["filter"]) for row in summary["filters"]] == [("conv1_2", 3), ("conv3_3", 9)]
    assert summary["computed"]["importances"] == 0
    assert {(row["layer"], row["filter"]) for _, row in open_store(store).exemplars("steel").iterrows()} >= {
        ("conv1_2", 3),
        ("conv3_3", 9),
    }
    [url] = summary["files"]
    assert "named-filters" in url


def test_heat_maps_of_a_named_image(store: str) -> None:
    summary = json.loads(run_explain(store, "--image", "image003.png", "--filters", "conv2_2:1", "--json").stdout)
    [row] = summary["heat_maps"]
    assert (row["layer"], row["filter"]) == ("conv2_2", 1)
    assert len(summary["files"]) == 1
    assert open_store(store).heat_maps("steel", path="image003.png")["filter"].tolist() == [1]
    important = json.loads(run_explain(store, "--image", "image004.tif", "--json").stdout)
    assert len(important["heat_maps"]) == 3


def test_neighbours_of_a_named_image(store: str) -> None:
    summary = json.loads(run_explain(store, "--neighbours", "image003.png", "--json").stdout)
    features = open_store(store).features(
        "steel", encoder="mean", layer="conv4_3", spec=next(iter(open_store(store).specs("steel")))
    )
    paths = features.rows["path"].tolist()
    expected = nearest(features.to_numpy(), paths.index("image003.png"), 10)
    assert [row["path"] for row in summary["neighbours"]] == [paths[row] for row in expected.rows]
    frame = open_store(store).neighbours("steel", path="image003.png")
    np.testing.assert_array_equal(frame["cosine"], expected.cosines)
    assert "is not known" in refusal(run_explain(store, "--neighbours", "image003.png", "--same-scale"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--filters", "conv4_3:512"), "conv4_3 has no filter 512; its filters are 0 to 511"),
        (("--filters", "conv9_1:3"), "no layer conv9_1"),
        (("--filters", "conv4_3"), "write LAYER:NUMBER"),
        (("--image", "../../etc/passwd"), "no such image in snapshot 1"),
        (("--image", BROKEN), "it was rejected (decode: "),
        (("--neighbours", BROKEN), "it was rejected (decode: "),
        (("--neighbours", "a\x1b[31m\n.tif"), "no such image"),
        (("--neighbours", "image003.png", "--image", "image003.png"), "--neighbours answers one question"),
        (("--same-scale",), "name an image with --neighbours"),
        (("--label-column", "colour"), "--label-column colour: no such column"),
        (("--where", "label=class9"), "no image meets --where label=class9"),
        (("--image", "image003.png", "--label-column", "specimen"), "name some with --filters"),
        (("--layer", "conv9_1"), "--layer conv9_1: no such layer"),
    ],
)
def test_wrong_usage_is_one_line(explained: tuple[str, Result], arguments: tuple[str, ...], says: str) -> None:
    line = refusal(run_explain(explained[0], *arguments))
    assert says in line
    assert "\x1b" not in line


def relabel(store: str, labels: dict[str, str], um_per_px: str = "") -> None:
    """A new snapshot of the same images with these labels, and a scale."""
    archive = Path(open_store(store).catalog("steel").snapshot.archive_url.removeprefix("file://"))
    file = Path(store).parent / "labels.csv"
    file.write_text(
        "path,label,um_per_px\n" + "".join(f'{path},"{label}",{um_per_px}\n' for path, label in labels.items())
    )
    arguments = ["--store", store, "--dataset", "steel", str(archive), "--labels", str(file)]
    result = CliRunner().invoke(index_command, arguments)
    assert result.exit_code == 0, result.output


def names() -> list[str]:
    return [f"image{number:03}.{'png' if number % 2 else 'tif'}" for number in range(12)]


def test_without_labels_what_needs_them_is_left_out(store: str) -> None:
    relabel(store, dict.fromkeys(names(), ""))
    result = run_explain(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "importances and characteristic filters are left out" in result.stdout
    assert "atypical images:" in result.stdout
    assert "important filters:" not in result.stdout
    assert open_store(store).typical("steel")["class_rank"].isna().all()
    assert len(open_store(store).map("steel", snapshot=2)) == 12


def test_one_class_is_nothing_to_tell_apart(store: str) -> None:
    relabel(store, dict.fromkeys(names(), "steel"))
    result = run_explain(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "column label has 1 values, one class only" in result.stdout
    assert open_store(store).typical("steel")["class_size"].tolist() == [12] * 12


def test_a_label_with_one_image_leaves_out_importances_alone(store: str) -> None:
    relabel(
        store, {name: "rare" if name == "image003.png" else f"class{number % 2}" for number, name in enumerate(names())}
    )
    result = run_explain(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "importances are left out: " in result.stdout
    assert "'rare' has 1 images, fewer than 3 folds" in result.stdout
    frame = open_store(store).characteristics("steel")
    assert set(frame["class"]) == {"class0", "class1", "rare"}
    assert frame[frame["class"] == "rare"]["auc"].isna().all()


def test_a_scale_that_the_labels_state_stands_in_the_pictures(store: str) -> None:
    relabel(store, {name: f"class{number % 2}" for number, name in enumerate(names())}, "0.5")
    arguments = ("--image", "image003.png", "--filters", "conv2_2:1")
    assert run_explain(store, *arguments).exit_code == 0
    [row] = open_store(store).heat_maps("steel", path="image003.png").to_dict("records")
    # 80 x 64 px of the file were seen as 64 x 64.
    assert (row["um_per_px_x"], row["um_per_px_y"]) == (pytest.approx(0.625), pytest.approx(0.5))
    relabel(store, {name: f"class{number % 2}" for number, name in enumerate(names())}, "1.5")
    assert run_explain(store, *arguments).exit_code == 0
    assert open_store(store).heat_maps("steel", path="image003.png")["um_per_px_y"].tolist() == [pytest.approx(1.5)]
    assert run_explain(store, "--neighbours", "image003.png", "--same-scale").exit_code == 0


def test_hostile_labels_are_text_everywhere(store: str) -> None:
    hostile = "../<b>$x^{\x1b[31m"
    relabel(store, {name: hostile if number % 2 else "_plain" for number, name in enumerate(names())})
    result = run_explain(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout + result.stderr
    assert hostile in set(open_store(store).characteristics("steel")["class"])
    sheets = [path.name for path in Path(store).glob("reports/dataset=steel/*class-*")]
    assert any("class-01-b-x-31m" in name for name in sheets)
