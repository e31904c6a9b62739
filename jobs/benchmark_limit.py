"""The limit: how fast this machine multiplies matrices, in each precision that it has."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jobs.benchmark_bench import Bench
from jobs.benchmark_record import Figure
from texture_store.spec import Precision

CONV_CHANNELS, CONV_SIDE = 512, 128
"""Of the 1x1 convolution: as the deeper layers of VGG16, and large."""


def measure_limit(bench: Bench) -> list[Figure]:
    """GFLOP/s of a matrix product, and of a 1x1 convolution, which is one too and for float32 often the faster one."""
    figures = []
    for precision in bench.precisions:
        runs = limit_runs(bench, precision)
        rates = in_turns(bench, list(runs.values()))
        for (name, (flops, _)), seconds in zip(runs.items(), rates, strict=True):
            how = f"median of {bench.amounts.rounds} in turns, {where(bench)}"
            figures.append(Figure(f"{precision} {name}", flops / statistics.median(seconds) / 1e9, "GFLOP/s", how))
    return figures


Run = tuple[float, Callable[[], object]]
"""Floating-point operations, and what does them."""


def limit_runs(bench: Bench, precision: Precision) -> dict[str, Run]:
    """A matrix product and a 1x1 convolution, ready to be timed."""
    import torch
    from torch.nn.functional import conv2d

    from texture_store.torch_switches import fixed_convolutions

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    amounts = bench.amounts
    side = amounts.gpu_gemm_side if bench.device == "cuda" else amounts.gemm_side
    left, right = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
    channels = min(CONV_CHANNELS, side)
    maps = torch.randn(1, channels, CONV_SIDE, CONV_SIDE, device=bench.device).to(dtype)
    maps = maps.to(memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 1, 1, device=bench.device).to(dtype)

    @torch.inference_mode()
    def multiply() -> object:
        with matrix_precision(precision):
            return left @ right

    @torch.inference_mode()
    def convolve() -> object:
        with fixed_convolutions(tf32=precision == "tf32"):
            return conv2d(maps, kernel)

    return {
        f"GEMM {side}x{side}x{side}": (2.0 * side**3, multiply),
        f"1x1 convolution of {channels} channels": (2.0 * channels**2 * CONV_SIDE**2, convolve),
    }


@contextmanager
def matrix_precision(precision: Precision) -> Iterator[None]:
    """Products that are float32, or TF32 where that is asked for."""
    import torch

    matmul: Any = torch.backends.cuda.matmul
    saved = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = saved


def in_turns(bench: Bench, runs: Sequence[Run], *, rounds: int | None = None) -> list[list[float]]:
    """Seconds of each run, repeated A B C A B C ..., so that a disturbance meets all of them; the first round is not
    counted."""
    wait = _device_wait(bench.device)
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range((rounds or bench.amounts.rounds) + 1):
        for (_, run), taken in zip(runs, seconds, strict=True):
            wait()
            started = time.perf_counter()
            run()
            wait()
            if number:
                taken.append(time.perf_counter() - started)
    return seconds


def where(bench: Bench) -> str:
    """Such as `2 threads`."""
    import torch

    if bench.device == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} threads"


def _device_wait(device: str) -> Callable[[], None]:
    if device == "cuda":
        import torch

        return torch.cuda.synchronize
    return lambda: None
