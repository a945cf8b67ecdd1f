"""Decisions and numbers coded with adaptive probabilities: what the table form's passes are made of. Integers alone.

The probability of a decision is 22 bits, moved towards each outcome by 1 / (n + 1.5) of the way at the n-th, and kept
in a slot that the features of the decision name. A number is a row of such decisions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import I64x1, I64x2, U8x1, U32x1
from regrow.ngram.store import bit_coder
from regrow.ngram.store.bit_coder import code_bit

# Slots of one number: 32 for its length in bits, 8 for each length's leading bits, 32 for the rest.
NUMBER = 320
_MAX_TIMES = 1000  # a probability's rate of change stops falling there


class Coder(NamedTuple):
    """One pass over a stream, in either direction.

    `mantissa`: bits that a count keeps after its leading one; `probs` uint32 [slots]: probability << 10 | n; `state`:
    as `bit_coder` has it; `tables` int64 [2, 4096]: quarter octaves of the index (4 log2), and the rates.
    """

    decode: bool
    mantissa: int
    probs: U32x1
    state: I64x1
    stream: U8x1
    tables: I64x2

    @classmethod
    def over(cls, stream: NDArray[np.uint8], slots: int, mantissa: int, *, decode: bool) -> Coder:
        tables = np.zeros((2, 4096), np.int64)
        tables[0, 1:] = [(i**4).bit_length() - 1 for i in range(1, 4096)]
        tables[1] = [65536 * 2 // (2 * min(n, _MAX_TIMES) + 3) for n in range(4096)]
        state = bit_coder.start(stream, decode=decode)
        coder = cls(decode, mantissa, np.empty(slots, np.uint32), state, stream, tables)
        coder.forget()
        return coder

    def forget(self) -> None:
        """Every probability is a half again."""
        self.probs[:] = 1 << 31


@numba.njit(inline="always")
def octaves(x: Any, tables: Any) -> Any:
    """4 log2(x), rounded down; 0 for 0."""
    shift = 0
    while x >= 4096:
        x >>= 1
        shift += 4
    return tables[0, x] + shift


@register_jitable
def code(decode: Any, bit: Any, slot: Any, probs: Any, state: Any, stream: Any, tables: Any) -> Any:
    """Codes one decision; returns it."""
    s = np.int64(probs[slot])
    p = min(max(s >> 16, 24), 65512)
    bit, after = code_bit(decode, bit, p, (state[0], state[1], state[2], state[3]), stream)
    state[0], state[1], state[2], state[3] = after
    n = s & 1023
    q = s >> 10
    q += (((bit << 22) - bit - q) * tables[1, n]) >> 16
    if n < _MAX_TIMES:
        n += 1
    probs[slot] = (q << 10) | n
    return bit


@register_jitable
def code_number(decode: Any, x: Any, base: Any, probs: Any, state: Any, stream: Any, tables: Any) -> Any:
    """Codes a number from 0 to 2^32 - 2 in the slots from `base` on; returns it."""
    y = x + 1
    length = 1
    if decode:
        while length < 32 and code(True, np.int64(0), base + length, probs, state, stream, tables) == 1:
            length += 1
        y = np.int64(1)
    else:
        while y >> length > 0:
            code(False, np.int64(1), base + length, probs, state, stream, tables)
            length += 1
        if length < 32:
            code(False, np.int64(0), base + length, probs, state, stream, tables)
    prefix = np.int64(1)
    for b in range(length - 2, -1, -1):
        slot = base + 32 + (length - 1) * 8 + prefix if prefix < 8 else base + 32 + 256 + b
        bit = np.int64(0)
        if not decode:
            bit = (y >> b) & 1
        bit = code(decode, bit, slot, probs, state, stream, tables)
        prefix = prefix * 2 + bit
    return prefix - 1


@register_jitable
def folded(x: Any, mantissa: Any) -> Any:
    """The number that stands for a count of at most `mantissa` bits after its leading one."""
    shift = 0
    while x >> shift >= 2 << mantissa:
        shift += 1
    return (shift << mantissa) + (x >> shift)


@register_jitable
def unfolded(y: Any, mantissa: Any) -> Any:
    """The inverse of `folded`; -1 for a number that stands for none of 32 bits."""
    shift = max((y >> mantissa) - 1, 0)
    if shift > 31:
        return np.int64(-1)
    x = (y - (shift << mantissa)) << shift
    return x if x <= 0xFFFFFFFF else np.int64(-1)
