"""Small pictures for sheets and pages."""

import base64
import io

import numpy as np
from PIL import Image

from texture_store.micrograph.resize import resize


def thumbnail(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W) uint8 shrunk to fit into width x height px, antialiased; never enlarged."""
    rows, columns = picture.shape
    factor = min(1.0, width / columns, height / rows)
    if factor == 1.0:
        return picture
    small = resize(
        picture.astype(np.float32), max(1, round(columns * factor)), max(1, round(rows * factor)), method="area"
    )
    return np.asarray(np.clip(np.rint(small), 0, 255), np.uint8)


def data_uri(picture: np.ndarray, *, quality: int = 85) -> str:
    """(H, W) or (H, W, 3) uint8 as a JPEG inside a URI."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
