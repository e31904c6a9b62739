"""explain on Ray: its rows against direct calls of the numerics."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import Result

from jobs.evaluation_plan import make_evaluation_plan
from jobs.evaluation_request import EvaluationRequest
from tests.jobs.explained import BROKEN, PIXELS
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
    rank_importances,
    trial_importances,
)
from texture_store.explain.heat_map import activation_maps
from texture_store.explain.patches import best_patch
from texture_store.explain.recipes import PAPER
from texture_store.explain.textures import make_textures
from texture_store.micrograph.reading import read_micrograph
from texture_store.report.encoded import decoded
from texture_store.spec import NETWORK_LAYERS, NUM_CHANNELS

pytestmark = pytest.mark.ray


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
