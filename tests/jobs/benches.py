"""A benchmark that is too small to say anything about speed."""

from pathlib import Path

from jobs.benchmark_bench import Amounts, Bench
from jobs.benchmark_record import Figure

TINY = Amounts(
    side_px=64,
    usual=(128, 128),
    large=(192, 192),
    distinct=4,
    many=8,
    shard=2,
    fed=6,
    peers=6,
    rounds=2,
    gemm_side=64,
    rows=12,
    encoded=2,
)


def tiny_bench(folder: Path) -> Bench:
    """With random weights."""
    folder.mkdir(exist_ok=True)
    return Bench(folder, weights="random:0", amounts=TINY)


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    """The figures of a part, each name once."""
    found = {figure.name: figure for figure in figures}
    assert len(found) == len(figures), "two figures of one name"
    return found
