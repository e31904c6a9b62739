"""Channels and palettes to one grey channel.

Grey stays exact: equal channels are taken as they are, and a palette that is a grey ramp apart from overlay colours is
not looked up. Only real colour becomes luminance (ITU-R BT.601, the weights that Pillow uses), rounded to the type.
"""

import numpy as np

from texture_store.micrograph.decoded import COLOUR_NOISE

_BLOCK_PIXELS = 2**20
_RAMP_TOLERANCE = 2
"""Grey levels of 255 by which an entry may miss the ramp: some palettes round their entries down."""
_RAMP_SHARE = 0.75
"""Share of entries on the ramp. Zeiss palettes keep 26 of 256 for overlay colours; palettes of pictures have few."""


def grey_of_rgb(rgb: np.ndarray) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """(H, W, 3) of any real type -> grey (H, W) of the same type, whether it is in colour, notes."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red), False, ()
    height, width = red.shape
    grey = np.empty((height, width), rgb.dtype)
    limit = COLOUR_NOISE * (np.iinfo(rgb.dtype).max if rgb.dtype.kind in "iu" else 1)
    rows = max(1, _BLOCK_PIXELS // max(1, width))
    num_coloured = 0
    for top in range(0, height, rows):
        block = rgb[top : top + rows]
        grey[top : top + rows] = _luminance(block)
        spread = block.max(axis=-1).astype(np.float64) - block.min(axis=-1)
        num_coloured += int(np.count_nonzero(spread > limit))
    if not num_coloured:
        return grey, False, ()
    share = 100 * num_coloured / grey.size
    return grey, True, (f"colour in {share:.2g} % of the pixels, read as luminance",)


def _luminance(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h, w). Integers are exact up to the last rounding, so that equal channels keep their value."""
    if rgb.dtype.kind == "f":
        return np.asarray(rgb @ np.array([0.299, 0.587, 0.114], rgb.dtype))
    wide = rgb.astype(np.int32) if rgb.dtype.itemsize <= 2 else rgb.astype(np.int64)
    grey: np.ndarray = (299 * wide[..., 0] + 587 * wide[..., 1] + 114 * wide[..., 2] + 500) // 1000
    return grey


def grey_of_cmyk(cmyk: np.ndarray) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """(H, W, 4) unsigned ink amounts -> grey, as `grey_of_rgb` with R = (1 - C)(1 - K)."""
    full = int(np.iinfo(cmyk.dtype).max)
    rgb = np.empty((*cmyk.shape[:2], 3), cmyk.dtype)
    paper = np.uint64(full) - cmyk[..., 3].astype(np.uint64)
    for channel in range(3):
        rgb[..., channel] = ((full - cmyk[..., channel].astype(np.uint64)) * paper + full // 2) // full
    return grey_of_rgb(rgb)


def grey_of_palette(
    indices: np.ndarray, palette: np.ndarray, bits: int
) -> tuple[np.ndarray, int, bool, tuple[str, ...]]:
    """Palette picture -> grey (H, W) uint8, its bit depth, whether it is in colour, notes.

    indices: (H, W) unsigned; palette: (N, 3) uint8; bits: width of an index. Zeiss TIFFs are palette pictures whose
    indices are the grey values while a few entries are given to coloured overlays; looking them up would shift grey.
    """
    if int(indices.max(initial=0)) >= len(palette):
        padding = np.zeros((int(indices.max()) + 1 - len(palette), 3), np.uint8)
        palette = np.concatenate([palette, padding])
    used = np.bincount(indices.reshape(-1), minlength=len(palette)) > 0
    if len(palette) == 2**bits:
        ramp = np.arange(len(palette)) * (255 / (len(palette) - 1))
        on_ramp = np.abs(palette - ramp[:, np.newaxis]).max(axis=1) <= _RAMP_TOLERANCE
        if on_ramp.mean() >= _RAMP_SHARE:
            share = 100 * np.count_nonzero(~on_ramp[indices]) / indices.size if (used & ~on_ramp).any() else 0.0
            notes = (f"overlay colours in {share:.2g} % of the pixels, read as palette indices",) if share else ()
            return np.ascontiguousarray(indices, np.uint8), bits, False, notes
    grey, _, _ = grey_of_rgb(palette[np.newaxis])
    spread = palette.max(axis=1).astype(np.int16) - palette.min(axis=1)
    coloured = used & (spread > COLOUR_NOISE * 255)
    looked_up = np.take(grey[0], indices)
    if not coloured.any():
        return looked_up, 8, False, ()
    share = 100 * np.count_nonzero(coloured[indices]) / indices.size
    return looked_up, 8, True, (f"colour in {share:.2g} % of the pixels, read as luminance",)
