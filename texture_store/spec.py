"""The feature spec: all that decides the value of a feature, and its fingerprint.

WHICH encoders and layers are computed is not part of it: they can be added to a spec later.
"""

import hashlib
import json
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from texture_store.errors import InvalidSpecError

NUMERICS_VERSION = 1
"""Raised by hand when the same spec would give other values; it is part of the fingerprint."""

Encoder = Literal["mean", "max", "gram", "vlad"]
Product = Literal["mean", "max", "gram", "vlad", "sample", "positions", "fold-vlad"]
"""What is made of an image at a layer: an encoder's vector, a sample of its descriptors or all of them, or VLAD by each
of many dictionaries that were learnt inside the folds of an evaluation."""
Layer = Literal["input", "conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"]
Fit = Literal["stretch", "crop"]
Resize = Literal["area", "bilinear", "nearest"]
Intensity = Literal["as-is", "standardize"]
Precision = Literal["float32", "tf32", "bfloat16"]

ENCODERS: tuple[Encoder, ...] = get_args(Encoder)
LAYERS: tuple[Layer, ...] = get_args(Layer)
NETWORK_LAYERS: tuple[Layer, ...] = LAYERS[1:]

NUM_CHANNELS: dict[Layer, int] = {
    "input": 3,
    "conv1_2": 64,
    "conv2_2": 128,
    "conv3_3": 256,
    "conv4_3": 512,
    "conv5_3": 512,
}
"""Channels of a layer's feature map (paper, Table 1)."""

NUM_WORDS = 32
"""Words of a VLAD dictionary (K in the paper)."""

MIN_SIDE_PX = 32
"""VGG16 pools four times before conv5_3; Keras asks for 32 px as well."""

MIN_SCALED_SIDE_PX = 128
"""Shortest side that an image may have after resampling to a physical scale."""


def vector_width(encoder: Encoder, layer: Layer, num_words: int = NUM_WORDS) -> int:
    """Number of float32 values that are stored for one image."""
    channels = NUM_CHANNELS[layer]
    match encoder:
        case "mean" | "max":
            return channels
        case "gram":
            return channels * (channels + 1) // 2
        case "vlad":
            return channels * num_words


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PixelSpec(_Frozen):
    """From the bytes of a micrograph to the grey picture that the network sees."""

    size: Annotated[str, Field(pattern=r"^([1-9][0-9]{1,4}x[1-9][0-9]{1,4}|native)$")] | None = "512x512"
    """`WIDTHxHEIGHT` in px, or `native`; None when `um_per_px` decides."""
    um_per_px: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Resample to this physical scale, only downwards; None when `size` decides."""
    fit: Fit = "stretch"
    resize: Resize = "area"
    """How pictures are made smaller; larger ones are made bicubic, unless this is `nearest`."""
    databar: Annotated[str, Field(pattern=r"^(auto|none|[0-9]{1,5})$")] = "auto"
    """`auto`, `none`, or the number of rows to cut from the bottom."""
    intensity: Intensity = "as-is"
    value_range: tuple[float, float] | None = None
    """Grey values shown as 0 and 255; None takes them from the bit depth."""

    @model_validator(mode="after")
    def _check(self) -> "PixelSpec":
        if (self.size is None) == (self.um_per_px is None):
            raise ValueError("give either a size or um per px")
        if self.width_height is not None and min(self.width_height) < MIN_SIDE_PX:
            raise ValueError(f"a size under {MIN_SIDE_PX} px is smaller than VGG16 can take")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError("a range LO:HI needs LO < HI")
        return self

    @property
    def width_height(self) -> tuple[int, int] | None:
        """(width, height) in px; None for `native` and for a physical scale."""
        if self.size is None or self.size == "native":
            return None
        width, height = self.size.split("x")
        return int(width), int(height)


class FeatureSpec(_Frozen):
    """All that decides the value of a feature. Equal specs have equal fingerprints, and no others do."""

    pixels: PixelSpec = PixelSpec()
    backbone: Literal["vgg16"] = "vgg16"
    weights: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the weights' tensors (texture_store.backbone.weights)."""
    lineage: Annotated[str, Field(pattern=r"^(caffe|foreign|random:[0-9]+)$")]
    """`caffe` (the paper's), `foreign` (asked for by hand) or `random:SEED` (tests only)."""
    padding: Literal["zero"] = "zero"
    precision: Precision = "float32"
    batch_size: Annotated[int, Field(ge=1, le=256)] = 1
    """Every batch has this many images, the last one padded, so that a feature never depends on its neighbours."""
    gram_mantissa_bits: Annotated[int, Field(ge=1, le=23)] = 23
    """Mantissa bits kept in Gram values, rounded to nearest even; 23 is all of float32."""
    dictionary: Annotated[str, Field(pattern=r"^d[0-9a-f]{20,}$")] | None = None
    """Id of the dictionary set of a VLAD spec; None for a base spec."""
    numerics: int = NUMERICS_VERSION

    @property
    def canonical_json(self) -> str:
        """The spec as JSON with sorted keys and no spaces: what the fingerprint is a hash of."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def fingerprint(self) -> str:
        """`s` and 20 hex digits of the SHA-256 of the canonical JSON; names the partition `spec=`."""
        return "s" + hashlib.sha256(self.canonical_json.encode()).hexdigest()[:20]

    @property
    def is_random(self) -> bool:
        """Whether the weights are random, which is for tests only."""
        return self.lineage.startswith("random:")

    def describe(self) -> str:
        """One line for people, such as `512x512 stretch, area, float32, VGG16 caffe`."""
        pixels = self.pixels
        parts = [f"{pixels.um_per_px:g} um/px" if pixels.um_per_px else f"{pixels.size}"]
        if pixels.width_height is not None:
            parts[0] += f" {pixels.fit}"
        if pixels.size != "native":
            parts.append(pixels.resize)
        if pixels.databar != "auto":
            parts.append(f"databar {pixels.databar}")
        if pixels.intensity != "as-is":
            parts.append(pixels.intensity)
        if pixels.value_range is not None:
            parts.append(f"range {pixels.value_range[0]:g}:{pixels.value_range[1]:g}")
        parts.append(self.precision)
        if self.gram_mantissa_bits != (12 if self.precision == "bfloat16" else 23):
            parts.append(f"{self.gram_mantissa_bits} bits kept of Gram")
        parts.append(f"VGG16 {self.lineage}")
        if self.dictionary is not None:
            parts.append(f"dictionary {self.dictionary}")
        if self.is_random:
            parts.append("RANDOM WEIGHTS, for tests only")
        return ", ".join(parts)


def parse_spec(text: str | bytes) -> FeatureSpec:
    """The spec of a canonical JSON. Raises InvalidSpecError."""
    try:
        return FeatureSpec.model_validate_json(text)
    except ValidationError as error:
        raise InvalidSpecError(f"not a feature spec: {_first_reason(error)}") from None


def make_pixel_spec(**settings: object) -> PixelSpec:
    """A PixelSpec, with InvalidSpecError (one line) for a setting that is not allowed."""
    try:
        return PixelSpec.model_validate(settings)
    except ValidationError as error:
        raise InvalidSpecError(_first_reason(error)) from None


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}" if where else reason
