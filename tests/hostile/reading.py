"""What is tried on a hostile file: all that `featurize` does with an image, and `index` with a tar."""

import tempfile
from pathlib import Path

import numpy as np

from texture_store.archive.tar import list_tar
from texture_store.errors import CorpusError, RejectedImageError
from texture_store.micrograph.decode import format_of
from texture_store.micrograph.micrograph import Micrograph
from texture_store.micrograph.reading import UNFORESEEN, read_micrograph
from texture_store.objects import open_storage
from texture_store.spec import PixelSpec

DECODED, REJECTED = "decoded", "rejected"
SPECS = (
    PixelSpec(size="64x64"),
    PixelSpec(size="64x64", fit="crop", value_range=(0, 1), intensity="standardize"),
    PixelSpec(size="native", databar="none"),
    PixelSpec(size="64x64", databar="9", resize="nearest"),
)


def read_image(data: bytes, pixels: PixelSpec, sidecar: bytes | None) -> str:
    """DECODED or REJECTED; AssertionError for a picture or a reason that nobody could use."""
    try:
        micrograph = read_micrograph(data, pixels, sidecar=sidecar, name="a.tif")
    except RejectedImageError as error:
        assert_foreseen(error)
        return REJECTED
    assert_usable(micrograph)
    assert micrograph.facts["file_format"] == format_of(data)
    if pixels.size == "64x64":
        assert micrograph.seen.shape == (64, 64)
    return DECODED


def read_tar(data: bytes, pixels: PixelSpec, sidecar: bytes | None) -> str:
    """Index a tar, then read its members. REJECTED where the tar is refused as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.tar").write_bytes(data)
        storage = open_storage(folder)
        try:
            entries = list_tar(storage, storage.info("a.tar"), on_skip=lambda path, reason: None)
        except CorpusError as error:
            assert_one_line(error)
            return REJECTED
    for entry in entries:
        assert entry.offset is not None
        assert 0 <= entry.offset <= entry.offset + entry.size <= len(data)
        assert ".." not in entry.path.split("/")
        assert not entry.path.startswith("/")
        read_image(data[entry.offset : entry.offset + entry.size], pixels, sidecar)
    return DECODED


def read_any(data: bytes, pixels: PixelSpec, sidecar: bytes | None, is_tar: bool) -> str:
    """What is called in a process of its own."""
    return (read_tar if is_tar else read_image)(data, pixels, sidecar)


def assert_usable(micrograph: Micrograph) -> None:
    """A picture of finite facts."""
    seen = micrograph.seen
    assert seen.dtype == np.uint8
    assert seen.ndim == 2
    assert seen.size
    assert seen.flags.c_contiguous
    for name, value in micrograph.facts.items():
        texts = value if isinstance(value, list) else [value]
        assert all(text.isprintable() for text in texts if isinstance(text, str)), (name, value)
        if name not in ("grey_min", "grey_max"):  # those are the file's own values
            assert not isinstance(value, float) or np.isfinite(value), (name, value)


def assert_foreseen(error: RejectedImageError) -> None:
    """A reason that a check or a decoder gave."""
    assert UNFORESEEN not in str(error), str(error)
    assert_one_line(error)


def assert_one_line(error: CorpusError) -> None:
    """A reason that fits into a table and onto a terminal."""
    assert str(error).isprintable()
    assert 5 < len(str(error)) < 600
