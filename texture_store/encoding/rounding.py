"""Fewer mantissa bits, so that Gram vectors compress: still a plain float32 for every reader.

The error is at most 2^-(bits + 1) of a normal value. 12 bits cost a tenth of what a bfloat16 network costs, and make
the packed Gram vectors of real micrographs 40 % smaller in Parquet (0.206 of the full matrix instead of 0.339).
"""

from typing import TYPE_CHECKING

from texture_store.errors import EncodingError

if TYPE_CHECKING:
    import torch

MANTISSA_BITS = 23
"""Mantissa bits of a float32."""

_EXPONENT = 0x7F800000


def keep_mantissa_bits(values: "torch.Tensor", bits: int) -> "torch.Tensor":
    """float32 values of any shape with their mantissa rounded to `bits` bits, to nearest, ties to even.

    On the device of the values. NaN and infinities stay as they are; 23 bits are all of float32. As in all rounding, a
    value at the very top of the range rounds to infinity. Raises EncodingError for other types, and for bits outside
    1..23.
    """
    import torch

    if values.dtype != torch.float32:
        raise EncodingError(f"mantissa bits are kept of float32 values, not of {values.dtype}")
    if not 1 <= bits <= MANTISSA_BITS:
        raise EncodingError(f"{bits} mantissa bits: float32 has 1 to {MANTISSA_BITS}")
    dropped = MANTISSA_BITS - bits
    if dropped == 0:
        return values.clone()
    pattern = values.view(torch.int32)
    # Half of the last kept place, less one unless that place is odd: a carry runs on into the exponent, as it should.
    half = ((pattern >> dropped) & 1) + ((1 << (dropped - 1)) - 1)
    rounded = (pattern + half) & -(1 << dropped)
    is_finite = (pattern & _EXPONENT) != _EXPONENT
    return torch.where(is_finite, rounded, pattern).view(torch.float32)
