import numpy as np
import pytest
import torch

from tests.explain.planted import GROUND, handing_on
from texture_store.backbone.vgg16 import VGG16
from texture_store.errors import UsageError
from texture_store.explain.positions import RECEPTIVE_FIELDS_PX, STRIDES, check_filter, map_shape, receptive_field
from texture_store.spec import LAYERS, NETWORK_LAYERS, Layer


@pytest.fixture(scope="module")
def network() -> VGG16:
    return VGG16(handing_on(spread=True), precision="float32")


@pytest.mark.parametrize(("height", "width"), [(128, 96), (101, 143), (111, 95)])
def test_a_pixel_reaches_exactly_the_positions_whose_receptive_field_it_is_in(
    network: VGG16, height: int, width: int
) -> None:
    for y, x in ((0, 0), (height // 2, width // 3), (height - 1, width - 1), (17, width - 16)):
        picture = np.full((1, height, width), GROUND, np.uint8)
        picture[0, y, x] = 255
        for layer, maps in network.feature_maps(torch.from_numpy(picture), NETWORK_LAYERS):
            reached = maps[0, 0].numpy() > 0
            assert reached.shape == map_shape(layer, height, width)
            for (row, column), is_reached in np.ndenumerate(reached):
                left, top, right, bottom = receptive_field(layer, row, column)
                # A pooling that drops a picture's last row drops what lies in it too.
                if _is_pooled(layer, y, height) and _is_pooled(layer, x, width):
                    assert is_reached == (left <= x < right and top <= y < bottom), (layer, row, column)


def _is_pooled(layer: Layer, place: int, side: int) -> bool:
    """Whether no pooling before the layer leaves the pixel out, not even after convolutions have widened it."""
    return place < side - side % STRIDES[layer]


def test_receptive_fields_are_those_of_the_recurrence() -> None:
    """Dumoulin and Visin 2016: a layer with kernel k on stride j widens the field by (k - 1) j."""
    field, stride = 1, 1
    found: dict[Layer, tuple[int, int]] = {"input": (1, 1)}
    for layer, convolutions in zip(NETWORK_LAYERS, (2, 2, 3, 3, 3), strict=True):
        field += 2 * stride * convolutions
        found[layer] = field, stride
        field, stride = field + stride, 2 * stride
    assert found == {layer: (RECEPTIVE_FIELDS_PX[layer], STRIDES[layer]) for layer in LAYERS}


def test_centres_are_a_stride_apart_and_half_a_stride_from_the_edge() -> None:
    for layer in LAYERS:
        left, top, right, bottom = receptive_field(layer, 2, 5)
        assert ((left + right) / 2, (top + bottom) / 2) == (5.5 * STRIDES[layer], 2.5 * STRIDES[layer])


@pytest.mark.parametrize(("layer", "number"), [("conv4_3", 512), ("conv1_2", 64), ("conv5_3", -1), ("input", 3)])
def test_a_filter_that_does_not_exist_is_refused(layer: Layer, number: int) -> None:
    with pytest.raises(UsageError, match=f"{layer} has no filter {number}; choose one of its"):
        check_filter(layer, number)


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown layer conv3_1; the layers are input conv1_2"):
        check_filter("conv3_1", 0)  # type: ignore[arg-type]
