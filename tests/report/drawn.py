"""Previewed micrographs as the reader makes them from real bytes."""

import io

import cv2
import numpy as np
from PIL import Image

from texture_store.micrograph.reading import read_micrograph
from texture_store.report.previewed import Previewed
from texture_store.spec import PixelSpec


def png_bytes(picture: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "PNG")
    return encoded.getvalue()


def previewed(
    path: str,
    *,
    width: int = 640,
    height: int = 500,
    bar: int = 0,
    fit: str = "stretch",
    label: str | None = None,
    um_per_px: float | None = None,
    size: str = "256x256",
) -> Previewed:
    """A noisy picture of `height` rows over `bar` rows of databar, seen as a small square."""
    noise = np.random.default_rng(len(path)).normal(120, 40, (height + bar, width)).astype(np.float32)
    whole = cv2.GaussianBlur(noise, (0, 0), 1).clip(0, 255).astype(np.uint8)
    whole[0, :2] = 0, 255
    whole[height:] = 0
    micrograph = read_micrograph(png_bytes(whole), PixelSpec(size=size, databar=str(bar), fit=fit), name=path)
    facts = dict(micrograph.facts)
    if um_per_px is not None:
        facts |= {"file_um_per_px_x": um_per_px, "file_um_per_px_y": um_per_px}
        facts |= {f"um_per_px_{axis}": um_per_px * facts[f"px_per_px_{axis}"] for axis in "xy"}
    return Previewed(path, label, whole, micrograph.seen, facts=facts)
