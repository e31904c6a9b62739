"""How many bits of an integer container are used: detectors give 10 to 14 bits, files have 16.

A tag is believed only when it can be nothing else. MaxSampleValue (281) and SMaxSampleValue (341) are the largest value
that occurs in many files (TIFF 6.0 calls 281 statistical), which would scale each picture of an archive differently; so
they count only where they are exactly 2**n - 1 and no pixel lies above. A PNG's sBIT tells the bits of the source while
the specification has the samples already scaled to the full width; so sBIT counts only where pixels break that.
"""

import re

import numpy as np

from texture_store.micrograph.ifd import Directory

_MAX_SAMPLE_VALUE, _SMAX_SAMPLE_VALUE, _IMAGE_DESCRIPTION = 281, 341, 270
_OME_BITS = re.compile(rb"<(?:\w+:)?Pixels\b[^>]{0,2000}?\bSignificantBits\s*=\s*\"(\d{1,2})\"")
_MAX_DESCRIPTION_BYTES = 100_000


def of_tiff(grey: np.ndarray, bits: int, directory: Directory) -> tuple[int, tuple[str, ...]]:
    """Significant bits of an integer TIFF picture (H, W) whose samples have `bits` bits, and notes."""
    declared = [
        value.bit_length()
        for code in (_MAX_SAMPLE_VALUE, _SMAX_SAMPLE_VALUE)
        for value in directory.integers(code)[:1]
        if value > 0 and value & (value + 1) == 0
    ]
    description = (directory.raw(_IMAGE_DESCRIPTION) or b"")[:_MAX_DESCRIPTION_BYTES]
    if match := _OME_BITS.search(description):
        declared.append(int(match[1]))
    narrower = [value for value in declared if 8 <= value < bits]
    if not narrower:
        return bits, ()
    return _checked(grey, min(narrower), bits)


def of_png(grey: np.ndarray, bits: int, source_bits: int) -> tuple[int, tuple[str, ...]]:
    """Significant bits of a PNG picture with `source_bits` in its sBIT chunk."""
    if not 8 <= source_bits < bits or int(grey.max(initial=0)) >= 2**source_bits:
        return bits, ()
    shift = bits - source_bits
    top = grey >> shift
    filled, replicated = top << shift, (top << shift) | (top >> (source_bits - shift))
    if np.array_equal(grey, filled) or np.array_equal(grey, replicated):
        return bits, ()
    return source_bits, (f"{source_bits} significant bits of {bits}",)


def _checked(grey: np.ndarray, declared: int, bits: int) -> tuple[int, tuple[str, ...]]:
    if int(grey.max(initial=0)) >= 2**declared or int(grey.min(initial=0)) < 0:
        return bits, (f"declares {declared} significant bits, has more: not believed",)
    return declared, (f"{declared} significant bits of {bits}",)
