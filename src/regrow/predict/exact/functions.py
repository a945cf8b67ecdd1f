"""The integer functions that exact inference is made of. docs/exact.md defines each; all arguments are int64.

"Rounded" means to the nearest, halves up: (x + 2^(s-1)) >> s with an arithmetic shift.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, type-arg, operator, call-overload, misc, call-arg"
from __future__ import annotations

import math

from numba import int64
from numba.core import types
from numba.extending import intrinsic, register_jitable


@intrinsic
def _leading_zeros(typingctx, x):
    """Zero bits before the first one of a 64-bit number; 64 of 0."""

    def codegen(context, builder, signature, args):
        return builder.ctlz(args[0], context.get_constant(types.boolean, False))

    return types.int64(types.int64), codegen


@register_jitable
def bit_length(x):
    """Bits of x >= 0: the least n with x < 2^n."""
    return int64(64) - _leading_zeros(int64(x))


@register_jitable
def rounded(x, s):
    """x / 2^s, rounded; s is 1 to 62."""
    return (x + (int64(1) << (s - 1))) >> s


@register_jitable
def root(n):
    """The largest s with s * s <= n, of 0 <= n < 2^62."""
    s = int64(math.sqrt(float(n)))  # within one of it, whatever the last bit
    if s * s > n:
        s -= 1
    if (s + 1) * (s + 1) <= n:
        s += 1
    return s


@register_jitable
def log2_fixed(n, log2):
    """2^16 * log2(n) of n >= 1, within 1."""
    k = bit_length(n) - 1
    x = n >> (k - 31) if k > 31 else n << (31 - k)
    i = (x >> 23) & 255
    low, high = int64(log2[i]), int64(log2[i + 1])
    return (k << 16) + low + (((high - low) * (x & 0x7FFFFF) + 0x400000) >> 23)


@register_jitable
def exp2_fixed(y, exp2):
    """2^22 * 2^(-y / 1024) of y >= 0, rounded down after the table."""
    return int64(exp2[y & 1023]) >> min(y >> 10, int64(31))


@register_jitable
def tanh_packed(t, tanh):
    """2^15 * tanh(t / 2^16), within 1, from a table of entries and their differences (see `packed_tanh`)."""
    a = min(abs(t), int64(0x7FFFF))
    entry = int64(tanh[a >> 9])
    v = (entry >> 9) + (((entry & 511) * (a & 511) + 256) >> 9)
    return -v if t < 0 else v
