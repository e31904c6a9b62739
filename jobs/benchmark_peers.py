"""featurize against what people would write instead: a plain PyTorch script, and the recipe of Ray Data."""

import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.benchmark_bench import Bench
from jobs.benchmark_featurize import LIMIT_SECONDS, Case, archive_folder, featurized
from jobs.benchmark_record import Figure
from jobs.progress import say
from texture_store.errors import StoreError
from texture_store.spec import Precision

SCRIPTS = {"plain script": "plain_torch.py", "Ray Data recipe": "ray_data.py"}
MARKS: dict[tuple[str, Precision], float] = {
    ("plain script", "bfloat16"): 3.0,
    ("Ray Data recipe", "bfloat16"): 3.5,
    ("plain script", "float32"): 1.5,
    ("Ray Data recipe", "float32"): 1.7,
}


@dataclass(frozen=True)
class PeerRun:
    """A run of a script."""

    seconds: float
    """Of the whole script."""
    start_up: float
    """Until its first batch was through the network, s."""
    per_image: float
    """s, from there until everything was written."""


def measure_peers(bench: Bench) -> list[Figure]:
    """Seconds per image of each script against those of featurize, on the same pictures, each without its start-up."""
    figures = []
    for precision in bench.precisions:
        if precision == "tf32":
            continue
        case = Case("png", bench.amounts.usual, "disk", bench.amounts.peers, precision)
        runs: dict[str, PeerRun] = {}
        ours = featurized(bench, case)
        for name in SCRIPTS:
            say(f"peers: {name}, {precision}, {case.images} images")
            runs[name] = run_peer(bench, name, case, bench.folder / "peers" / f"{SCRIPTS[name]}-{precision}")
        for name, run in runs.items():
            mark = MARKS.get((name, precision)) if bench.has_marks else None
            how = "s/image of the script / of featurize, from the first batch until all is written"
            ratio = run.per_image / ours.steady_until_written
            figures.append(Figure(f"{precision}: featurize against the {name}", ratio, "x", how, wanted=mark))
            figures.append(
                Figure(f"{precision}: {name}", run.per_image, "s/image", f"likewise; {case}, {case.images} images")
            )
            figures.append(Figure(f"{precision}: {name}, start-up", run.start_up, "s", "until its first batch is done"))
        figures.append(
            Figure(
                f"{precision}: featurize",
                ours.steady_until_written,
                "s/image",
                "from the first batch to the last commit",
            )
        )
        figures.append(Figure(f"{precision}: featurize, start-up", ours.start_up, "s", "until its first batch is done"))
    return figures


def run_peer(bench: Bench, name: str, case: Case, output: Path) -> PeerRun:
    """Run a script on the pictures of a case; its Parquet files lie in `output`. Raises StoreError when it fails."""
    output.mkdir(parents=True)
    script = Path(__file__).parent / "peers" / SCRIPTS[name]
    times, log = output.with_name(f"{output.name}.times"), output.with_name(f"{output.name}.log")
    options = ["--weights", str(bench.weights_file), "--precision", case.precision, "--times", str(times)]
    options += ["--size", str(bench.amounts.side_px)]
    command = [sys.executable, str(script), str(archive_folder(bench, case)), str(output), *options]
    started = time.time()
    try:
        with log.open("wb") as out:
            done = subprocess.run(  # noqa: S603 (our own scripts)
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=_environment(),
                timeout=LIMIT_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise StoreError(f"the {name} took over {LIMIT_SECONDS} s; leave out the part peers") from None
    ended = time.time()
    if done.returncode or not times.is_file():
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise StoreError(f"the {name} ended with status {done.returncode}: {''.join(last)}")
    batches = [line.split() for line in times.read_text().splitlines()]
    first = min(float(at) for at, _ in batches)
    after_first = sum(int(images) for _, images in batches) - int(batches[0][1])
    return PeerRun(ended - started, first - started, (ended - first) / max(1, after_first))


def _environment() -> dict[str, str]:
    """A Ray of its own, on loopback, whatever runs on this machine."""
    settings = {
        "RAY_ADDRESS": "local",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    return {**os.environ, **settings}
