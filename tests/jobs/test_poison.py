"""Images that kill their process, and all kinds of malformed files, in one run: rejected, and the rest kept."""

import io
import os
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.index import index
from jobs.shards import ShardsSummary
from tests.hostile.malformed import SUFFIXES, malformed_files
from texture_store import open_store

from .conftest import texture_store, write_archive
from .killing import commits, start_and_wait

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.filterwarnings("ignore:.*RANDOM")]

PLANTED = Path(__file__).parent.parent / "hostile" / "planted"
POISON = {
    "segfault": ("ProcessKilledError", "reading it ends its process: SIGSEGV, each of 3 times"),
    "endless": ("TimedOutError", "reading it takes more than 60 s of processor time"),
    "memory": ("OutOfMemoryError", "reading it takes more than 8 GiB of memory"),
}
HEALTHY = 9


def arguments(store: str) -> list[str]:
    options = ["--size", "64x64", "--weights", "random:0", "--precision", "float32", "--max-rejected", "100%"]
    return ["featurize", "--store", store, "--dataset", "steel", *options]


def png_of(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (64, 80), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_poison_and_malformed_files_are_rejected_and_everything_else_is_featurized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_featurize: Callable[..., ShardsSummary]
) -> None:
    archive = write_archive(tmp_path / "archive", count=HEALTHY)
    healthy_store, store = str(tmp_path / "healthy"), str(tmp_path / "store")
    index(healthy_store, "steel", str(archive))
    run_featurize(healthy_store)
    for number, kind in enumerate(POISON):
        (archive / f"image{number:03}-{kind}.png").write_bytes(png_of(number) + b"planted:" + kind.encode())
    outcomes = {}
    for file_format in SUFFIXES:
        for kind, file in malformed_files(file_format).items():
            if file_format != "tar":
                outcomes[f"{file_format}-{kind}{SUFFIXES[file_format]}"] = file
    with tarfile.open(archive / "members.tar", "w") as tar:
        for number, (name, file) in enumerate(outcomes.items()):
            if number % 2:
                (archive / name).write_bytes(file.data)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(file.data)
                tar.addfile(member, io.BytesIO(file.data))
    index(store, "steel", str(archive), shard_size=32)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLANTED), os.environ.get("PYTHONPATH", "")]))
    result = texture_store(*arguments(store), timeout=290)
    assert result.returncode == 0, result.stderr

    opened, healthy = open_store(store), open_store(healthy_store)
    tables = [pq.read_table(path, partitioning=None) for path in Path(store).glob("rejected/**/*.parquet")]
    rejected = {row["path"]: row for row in pa.concat_tables(tables).to_pylist()}
    for number, kind in enumerate(POISON):
        row = rejected.pop(f"image{number:03}-{kind}.png")
        assert (row["stage"], row["error"], row["message"]) == ("isolation", *POISON[kind])
    assert set(rejected) == {name for name, file in outcomes.items() if file.outcome == "rejected"}
    assert all(row["message"].isprintable() and row["stage"] != "isolation" for row in rejected.values())
    (spec,) = opened.specs("steel")
    for encoder in ("mean", "gram"):
        features = opened.features("steel", encoder=encoder, layer="conv3_3", spec=spec)
        paths = features.rows["path"].tolist()
        assert len(paths) == HEALTHY + sum(file.outcome == "decoded" for file in outcomes.values())
        assert len(paths) + len(rejected) + len(POISON) == HEALTHY + len(POISON) + len(outcomes)
        expected = healthy.features("steel", encoder=encoder, layer="conv3_3", spec=spec)
        rows = [paths.index(path) for path in expected.rows["path"]]
        assert np.array_equal(features.to_numpy()[rows], expected.to_numpy())


def test_readers_that_are_killed_from_outside_reject_nothing(tmp_path: Path) -> None:
    store, archive = str(tmp_path / "store"), write_archive(tmp_path / "archive", count=40, enlarge=10)
    index(store, "steel", str(archive), shard_size=2)
    driver = start_and_wait(arguments(store), store, num_commits=1)
    killed, seen = 0, 0
    while driver.poll() is None and killed < 5:
        # Two shards on, so that no image is hit three times.
        if len(commits(store)) >= seen + 2 and (readers := readers_below(driver.pid)):
            os.kill(readers[0], signal.SIGKILL)
            killed, seen = killed + 1, len(commits(store))
        time.sleep(0.01)
    _, errors = driver.communicate(timeout=240)
    assert killed, "no reader was seen"
    if driver.returncode:  # one that is killed three times while it starts fails its shard
        assert "no process could be started" in errors, errors
        assert texture_store(*arguments(store)).returncode == 0
    opened = open_store(store)
    (spec,) = opened.specs("steel")
    features = opened.features("steel", encoder="mean", layer="conv3_3", spec=spec)
    assert len(features.rows) == 40


def readers_below(driver: int) -> list[int]:
    """Processes of this driver that read micrographs."""
    parents, readers = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"texture_store.isolation" in (folder / "cmdline").read_bytes():
                readers.append(int(folder.name))
        except (OSError, IndexError):
            continue
    below = []
    for reader in readers:
        parent = reader
        while parent in parents and parent != driver:
            parent = parents[parent]
        if parent == driver:
            below.append(reader)
    return below
