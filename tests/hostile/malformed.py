"""All kinds of malformed files, by `format/kind`: `index`, `featurize` and the decoders are tried on each."""

from dataclasses import dataclass
from functools import cache

from tests.hostile import malformed_png, malformed_raster, malformed_tar, malformed_tiff
from tests.hostile.reading import DECODED, REJECTED

SUFFIXES = {"tiff": ".tif", "png": ".png", "jpeg": ".jpg", "bmp": ".bmp", "gif": ".gif", "webp": ".webp", "tar": ".tar"}
_SOURCES = {
    "tiff": (malformed_tiff.refused, malformed_tiff.read),
    "png": (malformed_png.refused, malformed_png.read),
    "jpeg": (malformed_raster.jpeg_refused, malformed_raster.jpeg_read),
    "bmp": (malformed_raster.bmp_refused, malformed_raster.bmp_read),
    "gif": (malformed_raster.gif_refused, malformed_raster.gif_read),
    "webp": (malformed_raster.webp_refused, malformed_raster.webp_read),
    "tar": (malformed_tar.refused, malformed_tar.read),
}


@dataclass(frozen=True)
class Malformed:
    """One file, and what must become of it."""

    data: bytes
    outcome: str
    """DECODED or REJECTED."""


@cache
def malformed_files(file_format: str) -> dict[str, Malformed]:
    """The kinds of one format: a key of SUFFIXES."""
    refused, read = _SOURCES[file_format]
    found = {kind: Malformed(data, REJECTED) for kind, data in refused().items()}
    return found | {kind: Malformed(data, DECODED) for kind, data in read().items()}
