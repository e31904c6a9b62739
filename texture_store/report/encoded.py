"""Pictures as bytes of PNG and JPEG files, and back."""

import io

import numpy as np
from PIL import Image


def png_bytes(picture: np.ndarray) -> bytes:
    """uint8 (H, W), or RGB (H, W, 3), without loss."""
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, "PNG")
    return sink.getvalue()


def jpeg_bytes(picture: np.ndarray) -> bytes:
    """uint8 (H, W), or RGB (H, W, 3), a tenth of the bytes; off by a grey level or two."""
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, "JPEG", quality=85)
    return sink.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """uint8 (H, W), or (H, W, 3), of a file that the functions above made."""
    with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
        return np.asarray(image)
