"""explain on Ray, on a small store with random weights: its rows against direct calls of the numerics."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

from jobs.evaluation_plan import make_evaluation_plan
from jobs.evaluation_request import EvaluationRequest
from jobs.explain import command
from jobs.featurize import featurize
from jobs.index import command as index_command
from jobs.planning import Request
from tests.jobs.conftest import write_archive
from texture_store import open_store
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import random_weights
from texture_store.evaluation import (
    atypical,
    characteristics,
    class_distances,
    correlated_columns,
    embed,
    mean_importances,
    nearest,
    rank_importances,
    trial_importances,
)
from texture_store.explain.heat_map import activation_maps
from texture_store.explain.patches import best_patch
from texture_store.explain.recipes import PAPER
from texture_store.explain.textures import make_textures
from texture_store.micrograph.reading import read_micrograph
from texture_store.report.encoded import decoded
from texture_store.spec import NETWORK_LAYERS, NUM_CHANNELS, make_pixel_spec

pytestmark = pytest.mark.ray

# Few small trees, one filter, and the recipe that is quick.
QUICK = ("--trials", "2", "--trees", "15", "--top", "1", "--recipe", "paper")
PIXELS = make_pixel_spec(size="64x64")
BROKEN = "broken.png"


def run(store: str, *arguments: str) -> Result:
    spec = next(iter(open_store(store).specs("steel")))  # random weights are never chosen by themselves
    return CliRunner().invoke(command, ["--store", store, "--dataset", "steel", "--spec", spec, *arguments])


def refusal(result: Result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("texture-store explain:")]
    return line


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> tuple[str, Result]:
    """A store that explain has run on, and what it printed."""
    folder = tmp_path_factory.mktemp("explained")
    archive = write_archive(folder / "archive", count=12)
    (archive / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    store = str(folder / "store")
    labels = str(archive / "labels.csv")
    arguments = ["--store", store, "--dataset", "steel", str(archive), "--labels", labels]
    assert CliRunner().invoke(index_command, arguments).exit_code == 0
    featurize(
        Request(
            store_url=store,
            dataset="steel",
            pixels=PIXELS,
            weights="random:0",
            precision="float32",
            layers=NETWORK_LAYERS,
            encoders=("mean",),
        )
    )
    result = run(store, *QUICK, "--output", str(folder / "out"))
    assert result.exit_code == 0, result.output
    return store, result


@pytest.fixture
def store(explained: tuple[str, Result], tmp_path: Path) -> str:
    """A copy of it, to change."""
    shutil.copytree(explained[0], tmp_path / "store")
    return str(tmp_path / "store")


def features_of(store_url: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[str, int]]]:
    """(n, d) features, labels, specimens, and the filter of each column."""
    store = open_store(store_url)
    spec = next(iter(store.specs("steel")))
    layers = [store.features("steel", encoder="mean", layer=layer, spec=spec) for layer in NETWORK_LAYERS]
    matrix = np.hstack([one.to_numpy() for one in layers])
    rows = layers[0].rows
    filters = [(layer, number) for layer in NETWORK_LAYERS for number in range(NUM_CHANNELS[layer])]
    return matrix, rows["label"].to_numpy(str), rows["specimen"].to_numpy(object), filters


def in_order(frame: pd.DataFrame, filters: list[tuple[str, int]]) -> pd.DataFrame:
    return frame.set_index(["layer", "filter"]).loc[filters]


def test_importances_are_those_of_the_forests_that_evaluate_scores(explained: tuple[str, Result]) -> None:
    store = explained[0]
    matrix, labels, _, filters = features_of(store)
    spec = next(iter(open_store(store).specs("steel")))
    request = EvaluationRequest(store, "steel", ("mean",), ("all",), trials=2, trees=15, spec=spec)
    splits = [split for split in make_evaluation_plan(request, lambda _: None).splits if split.protocol == "group"]
    clusters = correlated_columns(matrix)
    expected = mean_importances(
        [
            trial_importances(matrix, labels, split.folds, clusters.of_column, trees=15, seed=split.seed)
            for split in splits
        ]
    )
    found = in_order(open_store(store).importances("steel"), filters)
    for name in ("permutation", "permutation_spread", "votes", "impurity", "impurity_spread"):
        np.testing.assert_array_equal(found[name], getattr(expected, name))
    np.testing.assert_array_equal(found["cluster"], clusters.of_column)
    ranking = rank_importances(expected, clusters.of_column, test_share=0.5)
    assert found["rank"].dropna().sort_values().index.tolist() == [filters[column] for column in ranking.columns]
    assert found["protocol"].unique().tolist() == ["group"]
    means = {name: matrix[labels == name].mean(axis=0, dtype=np.float64) for name in ("class0", "class1")}
    for name, values in means.items():
        assert [row[name] for row in found["class_means"]] == values.tolist()


def test_characteristic_filters_are_over_specimens(explained: tuple[str, Result]) -> None:
    matrix, labels, specimens, filters = features_of(explained[0])
    expected = characteristics(matrix, labels, groups=specimens)
    frame = open_store(explained[0]).characteristics("steel")
    assert frame["group_column"].unique().tolist() == ["specimen"]
    for place, name in enumerate(expected.classes):
        found = in_order(frame[frame["class"] == name], filters)
        np.testing.assert_array_equal(found["difference"], expected.differences[place])
        np.testing.assert_array_equal(found["auc"], expected.auc[place])
        np.testing.assert_allclose(found["mean"], expected.means[place])
        best = found["difference_rank"].idxmin()
        assert expected.differences[place][filters.index(best)] == expected.differences[place].max()


def test_typical_images_and_the_map_are_those_of_the_numerics(explained: tuple[str, Result]) -> None:
    matrix, labels, _, _ = features_of(explained[0])
    store = open_store(explained[0])
    found = store.typical("steel")
    np.testing.assert_array_equal(found["class_distance"], class_distances(matrix, labels))
    odd = atypical(matrix, len(matrix))
    np.testing.assert_array_equal(found["atypicality"], odd.distances)
    assert found.sort_values("atypical_rank").index.tolist() == odd.rows.tolist()
    for _, rows in found.groupby("label"):
        assert rows.sort_values("class_distance")["class_rank"].tolist() == [1, 2, 3, 4, 5, 6]
    points = store.map("steel")
    np.testing.assert_array_equal(points[["x", "y"]], embed(matrix, method="pca", seed=0).points)


def test_textures_are_kept_as_they_are_made(explained: tuple[str, Result]) -> None:
    frame = open_store(explained[0]).textures(recipe="paper")
    weights = random_weights(seed=0)
    assert frame["weights"].unique().tolist() == [weights.digest]
    assert frame["lineage"].unique().tolist() == ["random:0"]
    shallow = frame[frame["layer"].isin(["conv1_2", "conv2_2", "conv3_3"])].iloc[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the tasks do: twenty steps make much of a last bit
    try:
        [made] = make_textures(weights, shallow["layer"], [int(shallow["filter"])], PAPER)
    finally:
        torch.set_num_threads(threads)
    assert shallow["is_dead"] == made.is_dead
    if not made.is_dead:
        np.testing.assert_array_equal(decoded(shallow["picture"]), made.picture)
        assert shallow["activation"] == pytest.approx(made.activation, rel=1e-3)


def test_exemplars_have_the_highest_features_and_their_best_patches(explained: tuple[str, Result]) -> None:
    matrix, _, _, filters = features_of(explained[0])
    store = open_store(explained[0])
    paths = store.images("steel").column("path").to_pylist()
    paths.remove(BROKEN)
    frame = store.exemplars("steel")
    network = VGG16(random_weights(seed=0), precision="float32")
    archive = Path(explained[0]).parent / "archive"
    for (layer, number), rows in frame.groupby(["layer", "filter"]):
        column = matrix[:, filters.index((layer, number))]
        assert rows["path"].tolist() == [paths[row] for row in np.argsort(-column, kind="stable")[:5]]
        np.testing.assert_array_equal(rows["mean_activation"], np.sort(column)[::-1][:5])
    row = frame.iloc[0]
    seen = read_micrograph((archive / row["path"]).read_bytes(), PIXELS).seen
    [activation] = activation_maps(network, seen, row["layer"], [row["filter"]])
    patch = best_patch(activation, row["layer"], *seen.shape)
    assert (row["patch_left"], row["patch_top"], row["patch_side"]) == (patch.left, patch.top, patch.side)
    assert row["patch_mean_activation"] == pytest.approx(patch.mean_activation, rel=1e-5)
    np.testing.assert_array_equal(decoded(row["patch"]), patch.cut(seen))
    assert decoded(row["picture"]).shape == seen.shape == (row["seen_height"], row["seen_width"])


def test_heat_maps_are_of_the_most_and_the_least_typical_image(explained: tuple[str, Result]) -> None:
    store = open_store(explained[0])
    frame, typical = store.heat_maps("steel"), store.typical("steel")
    ends = typical[typical["class_rank"].isin([1, 6])]
    assert set(frame["path"]) == set(ends["path"])
    row = frame.iloc[0]
    top = store.importances("steel").iloc[0]
    assert (row["layer"], row["filter"]) == (top["layer"], top["filter"])
    network = VGG16(random_weights(seed=0), precision="float32")
    seen = read_micrograph((Path(explained[0]).parent / "archive" / row["path"]).read_bytes(), PIXELS).seen
    [activation] = activation_maps(network, seen, row["layer"], [row["filter"]])
    levels = decoded(row["activation"])
    assert levels.shape == activation.shape
    np.testing.assert_allclose(levels * (row["highest_activation"] / 255), activation, atol=activation.max() / 400)
    assert row["mean_activation"] == pytest.approx(activation.mean(), rel=1e-4)


def test_it_says_what_it_found_and_writes_sheets(explained: tuple[str, Result]) -> None:
    store, result = explained
    assert "RANDOM WEIGHTS" in result.stderr
    for title in ("important filters:", "characteristic filters:", "typical images:", "atypical images:"):
        assert title in result.stdout
    names = {path.name.split("-", 3)[-1].rsplit("-", 1)[0] for path in (Path(store).parent / "out").iterdir()}
    assert names == {
        *("filters", "class-01-class0", "class-02-class1", "heat-maps", "map"),
        *("importances", "characteristics", "typical", "map-points"),
    }
    assert len(list(Path(store).glob("reports/dataset=steel/explanation-*"))) == 9


def digests(store: str) -> dict[str, str]:
    """Of each file but the records of runs."""
    files = (path for path in Path(store).rglob("*") if path.is_file())
    found = {path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: digest for name, digest in found.items() if not name.startswith("runs/")}


def test_a_second_run_computes_nothing_and_starts_no_ray(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(store)
    monkeypatch.setattr("jobs.cluster.connected", lambda _: pytest.fail("Ray is not needed"))
    result = run(store, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    assert not any(json.loads(result.stdout)["computed"].values())
    assert digests(store) == before


def test_a_missing_texture_cache_is_made_again(store: str) -> None:
    before = open_store(store).textures().set_index(["layer", "filter"])["picture"]
    shutil.rmtree(Path(store) / "textures")
    result = run(store, *QUICK, "--json")
    computed = json.loads(result.stdout)["computed"]
    assert {name: number for name, number in computed.items() if number} == {"textures": len(before)}
    assert open_store(store).textures().set_index(["layer", "filter"])["picture"].to_dict() == before.to_dict()


def test_without_weights_textures_are_left_out_and_it_says_so(store: str) -> None:
    shutil.rmtree(Path(store) / "textures")
    shutil.rmtree(Path(store) / "weights")
    result = run(store, *QUICK)
    assert result.exit_code == 1
    assert "textures are left out: " in result.stdout
    assert "important filters:" in result.stdout


def test_without_the_archive_numbers_and_textures_are_kept(store: str) -> None:
    shutil.rmtree(Path(store) / "explanations")
    archive = Path(open_store(store).catalog("steel").snapshot.archive_url.removeprefix("file://"))
    hidden = archive.rename(archive.with_name("hidden"))
    try:
        result = run(store, *QUICK)
    finally:
        hidden.rename(archive)
    assert result.exit_code == 1
    assert "changed since they were indexed" in result.stdout
    found = open_store(store)
    assert len(found.importances("steel")) == 1472
    assert len(found.exemplars("steel")) == 0
    again = run(store, *QUICK)
    assert again.exit_code == 0
    assert len(found.exemplars("steel")) > 0


def test_named_filters_are_all_that_is_looked_at(store: str) -> None:
    result = run(store, "--filters", "conv1_2:3, conv3_3:9", "--recipe", "paper", "--json")
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
    summary = json.loads(run(store, "--image", "image003.png", "--filters", "conv2_2:1", "--json").stdout)
    [row] = summary["heat_maps"]
    assert (row["layer"], row["filter"]) == ("conv2_2", 1)
    assert len(summary["files"]) == 1
    assert open_store(store).heat_maps("steel", path="image003.png")["filter"].tolist() == [1]
    important = json.loads(run(store, "--image", "image004.tif", "--json").stdout)
    assert len(important["heat_maps"]) == 3


def test_neighbours_of_a_named_image(store: str) -> None:
    summary = json.loads(run(store, "--neighbours", "image003.png", "--json").stdout)
    features = open_store(store).features(
        "steel", encoder="mean", layer="conv4_3", spec=next(iter(open_store(store).specs("steel")))
    )
    paths = features.rows["path"].tolist()
    expected = nearest(features.to_numpy(), paths.index("image003.png"), 10)
    assert [row["path"] for row in summary["neighbours"]] == [paths[row] for row in expected.rows]
    frame = open_store(store).neighbours("steel", path="image003.png")
    np.testing.assert_array_equal(frame["cosine"], expected.cosines)
    assert "is not known" in refusal(run(store, "--neighbours", "image003.png", "--same-scale"))


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
    line = refusal(run(explained[0], *arguments))
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
    result = run(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "importances and characteristic filters are left out" in result.stdout
    assert "atypical images:" in result.stdout
    assert "important filters:" not in result.stdout
    assert open_store(store).typical("steel")["class_rank"].isna().all()
    assert len(open_store(store).map("steel", snapshot=2)) == 12


def test_one_class_is_nothing_to_tell_apart(store: str) -> None:
    relabel(store, dict.fromkeys(names(), "steel"))
    result = run(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "column label has 1 values, one class only" in result.stdout
    assert open_store(store).typical("steel")["class_size"].tolist() == [12] * 12


def test_a_label_with_one_image_leaves_out_importances_alone(store: str) -> None:
    relabel(
        store, {name: "rare" if name == "image003.png" else f"class{number % 2}" for number, name in enumerate(names())}
    )
    result = run(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "importances are left out: " in result.stdout
    assert "'rare' has 1 images, fewer than 3 folds" in result.stdout
    frame = open_store(store).characteristics("steel")
    assert set(frame["class"]) == {"class0", "class1", "rare"}
    assert frame[frame["class"] == "rare"]["auc"].isna().all()


def test_a_scale_that_the_labels_state_stands_in_the_pictures(store: str) -> None:
    relabel(store, {name: f"class{number % 2}" for number, name in enumerate(names())}, "0.5")
    arguments = ("--image", "image003.png", "--filters", "conv2_2:1")
    assert run(store, *arguments).exit_code == 0
    [row] = open_store(store).heat_maps("steel", path="image003.png").to_dict("records")
    # 80 x 64 px of the file were seen as 64 x 64.
    assert (row["um_per_px_x"], row["um_per_px_y"]) == (pytest.approx(0.625), pytest.approx(0.5))
    relabel(store, {name: f"class{number % 2}" for number, name in enumerate(names())}, "1.5")
    assert run(store, *arguments).exit_code == 0
    assert open_store(store).heat_maps("steel", path="image003.png")["um_per_px_y"].tolist() == [pytest.approx(1.5)]
    assert run(store, "--neighbours", "image003.png", "--same-scale").exit_code == 0


def test_hostile_labels_are_text_everywhere(store: str) -> None:
    hostile = "../<b>$x^{\x1b[31m"
    relabel(store, {name: hostile if number % 2 else "_plain" for number, name in enumerate(names())})
    result = run(store, *QUICK)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout + result.stderr
    assert hostile in set(open_store(store).characteristics("steel")["class"])
    sheets = [path.name for path in Path(store).glob("reports/dataset=steel/*class-*")]
    assert any("class-01-b-x-31m" in name for name in sheets)
