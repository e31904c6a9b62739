"""Grey pictures to another size, before they are rounded to 8 bits.

Shrinking is antialiased (`area`, `bilinear`) or not (`nearest`, what Keras did in 2017), enlarging is bicubic. Each
axis goes its own way, so that a picture that gets wider and less high is averaged along one axis only.
"""

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import sparse

from texture_store.spec import Resize


def resize(picture: np.ndarray, width: int, height: int, *, method: Resize) -> np.ndarray:
    """(H, W) float32 -> (height, width) float32.

    `area`: the mean over the rectangle that a new pixel covers. `bilinear`: Pillow's triangle filter, as wide as the
    pixels shrink. `nearest`: the pixel under the centre, also for enlarging. Enlarged axes of the others: Pillow's
    bicubic (a = -0.5), which may overshoot the range by some grey levels. The same size gives the same values.
    """
    picture = np.ascontiguousarray(picture, np.float32)
    if method == "nearest":
        return _by_pillow(picture, width, height, Image.Resampling.NEAREST)
    less_width, less_height = min(width, picture.shape[1]), min(height, picture.shape[0])
    if method == "area":
        picture = _area(picture, less_width, less_height)
    else:
        picture = _by_pillow(picture, less_width, less_height, Image.Resampling.BILINEAR)
    return _by_pillow(picture, width, height, Image.Resampling.BICUBIC)


def _by_pillow(picture: np.ndarray, width: int, height: int, method: Image.Resampling) -> np.ndarray:
    """Pillow leaves an axis alone whose length stays."""
    if picture.shape == (height, width):
        return picture
    return np.array(Image.fromarray(picture).resize((width, height), method), np.float32)


def _area(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Exact means. OpenCV's INTER_AREA leaves out slivers under 1/1000 pixel, so that at 1280x1024 -> 1279x1023 a value
    was off by 0.28 of 255 and constant pictures did not stay constant; this is exact and takes no threads."""
    if picture.shape[0] != height:
        picture = area_weights(picture.shape[0], height) @ picture
    if picture.shape[1] != width:
        picture = np.ascontiguousarray((area_weights(picture.shape[1], width) @ np.ascontiguousarray(picture.T)).T)
    return picture


@lru_cache(maxsize=64)
def area_weights(num_from: int, num_to: int) -> sparse.csr_matrix:
    """(num_to, num_from) float32: the share of each old pixel in each new one; every row sums to 1.

    In units of 1 / (num_from * num_to) of the length, old pixel i is [i * num_to, (i + 1) * num_to) and new pixel j is
    [j * num_from, (j + 1) * num_from): the overlaps are whole numbers.
    """
    old, new = np.arange(num_from + 1) * num_to, np.arange(num_to + 1) * num_from
    bounds = np.union1d(old, new)
    rows, columns = bounds[:-1] // num_from, bounds[:-1] // num_to
    shares = (np.diff(bounds) / num_from).astype(np.float32)
    return sparse.csr_matrix((shares, (rows, columns)), shape=(num_to, num_from))
