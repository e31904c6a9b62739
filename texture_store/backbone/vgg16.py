"""VGG16's feature maps, layer by layer, from grey pictures.

Numerics (Ling et al. 2017, as Keras ran it): grey values 0..255 in all three channels, minus the Caffe means,
RGB-ordered weights, zero padding, maps taken after ReLU.

What bfloat16 costs: features of 12 SEM micrographs (512x512, caffe weights) against float32. First the worst error as a
share of the greatest value of that image and layer, then the median relative error of all values that are not 0:

| layer   | mean            | max             | gram            |
|---------|-----------------|-----------------|-----------------|
| conv1_2 | 0.04 % / 0.02 % | 0.31 % / 0.13 % | 0.09 % / 0.04 % |
| conv2_2 | 0.70 % / 0.10 % | 0.37 % / 0.14 % | 0.33 % / 0.19 % |
| conv3_3 | 0.50 % / 0.16 % | 0.39 % / 0.16 % | 0.39 % / 0.27 % |
| conv4_3 | 0.38 % / 0.23 % | 0.39 % / 0.20 % | 0.43 % / 0.55 % |
| conv5_3 | 0.36 % / 0.50 % | 0.75 % / 0.41 % | 0.42 % / 1.31 % |

Forests (400 trees, 3 folds, 10 trials, mean features, 240 surface defects of NEU) score the same: weighted F1 at
conv1_2 0.929 +- 0.011 with float32 and 0.930 +- 0.011 with bfloat16, at conv4_3 0.994 +- 0.002 with both.

Shape suffixes: B images, D channels, H and W rows and columns in px.
"""

import platform
from collections.abc import Collection, Iterator

import torch
from torch.nn.functional import conv2d, max_pool2d

from texture_store.backbone.lineage import CONV_INDICES
from texture_store.backbone.steps import convolved, looked_up, padded_channels, pooled
from texture_store.backbone.weights import Weights
from texture_store.errors import DimensionMismatchError, InvalidSpecError
from texture_store.spec import LAYERS, MIN_SIDE_PX, NETWORK_LAYERS, Layer, Precision
from texture_store.torch_switches import fixed_convolutions

MEANS_RGB = (123.68, 116.779, 103.939)
"""Mean grey values of ImageNet that the Caffe model was trained with (Keras' preprocess_input, mode `caffe`)."""

_BLOCKS: tuple[tuple[Layer, tuple[int, ...]], ...] = (
    ("conv1_2", (0, 2)),
    ("conv2_2", (5, 7)),
    ("conv3_3", (10, 12, 14)),
    ("conv4_3", (17, 19, 21)),
    ("conv5_3", (24, 26, 28)),
)
"""Convolutions of each block, by their place in torchvision's `features`; blocks are parted by 2x2 max pooling."""


def has_native_bfloat16(device: str = "cpu") -> bool:
    """Whether the processor multiplies bfloat16 itself, so that it is faster than float32.

    CPU: AVX-512 BF16, AMX or Arm's BF16 (measured on one with AVX2 alone: torch's bfloat16 convolution is six times
    slower than float32's). CUDA: compute capability 8 and up.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


# (h + l) (h + l) = h h + l h + h l + what float32 hardly sees: three products of bfloat16 values, side by side.
_SPLIT_INPUT, _SPLIT_KERNEL = "hlh", "hhl"


class VGG16:
    """The 13 convolutions of VGG16 on one device, at one precision.

    Precisions: `float32`; `tf32` (CUDA only); `bfloat16`: weights and activations are bfloat16, sums are float32. On a
    processor without native bfloat16 the same values are rounded to bfloat16 around float32 convolutions: it costs what
    float32 costs, and differs from native bfloat16 only in the order of sums.

    At bfloat16 the first convolution takes its input and its kernel as two bfloat16 numbers each. A grey value less its
    mean, rounded to bfloat16, is off by up to 0.25 and by much the same amount in all pixels of a dark, flat picture:
    that bias was the largest error of all (2.3 % of the Gram's greatest value at conv4_3, against 0.4 % without it).

    Raises InvalidSpecError for a precision that the device does not have.
    """

    def __init__(self, weights: Weights, *, precision: Precision, device: str = "cpu") -> None:
        self._device = torch.device(device)
        if precision == "tf32" and self._device.type != "cuda":
            raise InvalidSpecError(f"precision tf32 needs a CUDA device and this is {device}; use float32")
        self._precision = precision
        self._is_native = precision != "bfloat16" or has_native_bfloat16(device)
        self._dtype = torch.bfloat16 if precision == "bfloat16" and self._is_native else torch.float32
        self._means_3 = torch.tensor(MEANS_RGB, device=self._device)
        self._convolutions = {index: self._convolution(weights, index) for index in CONV_INDICES}
        self._values_of_grey = self._table_of_grey() if self._device.type == "cuda" else None

    @property
    def device_name(self) -> str:
        """The processor, such as `AMD EPYC` or `NVIDIA H200`."""
        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine())

    @property
    def kernel_path(self) -> str:
        """What computes the convolutions, such as `cpu AVX2 (avx2), oneDNN, float32`; a map's bits depend on it."""
        if self._device.type == "cuda":
            major, minor = torch.cuda.get_device_capability(self._device)
            return f"cuda {major}.{minor}, cuDNN {_cudnn_version()}, {self._kernel_precision}"
        library = "oneDNN" if torch.backends.mkldnn.is_available() else "torch"  # type: ignore[no-untyped-call]
        isa = " ".join(name for name in _ISA if torch.cpu.get_capabilities().get(name, False))
        vectors = f"{torch.backends.cpu.get_cpu_capability()} ({isa or platform.machine()})"
        return f"cpu {vectors}, {library}, {self._kernel_precision}"

    @torch.inference_mode()
    def feature_maps(self, pixels_BHW: torch.Tensor, layers: Collection[Layer]) -> Iterator[tuple[Layer, torch.Tensor]]:
        """The maps of the layers that are asked for, in depth order; nothing deeper is computed.

        Takes uint8 grey pictures (B, H, W), sides of 32 px and more. Gives (layer, maps (B, D, H, W)) after ReLU,
        channels last in memory, float32 or bfloat16, side lengths H, H//2, ... H//16. `input` is the float32 array (B,
        3, H, W) that the network receives, at every precision. Be done with a map before
        asking for the next one.

        Raises DimensionMismatchError for other arrays and InvalidSpecError for an unknown layer.
        """
        _check(pixels_BHW, layers)
        pixels_BHW = pixels_BHW.to(self._device)
        if "input" in layers:
            yield "input", self._input(pixels_BHW)
        wanted = [number for number, (layer, _) in enumerate(_BLOCKS) if layer in layers]
        if not wanted:
            return
        maps_BDHW = self._first(pixels_BHW)
        for number, (layer, indices) in enumerate(_BLOCKS[: wanted[-1] + 1]):
            if number > 0:
                maps_BDHW = pooled(maps_BDHW)
            with fixed_convolutions(tf32=self._precision == "tf32"):
                for index in indices:
                    maps_BDHW = self._rounded(convolved(maps_BDHW, *self._convolutions[index]))
            if number in wanted:
                yield layer, maps_BDHW

    def preactivations(self, input_BCHW: torch.Tensor, layer: Layer) -> torch.Tensor:
        """What the layer's last convolution gives, float32 (B, D, H', W'), with gradients to the input allowed.

        Takes what the network receives, float32 (B, 3, H, W) on the network's device: RGB, grey values 0..255 less
        MEANS_RGB. After ReLU it is what feature_maps gives. A gradient is taken inside `fixed_convolutions`, as a
        backward pass reads the switches of the process when it runs.

        Raises DimensionMismatchError for other arrays, InvalidSpecError for `input` and unknown layers and for a
        network that is not float32.
        """
        if layer not in NETWORK_LAYERS:
            raise InvalidSpecError(f"no convolution makes layer {layer}; the layers are {' '.join(NETWORK_LAYERS)}")
        if self._precision != "float32":
            raise InvalidSpecError(f"gradients need a network of precision float32, not {self._precision}")
        shape = tuple(input_BCHW.shape)
        if input_BCHW.dtype != torch.float32 or len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < MIN_SIDE_PX:
            raise DimensionMismatchError(
                f"the network receives float32 (B, 3, H, W), {MIN_SIDE_PX} px and more, not {input_BCHW.dtype} {shape}"
            )
        maps_BDHW = padded_channels(input_BCHW)
        with fixed_convolutions():
            for block, indices in _BLOCKS:
                for index in indices:
                    kernel, bias = self._convolutions[index]
                    before_BDHW = conv2d(maps_BDHW, kernel, bias, padding=1)
                    maps_BDHW = before_BDHW.relu()
                if block == layer:
                    break
                maps_BDHW = max_pool2d(maps_BDHW, 2)
        return before_BDHW

    @property
    def _kernel_precision(self) -> str:
        return self._precision if self._is_native else "bfloat16 rounded around float32"

    def _convolution(self, weights: Weights, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        kernel = weights.tensors[f"features.{index}.weight"].to(self._device)
        bias = self._rounded(weights.tensors[f"features.{index}.bias"].to(self._device))
        is_first = index == CONV_INDICES[0] and self._precision == "bfloat16"
        kernel = self._joined(kernel, _SPLIT_KERNEL) if is_first else self._rounded(kernel)
        return padded_channels(kernel).clone(memory_format=torch.channels_last), bias.clone()

    def _input(self, pixels_BHW: torch.Tensor) -> torch.Tensor:
        # Written as (B, H, W, 3) and seen as (B, 3, H, W): channels last, which the convolutions need to be fast.
        grey_BHW1 = pixels_BHW.unsqueeze(-1).to(torch.float32)
        return (grey_BHW1 - self._means_3).permute(0, 3, 1, 2)

    def _first(self, pixels_BHW: torch.Tensor) -> torch.Tensor:
        """What the first convolution takes, of the pictures."""
        if self._values_of_grey is not None:
            return looked_up(pixels_BHW, self._values_of_grey)
        input_BDHW = self._input(pixels_BHW)
        return self._joined(input_BDHW, _SPLIT_INPUT) if self._precision == "bfloat16" else input_BDHW

    def _table_of_grey(self) -> torch.Tensor:
        """A row for each grey value (256, channels): looked up at once, what else six kernels would write and read."""
        greys_11N = torch.arange(256, dtype=torch.uint8, device=self._device).view(1, 1, 256)
        values = self._input(greys_11N)
        values = self._joined(values, _SPLIT_INPUT) if self._precision == "bfloat16" else values
        return padded_channels(values)[0, :, 0].T.contiguous()

    def _joined(self, values: torch.Tensor, parts: str) -> torch.Tensor:
        """The bfloat16 value `h` and the bfloat16 rest `l` of each float32 value, as further channels (dimension 1)."""
        high = values.to(torch.bfloat16)
        low = (values - high).to(torch.bfloat16)
        return torch.cat([{"h": high, "l": low}[part] for part in parts], dim=1).to(self._dtype)

    def _rounded(self, values: torch.Tensor) -> torch.Tensor:
        """The values as this precision has them, in the type that this processor computes with."""
        if self._precision == "bfloat16" and values.dtype != torch.bfloat16:
            values = values.to(torch.bfloat16)
        return values.to(self._dtype)


def _cudnn_version() -> int | None:
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version


_ISA = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "bf16")


def _check(pixels_BHW: torch.Tensor, layers: Collection[Layer]) -> None:
    unknown = sorted(set(layers) - set(LAYERS))
    if unknown:
        raise InvalidSpecError(f"unknown layer {', '.join(unknown)}; the layers are {' '.join(LAYERS)}")
    shape = tuple(pixels_BHW.shape)
    if pixels_BHW.dtype != torch.uint8 or len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < MIN_SIDE_PX:
        raise DimensionMismatchError(
            f"the network takes uint8 pictures (B, H, W) of {MIN_SIDE_PX} px and more, not {pixels_BHW.dtype} {shape}"
        )
