"""The network alone against the limit, and with all statistics against the network alone."""

import statistics
from typing import TYPE_CHECKING

from jobs.benchmark_bench import Bench
from jobs.benchmark_limit import Run, in_turns, limit_runs, where
from jobs.benchmark_record import Figure
from texture_store.spec import LAYERS, Encoder, FeatureSpec, PixelSpec, Precision

if TYPE_CHECKING:
    import numpy as np

    from texture_store.pipeline import Extractor, LoadedShard
    from texture_store.store.commits import Pair

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram")
PAIRS: tuple["Pair", ...] = tuple((encoder, layer) for encoder in ENCODERS for layer in LAYERS)

NETWORK_ALONE: tuple["Pair", ...] = (("mean", "conv5_3"),)

CPU_MARK, GPU_MARK = 0.8, 0.5
"""Network alone against the limit, bfloat16."""
GPU_STATISTICS_MARK = 0.45
"""With all statistics, likewise."""


def measure_network(bench: Bench) -> list[Figure]:
    """Ratios and seconds per image of the network alone and with mean, max and Gram of all layers."""
    return [figure for precision in bench.precisions for figure in _measure(bench, precision)]


def network_seconds(bench: Bench, precision: Precision, *, rounds: int) -> list[float]:
    """Seconds per image of the network alone: for other parts, before and after what they compare with it."""
    run, images = bench.once(("network", precision), lambda: network_run(bench, precision))
    return [seconds / images for seconds in in_turns(bench, [run], rounds=rounds)[0]]


def _measure(bench: Bench, precision: Precision) -> list[Figure]:
    limits = limit_runs(bench, precision)
    (flops, alone), images = bench.once(("network", precision), lambda: network_run(bench, precision))
    extract = bench.once(("extractor", precision), lambda: make_extractor(bench, precision))
    loaded = loaded_pictures(images, bench.amounts.side_px)
    runs: list[Run] = [*limits.values(), (flops, alone), (flops, lambda: extract(loaded))]
    medians = [statistics.median(seconds) for seconds in in_turns(bench, runs)]
    rates = [flops / seconds for (flops, _), seconds in zip(runs, medians, strict=True)]
    # oneDNN's float32 convolutions beat its matrix products, so that these alone are no limit.
    limit = max(rates[:2]) if precision == "float32" else rates[0]
    whose = "the better of GEMM and 1x1 convolution" if precision == "float32" else next(iter(limits))
    side, is_marked = bench.amounts.side_px, precision == "bfloat16"
    of = f"{flops / images / 1e9:.1f} GFLOP an image of {side}x{side}"
    how = f"medians of {bench.amounts.rounds} in turns; {of}; {where(bench)}"
    on_gpu = bench.device == "cuda"
    mark = (GPU_MARK if on_gpu else CPU_MARK if bench.has_marks else None) if is_marked else None
    statistics_mark = GPU_STATISTICS_MARK if on_gpu and is_marked else None
    extracted = f"mean, max and Gram of {len(LAYERS)} layers"
    return [
        Figure(f"{precision}: network alone against the limit", rates[2] / limit, "x", f"{whose}; {how}", mark),
        Figure(f"{precision}: with all statistics against the network alone", rates[3] / rates[2], "x", extracted),
        Figure(
            f"{precision}: with all statistics against the limit", rates[3] / limit, "x", extracted, statistics_mark
        ),
        Figure(f"{precision}: network alone", medians[2] / images, "s/image", how),
        Figure(f"{precision}: network with all statistics", medians[3] / images, "s/image", extracted),
        Figure(f"{precision}: limit", limit / 1e9, "GFLOP/s", whose),
    ]


def network_run(bench: Bench, precision: Precision) -> tuple[Run, int]:
    """The network alone on some pictures, as the extract stage runs it, and how many pictures those are.

    It is asked for nothing but the mean of the last layer, which is as good as nothing.
    """
    from texture_store.backbone.flops import convolution_flops

    side = bench.amounts.side_px
    extract = bench.once(("extractor", precision), lambda: make_extractor(bench, precision))
    # Enough that each thread has two of them, or that a GPU's batches follow each other.
    batches = 4 if bench.device == "cuda" else max(4, 2 * int(extract.environment["threads"]))
    images = make_spec(bench, precision).batch_size * batches
    loaded = loaded_pictures(images, side, NETWORK_ALONE)
    return (float(images * convolution_flops(side, side)), lambda: extract(loaded)), images


def make_spec(bench: Bench, precision: Precision) -> FeatureSpec:
    """What `featurize` would take, for this device."""
    from jobs.network import new_spec

    side, weights = bench.amounts.side_px, bench.network_weights
    pixels = PixelSpec(size=f"{side}x{side}")
    return new_spec(pixels, digest=weights.digest, lineage=weights.lineage, precision=precision, device=bench.device)


def make_extractor(bench: Bench, precision: Precision, **changes: object) -> "Extractor":
    """The extract stage, as an actor has it; `changes` of the spec."""
    from texture_store.pipeline import Extractor

    spec = make_spec(bench, precision).model_copy(update=changes)
    return Extractor(bench.network_weights, spec, device=bench.device)


def loaded_pictures(count: int, side: int, pairs: tuple["Pair", ...] = PAIRS) -> "LoadedShard":
    """Pictures of noise as they leave the load stage."""
    from schemas import SNAPSHOT
    from texture_store.pipeline import LoadedShard
    from texture_store.store.work import Unit

    unit = Unit("benchmark", SNAPSHOT.empty_table(), pairs)
    members = [{"image_id": f"{number:032x}", "path": f"{number}.png"} for number in range(count)]
    return LoadedShard(unit, members, list(noise(count, side)))


def noise(count: int, side: int) -> "np.ndarray":
    """uint8 (count, side, side)."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)
