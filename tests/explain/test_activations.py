import numpy as np
import numpy.typing as npt
import pytest
import torch

from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights
from texture_store.encoding.encode import encode
from texture_store.errors import DimensionMismatchError, InvalidSpecError
from texture_store.explain.activations import noise_activations, picture_activations
from texture_store.explain.contrast import at_contrast


def _picture(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_activations_of_a_grey_picture_are_its_mean_feature(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    picture = _picture(40, 52)
    for layer, maps in network.feature_maps(torch.from_numpy(picture[None]), ("conv1_2", "conv3_3")):
        expected = encode(maps, ["mean"]).vectors["mean"][0]
        np.testing.assert_allclose(picture_activations(network, layer, picture), expected, rtol=1e-5)


def test_equal_channels_are_grey_and_others_are_not(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    grey, coloured = _picture(32, 32), _picture(32, 32, 3)
    expected = picture_activations(network, "conv1_2", grey)
    np.testing.assert_array_equal(picture_activations(network, "conv1_2", np.stack([grey] * 3, axis=2)), expected)
    coloured[:, :, 0] = grey
    assert (picture_activations(network, "conv1_2", coloured) != expected).any()


def test_noise_is_the_mean_over_draws_of_its_contrast(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    found = noise_activations(network, "conv2_2", side_px=32, seed=5, contrast=30)
    again = noise_activations(network, "conv2_2", side_px=32, seed=5, contrast=30)
    np.testing.assert_array_equal(found, again)
    generator = np.random.default_rng(77)
    others = [picture_activations(network, "conv2_2", at_contrast(generator.random((32, 32)), 30)) for _ in range(40)]
    spread = np.std(others, axis=0, ddof=1) * np.sqrt(1 / 8 + 1 / 40)
    assert (np.abs(found - np.mean(others, axis=0)) < 5 * spread + 1e-6).all()


def test_noise_in_colour_differs_from_noise_in_grey(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    grey, colour = (noise_activations(network, "conv1_2", side_px=32, seed=0, is_grey=is_grey) for is_grey in (1, 0))
    assert (grey != colour).all()


@pytest.mark.parametrize("picture", [np.zeros((32, 32)), np.zeros((32, 32, 4), np.uint8), np.zeros(32, np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(some_weights: Weights, picture: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(DimensionMismatchError, match="uint8"):
        picture_activations(VGG16(some_weights, precision="float32"), "conv1_2", picture)


def test_layer_input_has_no_filters(some_weights: Weights) -> None:
    with pytest.raises(InvalidSpecError, match="input"):
        picture_activations(VGG16(some_weights, precision="float32"), "input", _picture(32, 32))
