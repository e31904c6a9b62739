"""Peak memory of a featurize run: the sum of PSS of all its processes, Ray's own included."""

from contextlib import suppress
from pathlib import Path

from jobs.benchmark_bench import Bench
from jobs.benchmark_featurize import Case, make_store, run_featurize
from jobs.benchmark_record import Figure
from jobs.progress import say

MARK_GB = 4.0
"""At most, at 512x512."""


def measure_memory(bench: Bench) -> list[Figure]:
    """Watched from outside while the command runs."""
    if not Path("/proc/self/smaps_rollup").exists():
        bench.left_out.append("peak memory: this system has no /proc/PID/smaps_rollup")
        return []
    count = max(1, bench.amounts.many // 2)
    case = Case("png", bench.amounts.usual, "disk", count, bench.precisions[0])
    store_url = make_store(bench, case, name="memory")
    say(f"memory: {case}, {count} images")
    peak: dict[int, int] = {}
    samples = 0

    def watch(root: int) -> None:
        nonlocal peak, samples
        samples += 1
        now = pss_of_tree(root)
        if sum(now.values()) > sum(peak.values()):
            peak = now

    run_featurize(bench, case, store_url, watch)
    how = f"sum of PSS of {len(peak)} processes, the largest of {samples} samples; {case}, {count} images"
    mark = MARK_GB if bench.has_marks else None
    return [
        Figure("peak memory of featurize", sum(peak.values()) / 1e9, "GB", how, at_most=mark),
        Figure("largest process of these", max(peak.values(), default=0) / 1e9, "GB", "its PSS at that moment"),
    ]


def pss_of_tree(root: int) -> dict[int, int]:
    """Bytes of PSS of a process and all that it has started, by process id; those that end meanwhile are left out."""
    children = _children()
    found: dict[int, int] = {}
    todo = [root]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        # A process that has just ended is gone, or has no memory.
        with suppress(OSError, ValueError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found[pid] = 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return found


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of a process, in brackets, may hold anything.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    return children
