"""Vendor metadata: how the picture was taken, from the file's private tags or the text file beside it."""

from collections.abc import Callable, Iterator

from texture_store.errors import RejectedImageError
from texture_store.micrograph.decode import picture_size
from texture_store.micrograph.ifd import is_tiff, page_offsets, read_directory
from texture_store.micrograph.instruments import fei, tescan, zeiss
from texture_store.micrograph.instruments.hitachi import read_hitachi
from texture_store.micrograph.instruments.jeol import read_jeol
from texture_store.micrograph.instruments.record import Vendor
from texture_store.micrograph.instruments.values import text_of

__all__ = ["Vendor", "read_vendor"]

_MAX_PAGES = 4
"""Metadata is on the first page, by some software on the second one."""

Reader = Callable[[str, int, int], Vendor | None]
"""Text, width and height of the picture in px."""

_TAG_READERS: dict[int, Reader] = {
    **dict.fromkeys(fei.TAGS, lambda text, _, height: fei.read_fei(text, height)),
    zeiss.TAG: lambda text, width, _: zeiss.read_zeiss(text, width),
    tescan.TAG: lambda text, _, height: tescan.read_tescan(text, height),
}
_SIDECAR_READERS: tuple[Reader, ...] = (
    read_jeol,
    read_hitachi,
    lambda text, _, height: tescan.read_tescan(text, height),
)


def read_vendor(data: bytes, sidecar: bytes | None = None) -> Vendor:
    """Facts of the instrument. A sidecar counts where the file itself has no vendor tags.

    Anything odd is unknown (None), never an error: a picture is not lost for its metadata.
    """
    try:
        return next((vendor for vendor in _candidates(data, sidecar) if vendor is not None), Vendor())
    except (RejectedImageError, ValueError, ArithmeticError, LookupError):
        return Vendor()


def _candidates(data: bytes, sidecar: bytes | None) -> Iterator[Vendor | None]:
    if is_tiff(data):
        size = picture_size(data)
        for offset in page_offsets(data)[:_MAX_PAGES]:
            directory = read_directory(data, offset)
            for code, read in _TAG_READERS.items():
                if raw := directory.raw(code):
                    yield read(text_of(raw), *size)
    if sidecar:
        text, size = text_of(sidecar), picture_size(data)
        for read in _SIDECAR_READERS:
            yield read(text, *size)
