"""How the extract stage spreads: over GPUs, beside GPUs that are not to compute, or over cores."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs.cluster import DEVICE_VARIABLE, Workers, local_workers
from tests.jobs.conftest import texture_store
from tests.jobs.ray_head import Head, ray_head
from texture_store.errors import UsageError


def offers(monkeypatch: pytest.MonkeyPatch, *, gpus: int, cores: int, device: str = "auto") -> Workers:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    return local_workers()


def test_one_actor_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = offers(monkeypatch, gpus=2, cores=12)
    assert (found.actors, found.num_gpus, found.device) == (2, 1, "cuda")
    assert str(found) == "2 GPUs"


def test_they_stay_where_the_gpus_are_when_cpus_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    found = offers(monkeypatch, gpus=2, cores=12, device="cpu")
    assert (found.actors, found.num_gpus, found.device) == (2, 1, "cpu")
    assert found.threads == 6
    assert 2 * found.num_cpus < 12, "nothing is left to decode with"
    assert str(found) == "2 CPU actors of 6 threads, one for each GPU"
    alone = offers(monkeypatch, gpus=8, cores=4, device="cpu")
    assert (alone.actors, alone.threads) == (8, 1)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_gpus_it_is_cores_that_count(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    assert offers(monkeypatch, gpus=0, cores=16, device=device) == Workers.on_cpu([16])


def test_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="TEXTURE_STORE_DEVICE=tpu: write cpu, or auto"):
        offers(monkeypatch, gpus=1, cores=4, device="tpu")


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A cluster whose GPU is only said to be there."""
    if torch.cuda.is_available():
        pytest.skip("torch can use a GPU here")
    with ray_head(num_gpus=1) as running:
        yield running


def featurize(head: Head, store: Path, precision: str, **changes: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--store", str(store), "--dataset", "steel", "--size", "64", "--weights", "random:0"]
    arguments += ["--layers", "conv1_2", "--precision", precision, "--address", head.address]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= dict(head.environment) | changes
    command = [sys.executable, "-m", "jobs.featurize", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.ray
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_gpu_that_cannot_be_used(head: Head, archive: Path, tmp_path: Path, precision: str) -> None:
    store = tmp_path / "store"
    assert texture_store("index", "--store", str(store), "--dataset", "steel", str(archive)).returncode == 0
    refused = featurize(head, store, precision)
    assert refused.returncode == 1, refused.stderr
    last = refused.stderr.strip().splitlines()[-1]
    assert "Ray has a GPU there that torch cannot use" in last
    assert "or set TEXTURE_STORE_DEVICE=cpu" in last
    done = featurize(head, store, precision, TEXTURE_STORE_DEVICE="cpu")
    assert done.returncode == 0, done.stderr
    assert "one for each GPU" in done.stderr


@pytest.mark.ray
def test_a_driver_has_the_keepalive_that_it_was_given(head: Head) -> None:
    """A driver with 10 s, and nodes without, had each task of over 40 s declared dead."""
    code = f"""
import os
from jobs.cluster import connected
with connected({head.address!r}):
    print([name for name in os.environ if "keepalive" in name])
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= dict(head.environment)
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert result.stdout.strip() == "[]", result.stderr
