"""featurize from S3 to S3: the same bits as from disk to disk, and storage errors never reject an image."""

from pathlib import Path

import numpy as np
import pytest

from jobs.index import index
from texture_store import open_store
from texture_store.objects import open_storage

from .conftest import texture_store

pytestmark = [pytest.mark.ray, pytest.mark.s3]

OPTIONS = [
    "--dataset",
    "steel",
    "--size",
    "64",
    "--weights",
    "random:0",
    "--precision",
    "float32",
    "--encoders",
    "mean",
]


def upload(archive: Path, url: str) -> str:
    storage = open_storage(url)
    for file in sorted(archive.iterdir()):
        storage.create(file.name, file.read_bytes())
    return url


def test_s3_to_s3_gives_the_bits_of_disk_to_disk(tmp_path: Path, archive: Path, s3_url: str, run_featurize):
    on_disk, on_s3 = str(tmp_path / "store"), f"{s3_url}/store"
    index(on_disk, "steel", str(archive), labels=str(archive / "labels.csv"))
    remote = upload(archive, f"{s3_url}/archive")
    index(on_s3, "steel", remote, labels=f"{remote}/labels.csv", shard_size=3)
    local, far = run_featurize(on_disk), run_featurize(on_s3)
    assert (far.indexed, far.featurized, far.rejected, far.pending) == (10, 10, 0, 0)
    assert far.spec == local.spec
    for encoder, layer in [("mean", "conv1_2"), ("gram", "conv5_3"), ("max", "input")]:
        here = open_store(on_disk).features("steel", encoder=encoder, layer=layer, spec=local.spec)
        there = open_store(on_s3).features("steel", encoder=encoder, layer=layer, spec=far.spec)
        assert here.rows["path"].tolist() == there.rows["path"].tolist()
        assert here.rows["label"].tolist() == there.rows["label"].tolist()
        assert np.array_equal(here.to_numpy(), there.to_numpy())


def test_wrong_credentials_fail_at_once_and_reject_nothing(archive: Path, s3_url: str, monkeypatch):
    store = f"{s3_url}/store"
    index(store, "steel", upload(archive, f"{s3_url}/archive"))
    with monkeypatch.context() as environment:
        environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        result = texture_store("featurize", "--store", store, *OPTIONS)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "wrong" not in result.stderr
    assert not list(open_storage(store).list("rejected"))


def test_an_archive_that_is_gone_leaves_every_image_pending(archive: Path, s3_url: str, run_featurize):
    store = f"{s3_url}/store"
    index(store, "steel", upload(archive, f"{s3_url}/archive"))
    filesystem = open_storage(s3_url).filesystem
    filesystem.rm(f"{s3_url}/archive", recursive=True)
    summary = run_featurize(store)
    assert (summary.featurized, summary.rejected, summary.pending) == (0, 0, 10)
