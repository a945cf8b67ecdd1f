"""Logarithm and exponential from sums, products and quotients alone, each rounded by itself in the order written.

A library's own differ in their last bit from one machine to the next. These are within 2e-15 of the truth, relative or,
near a result of 0, absolute. A number's exponent is read and written in its bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

_LN2_HIGH, _LN2_LOW = (
    0.693147180369123816490,
    1.90821492927058770002e-10,
)  # their sum is ln 2; the first has few bits
# Of both series, the highest power first.
_ARTANH = tuple(1 / n for n in range(19, 1, -2))
_EXP = tuple(1 / math.factorial(n) for n in range(13, -1, -1))


@register_jitable
def log_of(x: Any) -> Any:
    """ln(x) of a normal float64 above 0: 2 artanh((m - 1) / (m + 1)) + e ln 2, where x = m 2^e, m near 1."""
    bits = np.float64(x).view(np.int64)
    e = (bits >> 52) - 1023
    m = np.int64((bits & 0xFFFFFFFFFFFFF) | (1023 << 52)).view(np.float64)
    if m > 1.4142135623730951:
        m *= 0.5
        e += 1
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    series = 0.0
    for term in _ARTANH:
        series = series * t + term
    return e * _LN2_HIGH + (e * _LN2_LOW + (2.0 * s + 2.0 * s * t * series))


@register_jitable
def exp_of(x: Any) -> Any:
    """e^x of a float64, 0 below 2^-1022: 2^k e^r, where r is within half of ln 2, by its Taylor series."""
    if x < -708.0 or x > 709.0:
        return 0.0 if x < 0.0 else np.inf
    k = np.int64(math.floor(x * 1.4426950408889634 + 0.5))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = 0.0
    for term in _EXP:
        series = series * r + term
    return series * np.int64((k + 1023) << 52).view(np.float64)
