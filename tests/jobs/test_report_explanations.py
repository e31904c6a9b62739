"""What explain keeps, as a report shows it; the rows are made up, the pictures are real."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs import report_explanations
from jobs.index import index
from tests.jobs.test_report import commit_all, page_of, section
from tests.made_store import SPEC, MadeStore
from texture_store.explain.positions import map_shape
from texture_store.report.encoded import jpeg_bytes, png_bytes
from texture_store.report.heat_map_overlay import heat_map_overlay
from texture_store.store.explanations import write_explanation
from texture_store.store.textures import write_texture

from .conftest import write_archive

FILTERS = [("conv4_3", 17), ("conv1_2", 3)]
CLASSES = ["class0", "class1"]
GREY = np.random.default_rng(0).integers(0, 255, (64, 80), dtype=np.uint8)
SEEN: dict[str, Any] = {
    "picture": jpeg_bytes(GREY),
    "seen_width": 80,
    "seen_height": 64,
    "px_per_px_x": 1.0,
    "px_per_px_y": 1.0,
}
IMAGES: dict[str, Any] = {"snapshot": 1, "spec": SPEC.fingerprint, "conditions": [], "members": "m", "num_images": 10}


@pytest.fixture
def explained(tmp_path: Path) -> tuple[str, list[str]]:
    """A store with features that were made up and every table of explain; the paths of its images."""
    archive = write_archive(tmp_path / "archive")
    url = str(tmp_path / "store")
    index(url, "steel", str(archive), labels=str(archive / "labels.csv"))
    ids = commit_all(url)
    paths = [f"image{number:03}.{'png' if number % 2 else 'tif'}" for number in range(10)]
    storage = MadeStore.at(url).storage
    image = dict(zip(paths, ids, strict=True))

    def write(table: str, question: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        write_explanation(storage, "steel", table, question, rows, {})

    about = IMAGES | {"label_column": "label", "group_column": None}
    shared = {"permutation_spread": 0.002, "votes": 0.04, "impurity": 0.1, "impurity_spread": 0.02, "cluster": 0}
    shared |= {"partners": 0, "split_share": 1.0, "is_loss": False, "class_means": {"class0": 55.0, "class1": 8.7}}
    write(
        "importances",
        about
        | {"protocol": "image", "folds": 3, "trials": 10, "trees": 400, "repeats": 10, "seeds": [1]}
        | {"min_correlation": 0.9, "num_folds": 30, "score": 0.987},
        [
            {"layer": layer, "filter": number, "rank": rank, "impurity_rank": rank, "cluster_size": 3 - rank}
            | {"permutation": 0.0125 / rank}
            | shared
            for rank, (layer, number) in enumerate(FILTERS, 1)
        ],
    )
    write(
        "characteristics",
        about,
        [
            {"class": name, "num_class_images": 5, "num_class_units": 5, "layer": layer, "filter": number}
            | {"mean": 55.0, "difference": 46.3, "auc": 0.75, "difference_rank": rank, "auc_rank": 3 - rank}
            for name in CLASSES
            for rank, (layer, number) in enumerate(FILTERS, 1)
        ],
    )
    labels = {path: CLASSES[number % 2] for number, path in enumerate(paths)}
    own = [{"image_id": image[path], "path": path, "label": labels[path]} for path in paths]
    write(
        "typical",
        IMAGES | {"label_column": "label", "num_neighbours": 3},
        [row | {"atypicality": 1.0 + number, "atypical_rank": 10 - number} for number, row in enumerate(own)],
    )
    write(
        "map",
        IMAGES
        | {"label_column": "label", "encoder": "mean", "layer": "all", "method": "pca", "seed": 0}
        | {"explained_x": 0.4, "explained_y": 0.2},
        [row | {"x": float(number), "y": 0.0} for number, row in enumerate(own)],
    )
    write(
        "exemplars",
        IMAGES | {"layer": "conv4_3", "filter": 17, "count": 1},
        [
            {"rank": 1, "image_id": image[paths[4]], "path": paths[4], "mean_activation": 60.5}
            | {"patch": png_bytes(GREY[:32, :32]), "patch_left": 0, "patch_top": 0, "patch_side": 32}
            | {"patch_mean_activation": 70.0}
            | SEEN
        ],
    )
    activation = np.zeros(map_shape("conv4_3", 64, 80), np.uint8)
    activation[4, 5] = 255
    write(
        "heat_maps",
        {"spec": SPEC.fingerprint, "image_id": image[paths[2]], "layer": "conv4_3", "filter": 17}
        | {"um_per_px_x": None, "um_per_px_y": None},
        [
            {"path": paths[2], "mean_activation": 1.5, "highest_activation": 99.0}
            | {"activation": png_bytes(activation)}
            | SEEN
        ],
    )
    write(
        "neighbours",
        IMAGES
        | {"encoder": "mean", "layer": "all", "same_scale": False, "count": 2, "asked_id": image[paths[0]]}
        | {"asked_path": paths[0]},
        [
            {"rank": rank, "image_id": image[paths[rank]], "path": paths[rank], "cosine": 1 - rank / 100}
            for rank in (1, 2)
        ],
    )
    write_texture(
        storage,
        {"weights": SPEC.weights, "lineage": "caffe", "layer": "conv4_3", "filter": 17, "recipe": "better"}
        | {"recipe_key": "better-" + "0" * 20, "seed": 0, "picture": png_bytes(GREY), "is_dead": False}
        | {"activation": 40.0, "noise_activation": 4.0, "device": "x", "created": "2026-01-01T00:00:00.000+00:00"}
        | {"versions": {}},
    )
    return url, paths


def test_every_table_has_its_section(explained: tuple[str, list[str]]) -> None:
    url, paths = explained
    shown = section(page_of(url), "textures")
    assert "weighted F1 0.987" in shown
    assert "No filter&#39;s loss of F1 can be told from 0" in shown
    assert "0.0125 ± 0.0020 of weighted F1" in shown
    assert "1 more filter, permuted together" in shown
    assert "mostly at the picture" not in shown
    assert "10 times the activation of noise" in shown
    assert "no texture was made: run explain again" in shown  # of the other filter
    assert "number 1 (the paper&#39;s order)" in shown
    assert "mean activation 60.5" in shown
    assert "40 % of the variance" in page_of(url)
    assert "mean 1.5, highest 99" in shown
    assert "cosine 0.9900" in shown
    assert "10.0 times as far as the median" in shown
    assert shown.index(paths[9]) > 0
    assert "run explain again." not in shown.replace("no texture was made: run explain again", "")


def test_a_filter_of_the_edge_is_marked(explained: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = explained
    monkeypatch.setattr(report_explanations, "edge_filters", lambda _: {("conv4_3", 17)})
    shown = section(page_of(url), "textures")
    assert shown.count("mostly at the picture&#39;s edge") == 3  # once by importance, once for each class


def test_answers_about_an_older_snapshot_are_said(explained: tuple[str, list[str]], tmp_path: Path) -> None:
    url, _ = explained
    archive = write_archive(tmp_path / "archive", first=10, count=1)
    index(url, "steel", str(archive), labels=str(archive / "labels.csv"))
    shown = section(page_of(url), "textures")
    assert shown.count("Of snapshot 1; the current one is 2: run explain again.") == 4


def test_pictures_from_the_archive_are_bounded_with_all_others(explained: tuple[str, list[str]]) -> None:
    url, _ = explained
    shown = section(page_of(url, max_images=0), "textures")
    assert "cosine" not in shown
    assert "times as far" not in shown
    assert "mean 1.5, highest 99" in shown  # its picture is in the store


def test_colour_lies_where_the_filter_is_active_and_the_micrograph_elsewhere() -> None:
    grey = np.full((64, 80), 100, np.uint8)
    activation = np.zeros(map_shape("conv4_3", 64, 80), np.uint8)
    activation[4, 5] = 255
    shown = heat_map_overlay(grey, activation, "conv4_3", seen=(64, 80)).astype(int)
    coloured = np.abs(shown - 100).max(axis=2)
    row, column = np.unravel_index(coloured.argmax(), coloured.shape)
    assert (abs(row - 36) <= 8, abs(column - 44) <= 8) == (True, True)
    assert (shown[:16] == 100).all()
    assert (
        heat_map_overlay(grey, np.zeros_like(activation), "conv4_3", seen=(64, 80)).tolist()
        == np.stack([grey] * 3, axis=2).tolist()
    )
