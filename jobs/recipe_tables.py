"""What a recipe may say: its tables, each key as the option of the command that it is for."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from jobs.dictionary_fits import Learning
from jobs.evaluation_request import ALL_LAYERS
from jobs.options import DEFAULT_SIZE, pixel_settings, share_of
from jobs.planning import AutoPrecision
from jobs.refit import Refit
from texture_store.archive.labels import parse_condition
from texture_store.archive.snapshot import SHARD_SIZE
from texture_store.errors import TextureStoreError
from texture_store.evaluation.classifiers import CLASSIFIERS, NUM_TREES, REGRESSORS, Classifier, Regressor, Task
from texture_store.evaluation.folds import Protocol
from texture_store.spec import LAYERS, NUM_WORDS, Encoder, Fit, Intensity, Layer, PixelSpec, Resize, make_pixel_spec
from texture_store.store.layout import check_dataset

BaseEncoder = Literal["mean", "max", "gram"]
EvaluatedLayer = Layer | Literal["all"]
Share = Annotated[StrictStr | StrictFloat | StrictInt, Field(union_mode="left_to_right")]
Number = Annotated[StrictFloat | StrictInt, Field(union_mode="left_to_right")]

VLAD_SIZE = "255"
"""px; the paper's."""

T = TypeVar("T")


def _allowed(check: Callable[..., T], *arguments: Any) -> T:
    """What the commands say about a setting, as pydantic wants it."""
    try:
        return check(*arguments)
    except TextureStoreError as error:
        # An option by its name in a recipe.
        raise ValueError(re.sub(r"--([a-z][a-z-]*)", lambda one: one[1].replace("-", "_"), str(error))) from None


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IndexTable(_Table):
    """`[index]`: which pictures, and their labels."""

    labels: StrictStr | None = None
    label_column: StrictStr | None = None
    group_column: StrictStr | None = None
    where: tuple[StrictStr, ...] = ()
    root: StrictStr | None = None
    shard_size: Annotated[StrictInt, Field(ge=1, le=4096)] = SHARD_SIZE

    @model_validator(mode="after")
    def _check(self) -> "IndexTable":
        for text in self.where:
            _allowed(parse_condition, text)
        return self


class _Pixels(_Table):
    size: StrictStr | StrictInt | None = None
    um_per_px: Annotated[Number, Field(gt=0)] | None = None
    fit: Fit = "stretch"
    resize: Resize = "area"
    databar: StrictStr | StrictInt = "auto"
    intensity: Intensity = "as-is"
    range: StrictStr | None = None
    precision: AutoPrecision = "auto"
    weights: StrictStr | None = None
    foreign_weights: StrictBool = False

    def pixels(self, default_size: str = DEFAULT_SIZE) -> PixelSpec:
        """What the network sees. Raises UsageError."""
        settings = pixel_settings(
            size=None if self.size is None else str(self.size),
            um_per_px=None if self.um_per_px is None else float(self.um_per_px),
            fit=self.fit,
            resize=self.resize,
            databar=str(self.databar),
            intensity=self.intensity,
            value_range=self.range,
            default_size=default_size,
        )
        return make_pixel_spec(**settings)


class FeaturizeTable(_Pixels):
    """`[featurize]`: mean, max and Gram of every image."""

    encoders: Annotated[tuple[BaseEncoder, ...], Field(min_length=1)] = ("mean", "max", "gram")
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] = LAYERS
    keep_bits: Annotated[StrictInt, Field(ge=1, le=23)] | None = None
    max_rejected: Share = "5%"

    @model_validator(mode="after")
    def _check(self) -> "FeaturizeTable":
        _allowed(self.pixels)
        _allowed(share_of, str(self.max_rejected), "max_rejected")
        return self


class VladTable(_Pixels):
    """`[vlad]`: words of a dictionary, and every image encoded with them. Left out, there is no VLAD."""

    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] = LAYERS
    words: Annotated[StrictInt, Field(ge=2, le=4096)] = NUM_WORDS
    sample: Share = "20%"
    positions: Literal["sample", "all"] = "sample"
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 0
    starts: Annotated[StrictInt, Field(ge=1, le=100)] = 4
    refit: Refit = "auto"

    @model_validator(mode="after")
    def _check(self) -> "VladTable":
        _allowed(self.pixels, VLAD_SIZE)
        if _allowed(share_of, str(self.sample), "sample") == 0:
            raise ValueError("sample: a sample of no image; write a share such as 20%")
        return self

    def learning(self) -> Learning:
        """How the words are learnt."""
        share = share_of(str(self.sample), "sample")
        return Learning(self.layers, self.words, share, self.seed, self.starts, self.positions == "all")


class EvaluateTable(_Table):
    """`[evaluate]`: which feature sets, under which protocols."""

    encoders: tuple[Encoder, ...] = ()
    layers: tuple[EvaluatedLayer, ...] = ()
    grid: Literal["paper"] | None = None
    classifier: Classifier | Regressor = "forest"
    task: Task = "classification"
    trials: Annotated[StrictInt, Field(ge=1)] = 10
    folds: Annotated[StrictInt, Field(ge=2, le=100)] = 3
    trees: Annotated[StrictInt, Field(ge=1)] = NUM_TREES
    protocol: tuple[Protocol, ...] = ()
    label_column: StrictStr = "label"
    group_column: StrictStr | None = None
    with_columns: tuple[StrictStr, ...] = ()
    where: tuple[StrictStr, ...] = ()
    strict: StrictBool = False
    raw_sums: StrictBool = False

    @model_validator(mode="after")
    def _check(self) -> "EvaluateTable":
        allowed = REGRESSORS if self.task == "regression" else CLASSIFIERS
        if self.classifier not in allowed:
            raise ValueError(f"classifier {self.classifier} does no {self.task}; {' and '.join(allowed)} do")
        if self.grid and self.layers:
            raise ValueError("grid and layers exclude each other; leave one out")
        for text in self.where:
            _allowed(parse_condition, text)
        return self


class CompareTable(_Table):
    """`[compare]`: how much worse, and how sure, is a regression."""

    worse_by: Annotated[Number, Field(ge=0, le=1)] = 0.01
    """Of the score that counts, weighted F1 or R²."""
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.95


class ReportTable(_Table):
    """`[report]`: the HTML file."""

    max_images: Annotated[StrictInt, Field(ge=0, le=1000)] = 80


class RequireTable(_Table):
    """`[require]`: without it nothing runs."""

    gpus: Annotated[StrictInt, Field(ge=0)] = 0


class Recipe(_Table):
    """All settings of one dataset's scheduled job."""

    dataset: StrictStr
    archive: StrictStr
    store: StrictStr | None = None
    address: StrictStr = "local"
    index: IndexTable = IndexTable()
    featurize: FeaturizeTable = FeaturizeTable()
    vlad: VladTable | None = None
    evaluate: EvaluateTable = EvaluateTable()
    compare: CompareTable = CompareTable()
    report: ReportTable = ReportTable()
    require: RequireTable = RequireTable()

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        _allowed(check_dataset, self.dataset)
        asked, layers = self.evaluate.encoders, self.evaluate.layers
        if "vlad" in asked and self.vlad is None:
            raise ValueError("[evaluate] encoders has vlad, but there is no table [vlad] that would make it")
        if absent := [one for one in asked if one != "vlad" and one not in self.featurize.encoders]:
            raise ValueError(f"[evaluate] encoders has {absent[0]}, which [featurize] encoders does not make")
        if self.evaluate.strict and "vlad" not in self.encoders:
            raise ValueError("[evaluate] strict is about VLAD; add a table [vlad], or leave strict out")
        for encoder in self.encoders:
            wanted = set(LAYERS) if self.evaluate.grid else {*layers} - {ALL_LAYERS}
            wanted |= set(LAYERS[1:]) if ALL_LAYERS in layers else set()
            if lacking := sorted(wanted - set(self.layers_of(encoder))):
                table = "vlad" if encoder == "vlad" else "featurize"
                raise ValueError(f"[evaluate] wants {encoder} at {lacking[0]}, which [{table}] layers does not have")
        if self.featurize.precision == "tf32" and self.require.gpus == 0 and self.address == "local":
            raise ValueError(
                "[featurize] precision tf32 needs a GPU; add [require] gpus = 1, or take another precision"
            )
        return self

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """Those that are evaluated."""
        made: tuple[Encoder, ...] = (*self.featurize.encoders, *(("vlad",) if self.vlad else ()))
        return self.evaluate.encoders or made

    def layers_of(self, encoder: Encoder) -> tuple[Layer, ...]:
        """Those that are made of an encoder."""
        return self.vlad.layers if encoder == "vlad" and self.vlad is not None else self.featurize.layers
