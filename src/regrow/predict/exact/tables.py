"""The tables of the integer functions: values of exp, log, tanh and cosine, each rounded to the nearest integer.

They are made with integers of 160 fractional bits by recurrences whose error stays below 2^-120, so every entry is the
correctly rounded one; a golden test holds their hashes. docs/exact.md says what each holds.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BITS = 160
_ONE = 1 << _BITS
EXP2_BITS, LOG2_BITS, TANH_BITS, COS_BITS = 22, 16, 15, 14


class Tables(NamedTuple):
    """`exp2` int32 [1024]: 2^22 * 2^(-i/1024). `log2` int32 [257]: 2^16 * log2(1 + i/256). `tanh` int32 [1025]:
    2^15 * tanh(i/128). `cos` int32 [1025]: 2^14 * cos(2 pi i/1024)."""

    exp2: NDArray[np.int32]
    log2: NDArray[np.int32]
    tanh: NDArray[np.int32]
    cos: NDArray[np.int32]


@functools.cache
def tables() -> Tables:
    """The four tables, made once a process."""
    return Tables(*(np.array(rows, np.int32) for rows in (_exp2(), _log2(), _tanh(), _cos())))


def packed_tanh() -> NDArray[np.int32]:
    """`tanh` with each entry's difference to the next in its low 9 bits: int32 [1024], so that one look finds both."""
    tanh = tables().tanh
    return (tanh[:-1] << 9) + np.diff(tanh)


def rotary_turns(rope_dims: int) -> NDArray[np.uint64]:
    """What a position adds to the angle of each rotated pair, in turns of 2^-64, rounded down: uint64 [rope_dims / 2].

    Pair i turns by 10000^(-2i / rope_dims) radians a position.
    """
    two_pi, log_10000 = 2 * _pi(), 4 * _log(10)
    turns = [
        (_exp(-log_10000 * 2 * i // rope_dims) << 64) // two_pi for i in range(rope_dims // 2)
    ]  # fmt: skip
    return np.array(turns, np.uint64)


def _round(x: int, bits: int) -> int:
    """x of _BITS fractional bits to the nearest multiple of 2^-bits, in its units."""
    shift = _BITS - bits
    return (x + (1 << (shift - 1))) >> shift


def _exp2() -> list[int]:
    step = _ONE >> 1
    for _ in range(10):  # the 1024th root of one half, by ten square roots
        step = math.isqrt(step << _BITS)
    values, x = [], _ONE
    for _ in range(1024):
        values.append(_round(x, EXP2_BITS))
        x = x * step >> _BITS
    return values


def _log2() -> list[int]:
    values = []
    for i in range(257):
        x, bits = _ONE + (_ONE >> 8) * i, 0
        for _ in range(LOG2_BITS + 17):  # one binary digit a squaring
            bits <<= 1
            if x >= 2 * _ONE:
                x >>= 1
                bits |= 1
            x = x * x >> _BITS
        values.append((bits + (1 << 15)) >> 16)
    return values


def _tanh() -> list[int]:
    step, values, x = _exp(_ONE >> 6), [], _ONE
    for _ in range(1025):
        values.append(_round(((x - _ONE) << _BITS) // (x + _ONE), TANH_BITS))
        x = x * step >> _BITS
    return values


def _cos() -> list[int]:
    angle = 2 * _pi() >> 10
    c, s = _cos_sin(angle)
    values, x, y = [], _ONE, 0
    for _ in range(1025):
        values.append(_round(x, COS_BITS))
        x, y = (x * c - y * s) >> _BITS, (x * s + y * c) >> _BITS
    return values


def _exp(x: int) -> int:
    """e^x by its series, after 16 halvings of x."""
    small, term, total = x >> 16, _ONE, _ONE
    for n in range(1, 64):
        term = (term * small >> _BITS) // n
        total += term
    for _ in range(16):
        total = total * total >> _BITS
    return total


def _cos_sin(x: int) -> tuple[int, int]:
    """Cosine and sine of x below 1, by their series."""
    c = s = 0
    term = _ONE
    for n in range(64):
        sign = -1 if n & 2 else 1
        if n & 1:
            s += sign * term
        else:
            c += sign * term
        term = (term * x >> _BITS) // (n + 1)
    return c, s


def _log(n: int) -> int:
    """ln n = 2 artanh((n - 1) / (n + 1)), by its series."""
    z = ((n - 1) << _BITS) // (n + 1)
    square, term, total, k = z * z >> _BITS, z, 0, 1
    while term:
        total += term // k
        term = term * square >> _BITS
        k += 2
    return 2 * total


def _pi() -> int:
    """Machin's formula."""

    def arctan_of_inverse(n: int) -> int:
        term, total, k = _ONE // n, 0, 1
        while term:
            total += (term if k & 2 == 0 else -term) // k
            term //= n * n
            k += 2
        return total

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
