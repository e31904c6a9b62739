import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d, relu

from texture_store.backbone import vgg16
from texture_store.backbone.vgg16 import VGG16, has_native_bfloat16
from texture_store.backbone.weights import Weights
from texture_store.encoding.encode import encode
from texture_store.errors import DimensionMismatchError, InvalidSpecError
from texture_store.spec import LAYERS, NETWORK_LAYERS, NUM_CHANNELS, Encoder, Layer, Precision
from texture_store.torch_switches import fixed_convolutions

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram")


def _pictures(num: int, height: int = 70, width: int = 53, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (num, height, width), dtype=np.uint8))


def _maps(network: VGG16, pictures: torch.Tensor, layers: tuple[Layer, ...] = LAYERS) -> dict[Layer, torch.Tensor]:
    return {layer: maps.clone() for layer, maps in network.feature_maps(pictures, layers)}


def _by_definition(weights: Weights, pictures: torch.Tensor) -> dict[Layer, torch.Tensor]:
    """Configuration D of Simonyan & Zisserman, read off their table, in float64."""
    values = pictures.double().unsqueeze(1) - torch.tensor([123.68, 116.779, 103.939], dtype=torch.float64).view(
        3, 1, 1
    )
    named: dict[Layer, torch.Tensor] = {"input": values}
    place = 0
    for layer, convolutions in zip(NETWORK_LAYERS, (2, 2, 3, 3, 3), strict=True):
        for _ in range(convolutions):
            kernel, bias = (weights.tensors[f"features.{place}.{kind}"].double() for kind in ("weight", "bias"))
            values = relu(conv2d(values, kernel, bias, padding=1))
            place += 2
        named[layer] = values
        values = max_pool2d(values, 2)
        place += 1
    return named


def test_maps_are_those_of_the_definition_in_float64(some_weights: Weights) -> None:
    pictures = _pictures(2, 40, 33)
    found = _maps(VGG16(some_weights, precision="float32"), pictures)
    expected = _by_definition(some_weights, pictures)
    assert list(found) == list(LAYERS)
    for layer in LAYERS:
        assert found[layer].dtype == torch.float32
        assert found[layer].shape == expected[layer].shape
        assert found[layer].shape[1] == NUM_CHANNELS[layer]
        torch.testing.assert_close(
            found[layer].double(), expected[layer], rtol=0, atol=3e-6 * expected[layer].max().item()
        )


def test_input_is_what_the_network_receives(some_weights: Weights) -> None:
    pictures = _pictures(1)
    for precision in ("float32", "bfloat16"):
        ((layer, maps),) = VGG16(some_weights, precision=precision).feature_maps(pictures, ["input"])
        assert layer == "input"
        for channel, channel_mean in enumerate((123.68, 116.779, 103.939)):
            np.testing.assert_array_equal(
                maps[:, channel], pictures.numpy().astype(np.float32) - np.float32(channel_mean)
            )


def test_maps_come_in_depth_order_whatever_the_order_asked_for(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    assert list(_maps(network, _pictures(1), ("conv4_3", "input", "conv1_2"))) == ["input", "conv1_2", "conv4_3"]
    assert _maps(network, _pictures(1), ()) == {}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_maps_do_not_depend_on_the_layers_asked_for_or_on_the_run(some_weights: Weights, precision: Precision) -> None:
    network = VGG16(some_weights, precision=precision)
    pictures = _pictures(1)
    everything = _maps(network, pictures)
    for layers in (LAYERS, *((layer,) for layer in LAYERS)):
        for layer, maps in _maps(VGG16(some_weights, precision=precision), pictures, layers).items():
            assert torch.equal(maps, everything[layer])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (70, 53)])
def test_features_do_not_depend_on_place_and_neighbours_in_a_batch_of_four(
    some_weights: Weights, precision: Precision, height: int, width: int
) -> None:
    network = VGG16(some_weights, precision=precision)
    pictures = _pictures(7, height, width)

    def features(indices: list[int]) -> dict[tuple[Layer, Encoder], np.ndarray]:
        maps_by_layer = network.feature_maps(pictures[indices], LAYERS)
        return {(layer, e): v for layer, maps in maps_by_layer for e, v in encode(maps, ENCODERS).vectors.items()}

    expected = features([0, 1, 2, 3])
    for indices in ([0, 0, 0, 0], [4, 5, 6, 0], [5, 0, 4, 6]):
        for key, vectors in features(indices).items():
            np.testing.assert_array_equal(vectors[indices.index(0)], expected[key][0], err_msg=str(key))


def test_bfloat16_maps_hold_bfloat16_values_and_stay_close_to_float32(some_weights: Weights) -> None:
    pictures = _pictures(1, 96, 96)
    coarse = _maps(VGG16(some_weights, precision="bfloat16"), pictures)
    fine = _maps(VGG16(some_weights, precision="float32"), pictures)
    for layer in NETWORK_LAYERS:
        values = coarse[layer].float()
        assert torch.equal(values, values.bfloat16().float())
        assert not torch.equal(values, fine[layer])
        assert (values - fine[layer]).abs().max() < 0.03 * fine[layer].max()


def test_bfloat16_is_that_of_torchs_own_bfloat16_convolution(some_weights: Weights) -> None:
    pictures = _pictures(1, 48, 48)
    values = pictures.float().unsqueeze(1) - torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)
    # The first convolution is near float32's, as its input and kernel are split; the second is plain bfloat16.
    kernel, bias = (some_weights.tensors[f"features.0.{kind}"] for kind in ("weight", "bias"))
    values = relu(conv2d(values, kernel, bias, padding=1)).bfloat16()
    kernel, bias = (some_weights.tensors[f"features.2.{kind}"].bfloat16() for kind in ("weight", "bias"))
    expected = relu(conv2d(values, kernel, bias, padding=1)).float()
    found = _maps(VGG16(some_weights, precision="bfloat16"), pictures)["conv1_2"].float()
    assert (found == expected).float().mean() > 0.9
    assert (found - expected).abs().max() <= 2**-7 * expected.max()


@pytest.mark.skipif(has_native_bfloat16(), reason="this processor has native bfloat16, there is nothing to compare")
def test_bfloat16_rounded_around_float32_is_native_bfloat16(
    some_weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the processor has no native bfloat16 the rounding is ours: the same values but for the order of sums."""
    pictures = _pictures(1, 48, 48)
    rounded = _maps(VGG16(some_weights, precision="bfloat16"), pictures)
    monkeypatch.setattr(vgg16, "has_native_bfloat16", lambda _: True)
    native = _maps(VGG16(some_weights, precision="bfloat16"), pictures)
    for layer in NETWORK_LAYERS:
        assert (rounded[layer].dtype, native[layer].dtype) == (torch.float32, torch.bfloat16)
        difference = (rounded[layer] - native[layer].float()).norm() / rounded[layer].norm()
        assert difference < 2**-7, layer
    assert (rounded["conv1_2"] == native["conv1_2"].float()).float().mean() > 0.9


def test_bfloat16_does_not_shift_dark_flat_pictures(caffe_weights: Weights) -> None:
    """Rounding the input alone moves all of its pixels the same way (56 - 123.68 by 0.18), the features by 0.6 %."""
    noise = np.random.default_rng(0).normal(56, 3, (1, 96, 96)).astype(np.uint8)
    fine, coarse = (
        encode(_maps(VGG16(caffe_weights, precision=precision), torch.from_numpy(noise))["conv1_2"], ["mean"]).vectors[
            "mean"
        ]
        for precision in ("float32", "bfloat16")
    )
    assert np.abs(coarse - fine).max() < 1e-3 * fine.max()


def test_switches_of_the_process_are_put_back_between_layers(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.conv.fp32_precision, torch.is_inference_mode_enabled()
    for _ in network.feature_maps(_pictures(1), LAYERS):
        now = cudnn.deterministic, cudnn.benchmark, cudnn.conv.fp32_precision, torch.is_inference_mode_enabled()
        assert now == before


def test_tf32_is_refused_on_a_cpu(some_weights: Weights) -> None:
    with pytest.raises(InvalidSpecError, match="tf32 needs a CUDA device"):
        VGG16(some_weights, precision="tf32")


def test_the_kernel_path_says_how_bfloat16_is_done(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="bfloat16")
    assert network.kernel_path.startswith("cpu ")
    assert network.kernel_path.endswith("bfloat16") == has_native_bfloat16()
    assert VGG16(some_weights, precision="float32").kernel_path.endswith("float32")
    assert network.device_name


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros((1, 31, 64), dtype=torch.uint8),
        torch.zeros((1, 64, 31), dtype=torch.uint8),
        torch.zeros((0, 64, 64), dtype=torch.uint8),
        torch.zeros((64, 64), dtype=torch.uint8),
        torch.zeros((1, 3, 64, 64), dtype=torch.uint8),
        torch.zeros((1, 64, 64)),
    ],
)
def test_arrays_that_are_no_grey_pictures_are_refused(some_weights: Weights, pictures: torch.Tensor) -> None:
    with pytest.raises(DimensionMismatchError, match="uint8 pictures"):
        next(VGG16(some_weights, precision="float32").feature_maps(pictures, LAYERS))


def test_an_unknown_layer_is_refused(some_weights: Weights) -> None:
    with pytest.raises(InvalidSpecError, match="conv9_9"):
        next(VGG16(some_weights, precision="float32").feature_maps(_pictures(1), ["conv9_9"]))  # type: ignore[list-item]


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu_and_with_itself(some_weights: Weights) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pictures = _pictures(4, 128, 128)
    expected = _maps(VGG16(some_weights, precision="float32"), pictures)
    network = VGG16(some_weights, precision="float32", device="cuda")
    for layer, maps in network.feature_maps(pictures, LAYERS):
        vectors, by_cpu = encode(maps, ENCODERS).vectors, encode(expected[layer], ENCODERS).vectors
        again = encode(maps, ENCODERS).vectors
        for encoder in ENCODERS:
            np.testing.assert_allclose(vectors[encoder], by_cpu[encoder], rtol=0, atol=1e-5 * by_cpu[encoder].max())
            np.testing.assert_array_equal(vectors[encoder], again[encoder])


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 5e-3), ("bfloat16", 2e-2)])
def test_a_gpu_at_fewer_bits_is_near_the_cpu_at_float32(
    some_weights: Weights, precision: Precision, tolerance: float
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pictures = _pictures(3, 97, 65)
    expected = _maps(VGG16(some_weights, precision="float32"), pictures)
    network = VGG16(some_weights, precision=precision, device="cuda")
    for layer, maps in network.feature_maps(pictures, LAYERS):
        assert maps.shape == expected[layer].shape
        vectors, by_cpu = encode(maps, ENCODERS).vectors, encode(expected[layer], ENCODERS).vectors
        for encoder in ENCODERS:
            scale = np.abs(by_cpu[encoder]).max()
            np.testing.assert_allclose(vectors[encoder], by_cpu[encoder], rtol=0, atol=tolerance * scale)


def _received(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.float().unsqueeze(1) - torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)


def test_preactivations_are_the_maps_before_relu(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    pictures = _pictures(2)
    for layer, maps in network.feature_maps(pictures, NETWORK_LAYERS):
        before = network.preactivations(_received(pictures).contiguous(memory_format=torch.channels_last), layer)
        assert before.min() < 0
        assert torch.equal(before.relu(), maps), layer


def test_gradients_to_the_input_are_those_of_the_definition_in_float64(some_weights: Weights) -> None:
    network = VGG16(some_weights, precision="float32")
    received = _received(_pictures(1, 40, 33)).requires_grad_()
    exact = received.detach().double().requires_grad_()
    values, place = exact, 0
    for layer, convolutions in zip(NETWORK_LAYERS, (2, 2, 3, 3, 3), strict=True):
        for _ in range(convolutions):
            kernel, bias = (some_weights.tensors[f"features.{place}.{kind}"].double() for kind in ("weight", "bias"))
            values = relu(conv2d(values, kernel, bias, padding=1))
            place += 2
        with fixed_convolutions():
            (found,) = torch.autograd.grad(network.preactivations(received, layer).relu()[:, 3].mean(), received)
        (expected,) = torch.autograd.grad(values[:, 3].mean(), exact, retain_graph=True)
        assert expected.abs().max() > 0
        # A position on the edge of a ReLU or of a tie may fall to the other side, so the norm is what is close.
        assert (found.double() - expected).norm() < 1e-4 * expected.norm(), layer
        values = max_pool2d(values, 2)
        place += 1


@pytest.mark.parametrize(("layer", "message"), [("input", "layer input"), ("conv9_9", "layer conv9_9")])
def test_layers_without_a_convolution_have_no_preactivations(some_weights: Weights, layer: Layer, message: str) -> None:
    with pytest.raises(InvalidSpecError, match=message):
        VGG16(some_weights, precision="float32").preactivations(_received(_pictures(1)), layer)


def test_gradients_are_of_float32_networks_alone(some_weights: Weights) -> None:
    with pytest.raises(InvalidSpecError, match="not bfloat16"):
        VGG16(some_weights, precision="bfloat16").preactivations(_received(_pictures(1)), "conv1_2")


@pytest.mark.parametrize(
    "received",
    [torch.zeros(1, 3, 31, 64), torch.zeros(1, 1, 64, 64), torch.zeros(3, 64, 64), torch.zeros(1, 3, 64, 64).double()],
)
def test_arrays_that_the_network_does_not_receive_are_refused(some_weights: Weights, received: torch.Tensor) -> None:
    with pytest.raises(DimensionMismatchError, match="receives float32"):
        VGG16(some_weights, precision="float32").preactivations(received, "conv1_2")
