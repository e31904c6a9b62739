"""Tries damaged files on the decoders, in a process with limits. Seeded, and goes on where it was stopped.

    python -m tests.hostile.fuzz --count 50000 --seed 1 --output ./fuzz

Input number N of a seed is always the same file, on any machine with the same library versions. The outcome is in
`fuzz/seed-1.json`; each input that ended its process, took too long or failed otherwise lies beside it.
TEXTURE_STORE_TEST_DATA adds real micrographs to the files that get damaged.
"""

import argparse
import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tests.hostile.mutation import damaged
from tests.hostile.reading import DECODED, REJECTED, SPECS
from tests.hostile.whole import SIDECARS, whole_files
from texture_store.errors import OutOfMemoryError, ProcessKilledError, TimedOutError
from texture_store.isolation import Isolated, Limits
from texture_store.micrograph.decode import format_of
from texture_store.spec import PixelSpec

LIMITS = Limits(memory_bytes=2 * 2**30, cpu_seconds=10)
SAVE_EVERY = 500
REAL = {"jpeg": "neu/images/*.jpg", "png": "schott/images/*.png", "tiff": "uhcs/images/*.tif"}


@dataclass
class Record:
    """What became of the inputs tried so far."""

    seed: int
    tried: int = 0
    decoded: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    findings: list[dict[str, object]] = field(default_factory=list)
    """Inputs that ended their process, went over a limit, or failed in an unforeseen way."""
    slowest_seconds: float = 0.0
    """Of the clock, for one input."""
    slowest_number: int = 0
    hours: float = 0.0
    real_files: int = 0


@dataclass(frozen=True)
class Input:
    """One damaged file."""

    data: bytes
    pixels: PixelSpec
    sidecar: bytes | None
    is_tar: bool

    @property
    def kind(self) -> str:
        """The format that its bytes have after the damage."""
        return "tar" if self.is_tar else format_of(self.data) or "none"


class Fuzz:
    """The inputs of one seed."""

    def __init__(self, seed: int, files: dict[str, bytes] | None = None) -> None:
        self._seed = seed
        self._files = files or whole_files()
        self._names = sorted(self._files)
        self._read = Isolated("tests.hostile.reading:read_any", LIMITS)

    def input(self, number: int) -> Input:
        """Input `number`; depends on the seed, the number and the whole files alone."""
        rng = np.random.default_rng([self._seed, number])
        name = self._names[number % len(self._names)]
        kin = [other for other in self._names if other.split("-")[0] == name.split("-")[0]]
        data = damaged(self._files[name], self._files[kin[int(rng.integers(0, len(kin)))]], rng)
        sidecar = None
        if rng.random() < 0.2:
            sidecar = damaged(SIDECARS[int(rng.integers(0, 3))], data, rng)
        return Input(data, SPECS[int(rng.integers(0, len(SPECS)))], sidecar, name.startswith("tar-"))

    def run(self, record: Record, count: int) -> list[Input]:
        """Try inputs until `count` are done; those that are findings."""
        self._read.start()
        bad = []
        while record.tried < count:
            tried = self.input(record.tried)
            started = time.monotonic()
            finding = None
            try:
                outcome = self._read(tried.data, tried.pixels, tried.sidecar, tried.is_tar)
            except (ProcessKilledError, OutOfMemoryError, TimedOutError, AssertionError) as error:
                finding = f"{type(error).__name__}: {error}"
            except Exception as error:  # left the reader, where only a rejection may
                finding = f"left the reader: {type(error).__name__}: {error}"
            seconds = time.monotonic() - started  # of the clock: a busy machine is slow as well
            if seconds > record.slowest_seconds:
                record.slowest_seconds, record.slowest_number = round(seconds, 2), record.tried
            if finding is not None:
                record.findings.append({"number": record.tried, "kind": tried.kind, "what": finding})
                bad.append(tried)
            else:
                counts = {DECODED: record.decoded, REJECTED: record.rejected}[outcome]
                counts[tried.kind] = counts.get(tried.kind, 0) + 1
            record.tried += 1
        return bad


def real_files(folder: Path, *, each: int = 4) -> dict[str, bytes]:
    """Some real micrographs of each format, by `format-real-N`."""
    found = {}
    for kind, pattern in REAL.items():
        for number, path in enumerate(sorted(folder.glob(pattern))[::25][:each]):
            found[f"{kind}-real-{number}"] = path.read_bytes()
    return found


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000, help="inputs in all, those of earlier calls included")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("fuzz"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"seed-{options.seed}.json"
    record = Record(**json.loads(path.read_text())) if path.exists() else Record(options.seed)
    real = real_files(Path(os.environ["TEXTURE_STORE_TEST_DATA"])) if "TEXTURE_STORE_TEST_DATA" in os.environ else {}
    record.real_files = len(real)
    fuzz = Fuzz(options.seed, whole_files() | real)
    while record.tried < options.count:
        started = time.monotonic()
        for bad in fuzz.run(record, min(options.count, record.tried + SAVE_EVERY)):
            (options.output / f"{options.seed}-{len(record.findings)}-{bad.kind}.bin").write_bytes(bad.data)
        record.hours = round(record.hours + (time.monotonic() - started) / 3600, 4)
        path.write_text(json.dumps(asdict(record), indent=1))
        outcomes = Counter(str(found["what"]).split(":")[0] for found in record.findings)
        print(f"{record.tried:,} tried, findings {dict(outcomes)}, slowest {record.slowest_seconds} s", flush=True)


if __name__ == "__main__":
    main()
