from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from tests.explain.planted import GROUND, handing_on
from texture_store.backbone.vgg16 import VGG16
from texture_store.backbone.weights import Weights, random_weights
from texture_store.encoding.encode import encode
from texture_store.errors import DimensionMismatchError, UsageError
from texture_store.explain.heat_map import activation_maps, enlarge
from texture_store.explain.positions import STRIDES, map_shape
from texture_store.spec import LAYERS, NETWORK_LAYERS, NUM_CHANNELS, Layer


@cache
def spreading() -> VGG16:
    return VGG16(handing_on(spread=True), precision="float32")


@cache
def copying() -> VGG16:
    return VGG16(handing_on(spread=False), precision="float32")


def spotted(height: int, width: int, y: int, x: int) -> np.ndarray:
    picture = np.full((height, width), GROUND, np.uint8)
    picture[y, x] = 255
    return picture


def peak(large: np.ndarray) -> tuple[float, float]:
    """The middle of the highest pixels, in px from the top left corner."""
    rows, columns = np.nonzero(large >= large.max() * (1 - 1e-6))
    return float(rows.mean()) + 0.5, float(columns.mean()) + 0.5


def peaks(network: VGG16, height: int, width: int, spots: list[tuple[int, int]]) -> dict[Layer, np.ndarray]:
    """Where the heat map of each spot peaks (spots, 2), by layer."""
    pictures = torch.from_numpy(np.stack([spotted(height, width, y, x) for y, x in spots]))
    return {
        layer: np.array([peak(enlarge(activations[0].numpy(), layer, height, width)) for activations in maps])
        for layer, maps in network.feature_maps(pictures, NETWORK_LAYERS)
    }


@pytest.mark.parametrize(("height", "width"), [(96, 64), (79, 111)])
def test_the_peak_of_a_network_that_copies_lies_in_the_cell_of_the_spot(height: int, width: int) -> None:
    stride = STRIDES["conv5_3"]
    last_y, last_x = height // stride * stride - 1, width // stride * stride - 1
    spots = [(0, 0), (last_y, last_x), (38, 41), (0, last_x - 3), (last_y, 17)]
    for layer, found in peaks(copying(), height, width, spots).items():
        for (y, x), place in zip(spots, found, strict=True):
            # At the edge the map is flat from the outermost centre on, over the px that pooling left out too.
            cell = (np.floor(place) // STRIDES[layer]).astype(int)
            left_out = np.minimum(cell, np.array(map_shape(layer, height, width)) - 1)
            assert tuple(left_out) == (y // STRIDES[layer], x // STRIDES[layer]), (layer, y, x)


def test_peaks_lie_within_half_a_stride_of_the_spots_and_on_average_on_them() -> None:
    """A map that is stretched over an odd picture, or drawn from its corners, fails here by several px."""
    spots = [(48 + step, 40 + step) for step in range(STRIDES["conv5_3"])]
    for layer, found in peaks(spreading(), 143, 111, spots).items():
        offsets = found - (np.array(spots) + 0.5)
        assert np.abs(offsets).max() <= STRIDES[layer] / 2, layer
        np.testing.assert_allclose(offsets.mean(axis=0), 0, atol=0.01, err_msg=layer)


def test_a_map_is_that_of_the_network_and_its_mean_is_the_feature() -> None:
    network = VGG16(random_weights(seed=3), precision="float32")
    picture = np.random.default_rng(0).integers(0, 256, (70, 53), np.uint8)
    for layer in LAYERS:
        filters = [NUM_CHANNELS[layer] - 1, 0]
        found = activation_maps(network, picture, layer, filters)
        assert (found.dtype, found.shape) == (np.float32, (2, *map_shape(layer, 70, 53)))
        ((_, maps),) = network.feature_maps(torch.from_numpy(picture[np.newaxis]), [layer])
        np.testing.assert_array_equal(found, maps[0, filters].numpy())
        np.testing.assert_allclose(found.mean((1, 2)), encode(maps, ["mean"]).vectors["mean"][0, filters], rtol=1e-5)


def test_maps_of_bfloat16_are_float32_of_the_same_values() -> None:
    network = VGG16(random_weights(seed=3), precision="bfloat16")
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    found = activation_maps(network, picture, "conv3_3", [5])
    ((_, maps),) = network.feature_maps(torch.from_numpy(picture[np.newaxis]), ["conv3_3"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], maps[0, 5].float().numpy())


def test_a_picture_that_may_not_be_written_to_is_read() -> None:
    picture = spotted(64, 64, 9, 9)
    picture.flags.writeable = False
    assert activation_maps(copying(), picture, "conv1_2", [0]).max() > 0


@settings(max_examples=50, deadline=None)
@given(
    layer=st.sampled_from(LAYERS), height=st.integers(32, 120), width=st.integers(32, 120), seed=st.integers(0, 2**32)
)
def test_enlarging_interpolates_between_the_centres_of_cells(layer: Layer, height: int, width: int, seed: int) -> None:
    activation = np.random.default_rng(seed).exponential(100, map_shape(layer, height, width)).astype(np.float32)
    large = enlarge(activation, layer, height, width)
    assert (large.dtype, large.shape) == (np.float32, (height, width))
    places = np.meshgrid(*((np.arange(side) + 0.5) / STRIDES[layer] - 0.5 for side in (height, width)), indexing="ij")
    expected = map_coordinates(activation.astype(np.float64), places, order=1, mode="nearest")
    np.testing.assert_allclose(large, expected, rtol=1e-5, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    layer=st.sampled_from(LAYERS), height=st.integers(32, 120), width=st.integers(32, 120), seed=st.integers(0, 2**32)
)
def test_enlarging_without_smoothing_shows_the_cell_of_each_pixel(
    layer: Layer, height: int, width: int, seed: int
) -> None:
    rows, columns = map_shape(layer, height, width)
    activation = np.random.default_rng(seed).random((rows, columns), np.float32)
    large = enlarge(activation, layer, height, width, smooth=False)
    stride = STRIDES[layer]
    y, x = np.indices((height, width)) // stride
    np.testing.assert_array_equal(large, activation[np.minimum(y, rows - 1), np.minimum(x, columns - 1)])


def test_a_map_of_another_picture_is_refused() -> None:
    with pytest.raises(DimensionMismatchError, match=r"a conv4_3 map of a 640 x 500 px picture is .*\(62, 80\)"):
        enlarge(np.zeros((64, 80), np.float32), "conv4_3", 500, 640)


@pytest.mark.parametrize(
    "picture", [np.zeros((64, 64), np.float32), np.zeros((1, 64, 64), np.uint8), np.zeros((31, 64), np.uint8)]
)
def test_arrays_that_are_no_picture_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(DimensionMismatchError, match="uint8 picture"):
        activation_maps(copying(), picture, "conv1_2", [0])


def test_a_filter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="conv5_3 has no filter 600; choose one of its 512, 0 to 511"):
        activation_maps(copying(), spotted(64, 64, 1, 1), "conv5_3", [3, 600])


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv3_3", "conv4_3", "conv5_3"])
def test_filters_that_tell_stripes_from_dots_peak_in_their_half(caffe_weights: Weights, layer: Layer) -> None:
    network = VGG16(caffe_weights, precision="float32")
    filters = range(NUM_CHANNELS[layer])
    means = {
        kind: activation_maps(network, picture, layer, filters).mean((1, 2))
        for kind, picture in (("stripes", stripes(320, 320)), ("dots", dots(320, 320)))
    }
    mixed = np.hstack([stripes(320, 160), dots(320, 160)])
    difference = means["stripes"] - means["dots"]
    chosen = {"stripes": np.argsort(-difference)[:5], "dots": np.argsort(difference)[:5]}
    for kind, numbers in chosen.items():
        maps = activation_maps(network, mixed, layer, [int(number) for number in numbers])
        for number, activation in zip(numbers, maps, strict=True):
            large = enlarge(activation, layer, 320, 320)
            half = slice(0, 160) if kind == "stripes" else slice(160, 320)
            other = slice(160, 320) if kind == "stripes" else slice(0, 160)
            assert large[:, half].mean() > 2 * large[:, other].mean(), (kind, number)
            column = int(np.argmax(large.max(axis=0)))
            assert half.start <= column < half.stop, (kind, number)


def stripes(height: int, width: int) -> np.ndarray:
    """Bright lines, upright, 16 px apart, with some noise."""
    wave = np.broadcast_to(np.arange(width) % 16 < 6, (height, width))
    return _exposed(wave, seed=1)


def dots(height: int, width: int) -> np.ndarray:
    """Bright discs 12 px wide in a square lattice of 24 px, with some noise."""
    y, x = np.indices((height, width))
    return _exposed((y % 24 - 11.5) ** 2 + (x % 24 - 11.5) ** 2 < 36, seed=2)


def _exposed(bright: np.ndarray, *, seed: int) -> np.ndarray:
    soft = gaussian_filter(np.where(bright, 190.0, 70.0), 1)
    return np.clip(soft + np.random.default_rng(seed).normal(0, 6, bright.shape), 0, 255).astype(np.uint8)
