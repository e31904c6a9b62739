"""The rights of infra/cluster/s3-policy.json suffice, and without those to write the error is one line."""

import json
from pathlib import Path

import pytest

from tests.jobs.conftest import texture_store, write_archive

POLICY = Path(__file__).parents[2] / "infra" / "cluster" / "s3-policy.json"
STORE = ("--store", "s3://limited-store/lab", "--dataset", "steel")


def act_as(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{name}-secret")


def test_the_policy_asks_for_nothing_that_deletes_or_administers() -> None:
    statements = json.loads(POLICY.read_text())["Statement"]
    actions = {action for statement in statements for action in statement["Action"]}
    assert actions == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}
    assert all("ARCHIVE" not in str(s["Resource"]) for s in statements if "s3:PutObject" in s["Action"])


@pytest.mark.s3
def test_these_rights_suffice_to_index_and_reading_alone_does_not(
    s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    admin = s3fs.S3FileSystem(skip_instance_cache=True)
    for bucket in ("limited-archive", "limited-store"):
        admin.mkdir(bucket)
    folder = write_archive(tmp_path / "archive", count=12)
    admin.put(f"{folder}/", "s3://limited-archive/", recursive=True)

    act_as("worker", monkeypatch)
    labels = ["--labels", str(folder / "labels.csv")]
    written = texture_store("index", *STORE, "s3://limited-archive", *labels, "--json")
    assert written.returncode == 0, written.stderr[-2000:]

    act_as("reader", monkeypatch)
    assert texture_store("status", *STORE, "--json").returncode == 0
    refused = texture_store("index", *STORE, str(folder), *labels)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert refused.stderr.strip().splitlines()[-1].startswith("texture-store index: s3://limited-store/lab")
    assert "Access Denied; check the credentials" in refused.stderr.splitlines()[-1], refused.stderr
