"""What bfloat16 costs: the table in the docstring of texture_store/backbone/vgg16.py, and what forests make of it."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from PIL import Image

from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.encoding.encode import encode
from texture_store.spec import NETWORK_LAYERS, Encoder, Layer

Picture = npt.NDArray[np.uint8]
Key = tuple[Layer, Encoder]

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram")


def micrographs(test_data: Path, side: int = 512) -> list[Picture]:
    """Twelve SEM micrographs without databar, as squares."""
    steel = sorted((test_data / "uhcs" / "images").glob("*.tif"))[::6]
    others = sorted((test_data / "nffa" / "images").glob("cropped_*.jpg"))[::10]
    files = [*steel[:6], *others[:6]]
    assert len(files) >= 10
    return [np.array(Image.open(file).convert("L").crop((0, 0, 645, 484)).resize((side, side))) for file in files]


def errors_of_bfloat16(weights: Weights, pictures: list[Picture]) -> dict[Key, tuple[float, float]]:
    """(worst error as a share of the layer's greatest value, median relative error of the values) against float32."""
    fine, coarse = (VGG16(weights, precision=precision) for precision in ("float32", "bfloat16"))
    worst: dict[Key, float] = defaultdict(float)
    relative: dict[Key, list[float]] = defaultdict(list)
    for picture in pictures:
        pixels = torch.from_numpy(picture[None])
        pairs = zip(fine.feature_maps(pixels, NETWORK_LAYERS), coarse.feature_maps(pixels, NETWORK_LAYERS), strict=True)
        for (layer, exact_maps), (_, maps) in pairs:
            exact, rounded = encode(exact_maps, ENCODERS).vectors, encode(maps, ENCODERS).vectors
            for encoder in ENCODERS:
                error = np.abs(rounded[encoder] - exact[encoder])
                worst[layer, encoder] = max(worst[layer, encoder], float(error.max() / exact[encoder].max()))
                is_active = exact[encoder] > 0
                relative[layer, encoder].append(float(np.median(error[is_active] / exact[encoder][is_active])))
    return {key: (worst[key], float(np.median(relative[key]))) for key in worst}


def mean_features(weights: Weights, precision: str, pictures: list[Picture]) -> dict[Layer, npt.NDArray[np.float32]]:
    """Mean features (images, channels) at conv1_2 and conv4_3."""
    network = VGG16(weights, precision=precision)  # type: ignore[arg-type]
    rows: dict[Layer, list[npt.NDArray[np.float32]]] = {"conv1_2": [], "conv4_3": []}
    for picture in pictures:
        for layer, maps in network.feature_maps(torch.from_numpy(picture[None]), tuple(rows)):
            rows[layer].append(encode(maps, ["mean"]).vectors["mean"][0])
    return {layer: np.stack(vectors) for layer, vectors in rows.items()}


def forest_scores(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.str_], *, trees: int, trials: int
) -> list[float]:
    """Weighted F1 of pooled out-of-fold predictions, stratified 3-fold, one score per trial."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    scores = []
    for trial in range(trials):
        folds = StratifiedKFold(3, shuffle=True, random_state=trial)
        forest = RandomForestClassifier(trees, random_state=trial)
        predicted = cross_val_predict(forest, features, labels, cv=folds)
        scores.append(float(f1_score(labels, predicted, average="weighted")))
    return scores


def defects(test_data: Path, per_class: int) -> tuple[list[Picture], npt.NDArray[np.str_]]:
    """Surface defects of NEU, 200x200 px, and their classes."""
    table = pd.read_csv(test_data / "neu" / "labels.csv").groupby("label").head(per_class)
    pictures = [np.array(Image.open(test_data / "neu" / path).convert("L")) for path in table["path"]]
    return pictures, table["label"].to_numpy(dtype=str)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bfloat16_errs_by_less_than_one_percent_of_a_layers_greatest_value(
    caffe_weights: Weights, test_data: Path
) -> None:
    errors = errors_of_bfloat16(caffe_weights, micrographs(test_data))
    for layer in NETWORK_LAYERS:
        cells = (f"{worst:.2%} / {median:.2%}" for worst, median in (errors[layer, e] for e in ENCODERS))
        print(f"| {layer} | {' | '.join(cells)} |")
    assert max(worst for worst, _ in errors.values()) < 0.01
    assert max(median for _, median in errors.values()) < 0.02


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forest_scores_do_not_move_beyond_their_spread_under_bfloat16(caffe_weights: Weights, test_data: Path) -> None:
    pictures, labels = defects(test_data, per_class=20)
    fine, coarse = (mean_features(caffe_weights, precision, pictures) for precision in ("float32", "bfloat16"))
    for layer, features in fine.items():
        expected = forest_scores(features, labels, trees=100, trials=4)
        found = forest_scores(coarse[layer], labels, trees=100, trials=4)
        print(layer, np.mean(expected), np.std(expected), np.mean(found), np.std(found))
        # Trials that agree to the last image still leave one image of doubt.
        spread = max(max(expected) - min(expected), 1 / len(labels))
        assert abs(np.mean(found) - np.mean(expected)) <= spread
