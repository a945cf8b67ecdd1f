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


@register_jitable
def quantise_state(x_D, left, row, apart, kept):
    """Round a residual stream to +-127 of the largest entry outside the four around the largest of all, which may grow
    to 128 times that: a trained network keeps most of a state in one entry, beside which all others would round to
    nothing. Plus 128 into left[row]; of the four the seven lowest bits there, and what stands above them into
    apart.high[kept]; which four into apart.four[kept]. Returns the sum of squares. docs/exact.md, "Functions"."""
    n = len(x_D)
    peak = peak_of(x_D, 0, n)
    at = np.int64(0)
    while abs(np.int64(x_D[at])) != peak:
        at += 1
    at = at >> 2 << 2
    rest = max((peak + 127) >> 7, np.int64(1))
    for j in range(n):
        if j < at or j >= at + 4:
            rest = max(rest, np.int64(abs(x_D[j])))
    shift = shift_for(rest, 15)
    half = half_of(shift)
    factor = (np.int64(127) << 22) // ((rest + half) >> shift)
    cut, start, factor32 = x_D.dtype.type(shift), x_D.dtype.type(half), np.int32(factor)
    squares = np.int32(0)
    for j in range(n):
        part = np.int32(x_D.dtype.type(x_D[j] + start) >> cut)
        q = np.int32(np.int32(np.int32(part * factor32) + (1 << 21)) >> 22)
        left[row, j] = np.uint8(q + 128)
        squares += np.int32(q * q) if j < at or j >= at + 4 else np.int32(0)
    total = np.int64(squares)
    apart.four[kept] = at >> 2
    for i in range(4):  # beyond 32 bits
        q64 = (((np.int64(x_D[at + i]) + half) >> shift) * factor + (1 << 21)) >> 22
        high = (q64 + 64) >> 7
        left[row, at + i] = np.uint8(q64 - (high << 7) + 128)
        apart.high[kept, i] = np.int16(high)
        total += q64 * q64
    return total
