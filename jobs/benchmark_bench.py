"""What the parts of a benchmark share: how much is measured, on which pictures, and what another part has found out.

A part that needs a measurement of another one asks for it here; it is made once a run.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from texture_store.spec import Precision

if TYPE_CHECKING:
    from texture_store.backbone.weights import Weights

T = TypeVar("T")

CORES_OF_MARKS = 2
"""The project's marks for CPUs are for two cores."""


@dataclass(frozen=True)
class Amounts:
    """How much is measured: enough to tell a tenth, and a few minutes in all on two cores."""

    side_px: int = 512
    """What the network sees."""
    usual: tuple[int, int] = (1280, 1024)
    """(width, height) in px of most pictures."""
    large: tuple[int, int] = (2048, 2048)
    distinct: int = 24
    """Pictures that differ; an archive of more has copies."""
    many: int = 128
    """Images of the run with the mark; others have a half or a quarter."""
    shard: int = 16
    """Images of a shard: fewer than the usual 64, so that even a short run has a middle."""
    fed: int = 64
    """Images that need no decoding."""
    peers: int = 48
    """Images for each script: its loader has read up to 32 ahead when its first batch is done."""
    rounds: int = 7
    """Repetitions, in turns, of what is compared."""
    gemm_side: int = 2048
    gpu_gemm_side: int = 8192
    rows: int = 2000
    """Images whose features are read."""
    encoded: int = 8
    """Images whose features are written in every way."""


GPU_AMOUNTS = Amounts(many=2048, shard=64, fed=12288, peers=512)
"""A GPU takes 2,000 images a second: with so many, ten shards and more are under way and most are not."""


def usual_amounts() -> Amounts:
    """What suits the processor that the network runs on here."""
    from jobs.cluster import local_workers

    return GPU_AMOUNTS if local_workers().device == "cuda" else Amounts()


@dataclass
class Bench:
    """One run of the benchmark."""

    folder: Path
    """For archives and stores; may be thrown away afterwards."""
    weights: str | None = None
    """As `featurize --weights` takes them."""
    full: bool = False
    """The whole grid of formats, sizes and places."""
    s3: str | None = None
    """Prefix of an S3 server to use; None starts one, if there is one to start."""
    sizes: str | None = None
    """Numbers of images for the part `scale`, as the command takes them."""
    amounts: Amounts = field(default_factory=Amounts)
    left_out: list[str] = field(default_factory=list)
    """What the present part did not measure, and why."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What is to be undone when all parts are done; its owner closes it."""
    _once: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: object, measure: Callable[[], T]) -> T:
        """The result of `measure`, which runs the first time that this key is asked for."""
        if key not in self._once:
            self._once[key] = measure()
        found: T = self._once[key]
        return found

    @cached_property
    def device(self) -> str:
        """Where the network runs: `cuda` where there is one."""
        from jobs.cluster import local_workers

        return local_workers().device

    @cached_property
    def precisions(self) -> tuple[Precision, ...]:
        """What this device multiplies itself, the fastest first."""
        from texture_store.backbone.vgg16 import has_native_bfloat16

        fast: tuple[Precision, ...] = ("bfloat16",) if has_native_bfloat16(self.device) else ()
        return (*fast, "tf32", "float32") if self.device == "cuda" else (*fast, "float32")

    @property
    def cores(self) -> int:
        """Of this machine, that this process may use."""
        return len(os.sched_getaffinity(0))

    @property
    def has_marks(self) -> bool:
        """Whether this is the kind of machine that the marks for CPUs are for."""
        return self.device == "cpu" and self.cores == CORES_OF_MARKS

    @cached_property
    def network_weights(self) -> "Weights":
        """The weights themselves."""
        from jobs.network import explicit_weights
        from jobs.progress import say
        from texture_store.backbone.sources import find_weights

        if self.weights is None:
            return find_weights(say=say)
        return explicit_weights(self.weights, allow_foreign=True, say=say)

    @cached_property
    def weights_file(self) -> Path:
        """The weights as a safetensors file with torchvision's names, for scripts that are not ours."""
        from texture_store.backbone.weights import to_safetensors

        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "vgg16.safetensors"
        file.write_bytes(to_safetensors(self.network_weights))
        return file
