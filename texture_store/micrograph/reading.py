"""One micrograph: bytes to the grey picture that the network receives, and the facts that were read on the way."""

import hashlib
from pathlib import PurePosixPath

import cv2
import numpy as np

from texture_store.errors import ImageTooSmallError, RejectedImageError, UnreadableImageError
from texture_store.micrograph.databar import Databar, find_databar
from texture_store.micrograph.decode import Decoded, decode
from texture_store.micrograph.decoded import one_line
from texture_store.micrograph.framing import Framing, framing
from texture_store.micrograph.intensity import standardize, to_scale, uses_low_range
from texture_store.micrograph.micrograph import Micrograph
from texture_store.micrograph.resize import resize
from texture_store.micrograph.vendor import Vendor, read_vendor
from texture_store.spec import PixelSpec

UNFORESEEN = "reading it failed in an unforeseen way"

_FORMAT_OF_SUFFIX = {
    **dict.fromkeys((".tif", ".tiff", ".btf", ".tf8"), "TIFF"),
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    ".png": "PNG",
    ".gif": "GIF",
    ".webp": "WebP",
}


def read_micrograph(data: bytes, pixels: PixelSpec, *, sidecar: bytes | None = None, name: str = "") -> Micrograph:
    """Read one image file under a PixelSpec.

    `sidecar` holds the bytes of the metadata file beside the image. `name` is only compared with the format that the
    bytes have, for a note. The order: decode, scale the grey values to 0..255, cut the databar, standardise if asked,
    resize, and only then round, half to even.

    Raises subclasses of RejectedImageError, whose reason lies in the bytes, and MemoryError.
    """
    try:
        return _read(data, pixels, sidecar, name)
    except (RejectedImageError, MemoryError):
        raise
    except Exception as error:  # not foreseen; nothing but the bytes can be the reason, and a shard has other images
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from None
        raise UnreadableImageError(f"{UNFORESEEN}: {one_line(f'{type(error).__name__}: {error}')}") from error


def _read(data: bytes, pixels: PixelSpec, sidecar: bytes | None, name: str) -> Micrograph:
    decoded = decode(data)
    vendor = read_vendor(data, sidecar)
    height, width = decoded.grey.shape
    value_range = pixels.value_range or (vendor.value_range if decoded.bit_depth > 8 else None)
    picture = to_scale(decoded.grey, bit_depth=decoded.bit_depth, is_float=decoded.is_float, value_range=value_range)
    searched = picture if decoded.is_float else decoded.grey  # raw floats may be of any size
    databar = find_databar(searched, policy=pixels.databar, vendor_rows=vendor.databar_rows)
    num_rows = databar.kept_rows(height)
    if num_rows < 1:
        raise ImageTooSmallError(f"no row of {height} is left without the databar")
    kept, picture = decoded.grey[:num_rows], picture[:num_rows]
    view = framing(width, num_rows, pixels, um_per_px_x=vendor.um_per_px_x, um_per_px_y=vendor.um_per_px_y)
    low_range = uses_low_range(picture)
    if pixels.intensity == "standardize":
        picture = standardize(picture)
    picture = picture[view.top : view.top + view.height, view.left : view.left + view.width]
    picture = resize(picture, view.seen_width, view.seen_height, method=pixels.resize)
    seen = np.clip(np.rint(picture), 0, 255).astype(np.uint8)  # rint rounds half to even; bicubic overshoots
    facts: dict[str, object] = {
        **_file_facts(data, decoded, name),
        "grey_min": float(kept.min()),
        "grey_max": float(kept.max()),
        "grey_mean": float(seen.mean(dtype=np.float64)),
        "grey_std": float(seen.std(dtype=np.float64)),
        "low_range": low_range,
        **_vendor_facts(vendor),
        **_view_facts(view, vendor),
        **_databar_facts(databar),
    }
    return Micrograph(np.ascontiguousarray(seen), facts)


def _file_facts(data: bytes, decoded: Decoded, name: str) -> dict[str, object]:
    height, width = decoded.grey.shape
    notes = list(decoded.notes)
    expected = _FORMAT_OF_SUFFIX.get(PurePosixPath(name).suffix.lower())
    if expected not in (None, decoded.file_format):
        notes.append(f"named as {expected}, is {decoded.file_format}")
    return {
        "sha256_bytes": hashlib.sha256(data).hexdigest(),
        "sha256_pixels": _pixel_digest(decoded.grey),
        "file_bytes": len(data),
        "file_format": decoded.file_format,
        "num_pages": decoded.num_pages,
        "width": width,
        "height": height,
        "bit_depth": decoded.bit_depth,
        "is_colour": decoded.is_colour,
        "notes": notes,
    }


def _pixel_digest(grey: np.ndarray) -> str:
    """SHA-256 of shape, type and little-endian values: equal for one picture in two file formats."""
    little = np.ascontiguousarray(grey.astype(grey.dtype.newbyteorder("<"), copy=False))
    digest = hashlib.sha256(f"{little.shape[0]}x{little.shape[1]} {little.dtype.str}\n".encode())
    digest.update(little.data)
    return digest.hexdigest()


def _vendor_facts(vendor: Vendor) -> dict[str, object]:
    return {
        "vendor": vendor.vendor,
        "file_um_per_px_x": vendor.um_per_px_x,
        "file_um_per_px_y": vendor.um_per_px_y,
        "magnification": vendor.magnification,
        "detector": vendor.detector,
        "acceleration_voltage_kv": vendor.acceleration_voltage_kv,
        "working_distance_mm": vendor.working_distance_mm,
        "acquired": vendor.acquired,
    }


def _view_facts(view: Framing, vendor: Vendor) -> dict[str, object]:
    um_x, um_y = vendor.um_per_px_x, vendor.um_per_px_y
    return {
        "um_per_px_x": None if um_x is None else um_x * view.px_per_px_x,
        "um_per_px_y": None if um_y is None else um_y * view.px_per_px_y,
        "px_per_px_x": view.px_per_px_x,
        "px_per_px_y": view.px_per_px_y,
        "seen_width": view.seen_width,
        "seen_height": view.seen_height,
        "enlarged": view.enlarged,
    }


def _databar_facts(databar: Databar) -> dict[str, object]:
    return {
        "databar_method": databar.method,
        "databar_top": databar.top,
        "databar_left": databar.left,
        "databar_right": databar.right,
        "databar_bottom": databar.bottom,
        "has_marks": databar.has_marks,
    }
