"""The arithmetic of interpolated Kneser-Ney, in the order in which it is done: the same bits on every IEEE 754 machine.

Everything is a float64 sum, difference, product or quotient of two numbers, rounded by itself and in the order written
here; nothing calls a logarithm, an exponential or a library's sum, and nothing is contracted (`regrow.core.jit`). With
D(c) the discount of count c (D(0) = 0, the last of an order's discounts for all higher counts), V the vocabulary:

    context     total = rest + c_1 + c_2 + ... in integers; taken = rest, + D(c_1), + D(c_2), ... by ascending token
                scale = 1 / total; mass_i = float32((c_i - D(c_i)) * scale); gamma = float32(taken * scale)
    unigrams    total in integers; taken = `pairwise_sum` of D(c_v) over the vocabulary
                p_v = (c_v - D(c_v)) / total + taken / total / V, float64

`rest` is what was counted after a context and is not stored. How a row is made of masses and gammas: `rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import F64x1, kernel

_BLOCK = 128


@numba.njit(inline="always")
def discounted(value: Any, first: Any, last: Any, rest: Any, discounts: Any, mass: Any, shift: Any) -> Any:
    """Writes the masses of entries first..last, one context's, `shift` further on in `mass`; returns (gamma, total)."""
    highest = len(discounts) - 1
    counted = np.int64(rest)
    taken = np.float64(rest)
    for e in range(first, last):
        v = np.int64(value[e])
        counted += v
        taken += discounts[min(v, highest)]
    scale = 1.0 / counted
    for e in range(first, last):
        v = np.int64(value[e])
        mass[e + shift] = (v - discounts[min(v, highest)]) * scale
    return taken * scale, counted


@register_jitable
def pairwise_sum(x: Any) -> Any:
    """The float64 sum of x in this order, which is that of numpy's own sum:

    up to 7 numbers one after the other; up to 128 in eight running sums s0..s7, added as ((s0 + s1) + (s2 + s3)) +
    ((s4 + s5) + (s6 + s7)), then the numbers left over one after the other; more as the sum of two such sums, the first
    of half the numbers, rounded down to a multiple of eight.
    """
    # Down to the leftmost part that is no sum of two; from there up through right parts that are complete. (Recursion
    # would say it, but numba keeps recursive kernels on disk in a form that crashes.)
    size, left, on_right = np.zeros(64, np.int64), np.zeros(64), np.zeros(64, np.int64)
    size[0] = len(x)
    first, d = 0, 0
    while True:
        while size[d] > _BLOCK:
            half = size[d] // 2
            d += 1
            size[d], on_right[d] = half - half % 8, 0
        total = _short_sum(x, first, size[d])
        first += size[d]
        while on_right[d]:
            total = left[d] + total
            d -= 1
        if d == 0:
            return total
        left[d], on_right[d], size[d] = total, 1, size[d - 1] - size[d]


@register_jitable
def _short_sum(x: Any, first: Any, size: Any) -> Any:
    total = 0.0
    whole = size - size % 8 if size >= 8 else 0
    if whole:
        lanes = np.empty(8)
        for j in range(8):
            lanes[j] = x[first + j]
        for i in range(first + 8, first + whole, 8):
            for j in range(8):
                lanes[j] += x[i + j]
        total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
            (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
        )
    for i in range(first + whole, first + size):
        total += x[i]
    return total


@kernel
def _sum(x_V: F64x1) -> float:
    return pairwise_sum(x_V)  # type: ignore[no-any-return]


def unigram_of(counts_V: NDArray[np.int64], discounts: Sequence[float]) -> NDArray[np.float64]:
    """The unigram distribution float64 [V]; uniform where nothing was counted."""
    vocab, total = len(counts_V), int(counts_V.sum())
    if not total:
        return np.full(vocab, 1 / vocab)
    taken_V = np.array((0.0, *discounts))[np.minimum(counts_V, len(discounts))]
    result: NDArray[np.float64] = (counts_V - taken_V) / total + _sum(taken_V) / total / vocab
    return result
