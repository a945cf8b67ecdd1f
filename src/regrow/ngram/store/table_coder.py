"""The predictor and range coder behind the table form: integers alone, one model for both directions.

What is coded, and from what it is predicted, is said in `table_form`. Every decision is yes or no, and
its probability an adaptive one: 22 bits, moved towards each outcome by 1 / (n + 1.5) of the way at the n-th, kept in
a slot that the features of the decision name. Larger numbers are a row of such decisions. The coder is the carryless
32-bit range coder of the text form. Nothing is a float.

`probs` uint32 [slots]: probability << 10 | n. `state` int64 [4]: the range's low and high end, the
decoder's window, the place in the stream. `tables` int64 [2, 4096]: quarter octaves (4 log2 of the index), and the
rates.
"""

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from regrow.core.jit import compile_kernel

NUMBER = (
    320  # slots of one number: 32 for its length in bits, 8 for each length's leading bits, 32 for the rest
)
MEMBER = 0
DEGREE = MEMBER + 3 * 4 * 64
FLAG = DEGREE + 144 * NUMBER
VALUE = FLAG + 16 * 8 * 4
REST = VALUE + 3 * 32 * 8 * NUMBER
EXACT = REST + 16 * 8 * NUMBER
SLOTS = EXACT + 16 * 4
_LIMIT = 1000  # a probability's rate of change stops falling there
ORDER_FULL = -1  # what a kernel returns when the stream asks for more than the header announced


def tables() -> np.ndarray[Any, np.dtype[np.int64]]:
    """Quarter octaves of 0 .. 4095 and the rates 65536 / (n + 1.5), exactly, on every machine."""
    made = np.zeros((2, 4096), np.int64)
    made[0, 1:] = [(i**4).bit_length() - 1 for i in range(1, 4096)]
    made[1] = [65536 * 2 // (2 * min(n, _LIMIT) + 3) for n in range(4096)]
    return made


def fresh_probs() -> np.ndarray[Any, np.dtype[np.uint32]]:
    """A new predictor: it knows nothing."""
    return np.full(SLOTS, 1 << 31, np.uint32)


@numba.njit(inline="always")
def _octaves(x: Any, tables: Any) -> Any:
    shift = 0
    while x >= 4096:
        x >>= 1
        shift += 4
    return tables[0, x] + shift


@numba.njit
def _spent(state: Any) -> Any:
    """Bits coded so far, with what the range has not put out yet."""
    return 8.0 * state[3] - np.log2(np.float64(state[1] - state[0] + 1))


@numba.njit
def _bit(decode: Any, bit: Any, slot: Any, probs: Any, state: Any, stream: Any, tables: Any) -> Any:
    """Codes one decision; returns it."""
    s = np.int64(probs[slot])
    p = min(max(s >> 16, 24), 65512)
    low, high = state[0], state[1]
    middle = low + ((high - low) >> 16) * p + ((((high - low) & 0xFFFF) * p) >> 16)
    if decode:
        bit = np.int64(1 if state[2] <= middle else 0)
    if bit == 1:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) & 0xFF000000 == 0:
        at = state[3]
        if decode:
            state[2] = (state[2] << 8) & 0xFFFFFFFF
            if at < stream.shape[0]:
                state[2] |= np.int64(stream[at])
        elif at < stream.shape[0]:
            stream[at] = high >> 24
        state[3] = at + 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 255
    state[0], state[1] = low, high
    n = s & 1023
    q = s >> 10
    q += (((bit << 22) - bit - q) * tables[1, n]) >> 16
    if n < 1000:
        n += 1
    probs[slot] = (q << 10) | n
    return bit


@numba.njit
def _number(decode: Any, x: Any, base: Any, probs: Any, state: Any, stream: Any, tables: Any) -> Any:
    """Codes a number from 0 to 2^32 - 2; returns it."""
    y = x + 1
    length = 1
    if decode:
        while length < 32 and _bit(True, np.int64(0), base + length, probs, state, stream, tables) == 1:
            length += 1
        y = np.int64(1)
    else:
        while y >> length > 0:
            _bit(False, np.int64(1), base + length, probs, state, stream, tables)
            length += 1
        if length < 32:
            _bit(False, np.int64(0), base + length, probs, state, stream, tables)
    prefix = np.int64(1)
    for b in range(length - 2, -1, -1):
        slot = base + 32 + (length - 1) * 8 + prefix if prefix < 8 else base + 32 + 256 + b
        bit = np.int64(0)
        if not decode:
            bit = (y >> b) & 1
        bit = _bit(decode, bit, slot, probs, state, stream, tables)
        prefix = prefix * 2 + bit
    return prefix - 1


def _members(
    decode: bool, least: int, p_start: Any, p_token: Any, p_value: Any, p_exact: Any, child_start: Any,
    head_value: Any, start: Any, token: Any, mark: Any, cost: Any, probs: Any, state: Any, stream: Any, tables: Any,
) -> int:  # fmt: skip
    """Codes which n-grams each context of one order has, as a subset of those of its parent, one order below.

    `least`: the fewest n-grams of a context. `p_exact` uint8: whether a parent's values say in how many of its
    children each token stands. `cost` float64: when encoding, what each parent took in bits is added (empty: not
    asked). Returns the n-grams, or ORDER_FULL.
    """
    widest = 1
    for p in range(len(p_start) - 1):
        widest = max(widest, np.int64(p_start[p + 1]) - p_start[p])
    ranked = np.empty(widest, np.int64)
    left = np.empty(widest, np.int64)
    rank_token = np.empty(widest, np.int64)
    out = 0
    start[0] = 0
    for p in range(len(p_start) - 1):
        first, last = np.int64(child_start[p]), np.int64(child_start[p + 1])
        begin, n = np.int64(p_start[p]), np.int64(p_start[p + 1]) - p_start[p]
        if first == last:
            continue
        exact = p_exact[p] == 1
        if (exact and last - first == 1) or (n == 1 and least == 1):
            for j in range(first, last):
                if out + n > len(token):
                    return -1
                if decode:
                    for i in range(n):
                        token[out + i] = p_token[begin + i]
                out += n
                start[j + 1] = out
            continue
        # The likeliest first: the scan of a child ends with its last n-gram.
        total = np.int64(0)
        for i in range(n):
            ranked[i] = ((0xFFFFFFFF - np.int64(p_value[begin + i])) << 20) | i
            total += np.int64(p_value[begin + i])
        if n > 1:
            ranked[:n].sort()
        for i in range(n):
            at = ranked[i] & 0xFFFFF
            left[i] = p_value[begin + at]
            rank_token[i] = p_token[begin + at]
        active = n
        before = _spent(state)
        for j in range(first, last):
            children = last - j
            if exact:
                kept = 0
                for i in range(active):
                    if left[i] > 0:
                        left[kept] = left[i]
                        rank_token[kept] = rank_token[i]
                        kept += 1
                active = kept
            degree = np.int64(0)
            if not decode:
                degree = np.int64(start[j + 1]) - start[j]
                for e in range(start[j], start[j + 1]):
                    mark[token[e]] = j + 1
            if (exact and children == 1) or active <= least:
                degree = active
            else:
                mean = _octaves(max(total, 1), tables) - _octaves(children, tables)
                row = min(_octaves(np.int64(head_value[j]) + 1, tables) >> 1, 11) * 12 + min(
                    max(mean >> 1, 0), 11
                )
                degree = least + _number(
                    decode, degree - least, DEGREE + row * NUMBER, probs, state, stream, tables
                )
            if degree > active or out + degree > len(token):
                return -1
            wanted, weight = degree, total
            made = out
            size = min(degree, 3) - 1
            for i in range(active):
                if wanted == 0:
                    break
                own = left[i]
                if active - i == wanted or (exact and own == children):
                    bit = np.int64(1)
                else:
                    odds = _octaves(wanted, tables) + _octaves(max(own, 1), tables)
                    odds -= _octaves(max(weight, 1), tables)
                    slot = (size * 4 + min(own, 3)) * 64 + min(max(odds + 56, 0), 63)
                    bit = np.int64(0)
                    if not decode:
                        bit = np.int64(mark[rank_token[i]] == j + 1)
                    bit = _bit(decode, bit, MEMBER + slot, probs, state, stream, tables)
                weight -= own
                if bit == 1:
                    wanted -= 1
                    if own > 1 or exact:
                        left[i] -= 1
                        total -= 1
                    if decode:
                        token[made] = rank_token[i]
                    made += 1
            if decode:
                if made - out <= 24:
                    for a in range(out + 1, made):
                        w, b = token[a], a
                        while b > out and token[b - 1] > w:
                            token[b] = token[b - 1]
                            b -= 1
                        token[b] = w
                else:
                    token[out:made].sort()
            out = made
            start[j + 1] = out
        if len(cost) > 0:
            cost[p] += _spent(state) - before
    return out


def _flags(
    decode: bool, start: Any, lower: Any, p_value: Any, head_value: Any, p_extended: Any, flag: Any,
    probs: Any, state: Any, stream: Any, tables: Any,
) -> None:  # fmt: skip
    """Codes which n-grams of an order are contexts of the order above; those whose parent is none cannot be."""
    for c in range(len(start) - 1):
        near = min(_octaves(np.int64(head_value[c]) + 1, tables) >> 2, 7)
        size = min(np.int64(start[c + 1]) - start[c], 3)
        for e in range(start[c], start[c + 1]):
            bit = np.int64(0)
            if p_extended[lower[e]] >= 0:
                far = min(_octaves(np.int64(p_value[lower[e]]), tables) >> 2, 15)
                bit = np.int64(flag[e])
                bit = _bit(decode, bit, FLAG + (far * 8 + near) * 4 + size, probs, state, stream, tables)
            flag[e] = bit


def _exacts(
    decode: bool, start: Any, children: Any, exact: Any, probs: Any, state: Any, stream: Any, tables: Any
) -> None:
    """Codes which contexts have values that say in how many of their children each token stands."""
    for c in range(len(start) - 1):
        longer = np.int64(children[c + 1]) - children[c]
        if longer > 0:
            size = min(np.int64(start[c + 1]) - start[c], 3)
            slot = EXACT + min(_octaves(longer, tables) >> 1, 15) * 4 + size
            exact[c] = _bit(decode, np.int64(exact[c]), slot, probs, state, stream, tables)


def _values(
    decode: bool, mantissa: int, p_start: Any, p_value: Any, p_rest: Any, p_children: Any, start: Any,
    lower: Any, children: Any, exact: Any, head_value: Any, flag: Any, value: Any, cost: Any, probs: Any, state: Any,
    stream: Any, tables: Any,
) -> int:  # fmt: skip
    """Codes the values of an order's n-grams. Where `exact`, they say in how many children of a context the token
    stands.

    `cost`: as of `_members`, by the parents of these contexts. Values are 1 .. 2^mantissa and above that
    `mantissa` bits after the leading one. Returns 0, or ORDER_FULL.
    """
    for p in range(len(p_start) - 1):
        whole = np.int64(p_rest[p])
        for e in range(p_start[p], p_start[p + 1]):
            whole += np.int64(p_value[e])
        whole = _octaves(max(whole, 1), tables)
        siblings = np.int64(p_children[p + 1]) - p_children[p]
        before = _spent(state)
        for c in range(p_children[p], p_children[p + 1]):
            longer = np.int64(children[c + 1]) - children[c]
            degree = np.int64(start[c + 1]) - start[c]
            counted = longer > 0 and exact[c] == 1
            if counted and (longer == 1 or degree == 1):
                for e in range(start[c], start[c + 1]):
                    value[e] = longer
                continue
            seen = np.int64(head_value[c])
            for e in range(start[c], start[c + 1]):
                share = _octaves(np.int64(p_value[lower[e]]), tables)
                if counted:
                    share += _octaves(longer, tables) - _octaves(siblings, tables)
                    row = (2 * 32 + min(max((share >> 1) + 12, 0), 31)) * 8 + min(
                        _octaves(longer, tables) >> 2, 7
                    )
                else:
                    share += _octaves(seen + 1, tables) - whole
                    row = np.int64(flag[e]) * 32 + min(max((share >> 1) + 12, 0), 31)
                    row = row * 8 + min(_octaves(seen + 1, tables) >> 2, 7)
                x = np.int64(0)
                if not decode:
                    x = np.int64(value[e])
                    shift = 0
                    while x >> shift >= 2 << mantissa:
                        shift += 1
                    x = (shift << mantissa) + (x >> shift) - 1
                x = _number(decode, x, VALUE + row * NUMBER, probs, state, stream, tables) + 1
                shift = max((x >> mantissa) - 1, 0)
                if shift > 31 or (x - (shift << mantissa)) << shift > 0xFFFFFFFF:
                    return -1
                value[e] = (x - (shift << mantissa)) << shift
        if len(cost) > 0:
            cost[p] += _spent(state) - before
    return 0


def _rests(
    decode: bool, mantissa: int, start: Any, value: Any, head_value: Any, rest: Any, probs: Any, state: Any,
    stream: Any, tables: Any,
) -> int:  # fmt: skip
    """Codes what was counted after each context of tokens that are not stored, quantised like values."""
    for c in range(len(start) - 1):
        whole = np.int64(0)
        for e in range(start[c], start[c + 1]):
            whole += np.int64(value[e])
        seen = _octaves(np.int64(head_value[c]) + 1, tables)
        missing = (seen - _octaves(whole + 1, tables)) >> 1
        row = min(max(missing + 5, 0), 15) * 8 + min(seen >> 2, 7)
        x = np.int64(0)
        if not decode:
            x = np.int64(rest[c])
            shift = 0
            while x >> shift >= 2 << mantissa:
                shift += 1
            x = (shift << mantissa) + (x >> shift)
        x = _number(decode, x, REST + row * NUMBER, probs, state, stream, tables)
        shift = max((x >> mantissa) - 1, 0)
        if shift > 31 or (x - (shift << mantissa)) << shift > 0xFFFFFFFF:
            return -1
        rest[c] = (x - (shift << mantissa)) << shift
    return 0


def _numbers(decode: bool, number: Any, base: int, probs: Any, state: Any, stream: Any, tables: Any) -> None:
    for i in range(len(number)):
        number[i] = _number(decode, np.int64(number[i]), np.int64(base), probs, state, stream, tables)


_I32, _U16, _U32 = "int32[::1]", "uint16[::1]", "uint32[::1]"
_U8, _F64 = "uint8[::1]", "float64[::1]"
_CODER = f"{_U32}, int64[::1], uint8[::1], int64[:, ::1]"


@functools.cache
def members_kernel() -> Callable[..., int]:
    return compile_kernel(
        _members,
        f"int64(boolean, int64, {_I32}, {_U16}, {_U32}, {_U8}, {_I32}, {_U32}, {_I32}, {_U16}, {_I32}, {_F64}, "
        f"{_CODER})",
    )


@functools.cache
def flags_kernel() -> Callable[..., None]:
    return compile_kernel(_flags, f"void(boolean, {_I32}, {_I32}, {_U32}, {_U32}, {_I32}, {_U8}, {_CODER})")


@functools.cache
def exacts_kernel() -> Callable[..., None]:
    return compile_kernel(_exacts, f"void(boolean, {_I32}, {_I32}, {_U8}, {_CODER})")


@functools.cache
def values_kernel() -> Callable[..., int]:
    return compile_kernel(
        _values,
        f"int64(boolean, int64, {_I32}, {_U32}, {_U32}, {_I32}, {_I32}, {_I32}, {_I32}, {_U8}, {_U32}, {_U8}, "
        f"{_U32}, {_F64}, {_CODER})",
    )


@functools.cache
def rests_kernel() -> Callable[..., int]:
    return compile_kernel(_rests, f"int64(boolean, int64, {_I32}, {_U32}, {_U32}, {_U32}, {_CODER})")


@functools.cache
def numbers_kernel() -> Callable[..., None]:
    return compile_kernel(_numbers, f"void(boolean, {_U32}, int64, {_CODER})")
