"""Numbers rounded to bytes of their largest. docs/exact.md, "Functions".

An index that is a sum is made unsigned, here and in the network: numba then need not ask whether it is negative, and
loops become vectors.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from regrow.predict.exact.functions import bit_length


@register_jitable
def shift_for(peak, bits):
    """How far to shift numbers up to `peak` right so that they fit in so many bits."""
    return max(bit_length(peak) - bits, np.int64(0))


@register_jitable
def half_of(shift):
    return (np.int64(1) << shift) >> 1


@register_jitable
def peak_of(z, at, n):
    """The largest |z| of n numbers from `at` on."""
    peak = abs(z[at])
    for j in range(n):
        peak = max(peak, abs(z[np.uint64(at + j)]))
    return np.int64(peak)


@register_jitable
def quantise(z, at, n, left, row):
    """Round n numbers of z from `at` on to +-127 of the largest, plus 128, into left[row]. Returns the sum of
    squares, and the largest as mantissa (at most 2^15) and shift."""
    peak = peak_of(z, at, n)
    shift = shift_for(peak, 15)
    half = half_of(shift)
    mantissa = (peak + half) >> shift
    factor = np.int32((np.int64(127) << 22) // max(mantissa, np.int64(1)))
    cut, start = z.dtype.type(shift), z.dtype.type(half)
    squares = np.int32(0)
    for j in range(n):
        part = np.int32(z.dtype.type(z[np.uint64(at + j)] + start) >> cut)
        q = np.int32(np.int32(np.int32(part * factor) + (1 << 21)) >> 22)
        left[row, j] = np.uint8(q + 128)
        squares += np.int32(q * q)
    return np.int64(squares), mantissa, shift
