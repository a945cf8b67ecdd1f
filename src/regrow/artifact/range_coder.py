"""Range coding with whole frequencies out of 2^24: the same bytes on every machine, symbol by symbol or row by row.

A symbol is an interval [start, start + frequency) of [0, 2^24). The coder keeps a 64-bit interval and gives out 32-bit
words; a carry that may still come is held back. Past the end of its words a stream reads as zeros, so the last words
are chosen to end in as many zero bytes as they can, and those are not written.

Source of the method: G. N. N. Martin, Range encoding, 1979; state, word size and the handling of carries are those of
the constriction library (Bamler 2022), whose words these are.

Shape suffixes: N symbols, S rows of one call, V vocabulary.
"""

from __future__ import annotations

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.errors import StreamError
from regrow.core.jit import I32x1, U32x1, U32x2, U64x1, kernel

PRECISION_BITS = 24
TOTAL = 1 << PRECISION_BITS
_MASK = (1 << 64) - 1
_WORD = 1 << 32
_HELD = 2  # of the encoder's state: how many words wait for their carry
LOWER, RANGE, POINT, AT = 0, 1, 2, 3  # of the decoder's

Words = NDArray[np.uint32]


class RangeEncoder:
    """Codes symbols, given as intervals of [0, 2^24), into words."""

    def __init__(self) -> None:
        self._state = np.array([0, _MASK, 0, 0], np.uint64)
        self._words: list[Words] = []

    def push(self, start_N: NDArray[np.integer[Any]], frequency_N: NDArray[np.integer[Any]]) -> None:
        """Append N symbols. Raises ValueError for an interval that is empty or reaches outside [0, 2^24)."""
        start_N, frequency_N = np.asarray(start_N, np.int64), np.asarray(frequency_N, np.int64)
        if start_N.shape != frequency_N.shape or start_N.ndim != 1:
            raise ValueError(f"{start_N.shape} starts, but {frequency_N.shape} frequencies")
        if start_N.size == 0:
            return
        if start_N.min() < 0 or frequency_N.min() < 1 or (start_N + frequency_N).max() > TOTAL:
            raise ValueError("a symbol's interval is empty or outside [0, 2^24)")
        room = len(start_N) + int(self._state[_HELD]) + 1
        words = np.empty(room, np.uint32)
        count = _push(self._state, words, start_N.astype(np.uint32), frequency_N.astype(np.uint32))
        self._words.append(words[:count].copy())

    def words(self) -> Words:
        """The words so far, closed as constriction closes them; more symbols may follow."""
        lower, span, held, first = (int(x) for x in self._state)
        tail: list[int] = []
        if span != _MASK:
            point = (lower + _WORD - 1) & _MASK
            tail = _released(held, first, point < lower)
            tail.append(point >> 32)
            if ((lower + span) & _MASK) >> 32 == point >> 32:
                tail.append(0)
        return np.concatenate([*self._words, np.array(tail, np.uint32)])

    def finish(self) -> bytes:
        """The coded bytes, big-endian words without the zero bytes at their end."""
        lower, span, held, first = (int(x) for x in self._state)
        tail: list[int] = []
        if span != _MASK:
            point = _roundest(lower, span)
            tail = [*_released(held, first, point > _MASK), (point & _MASK) >> 32, point & (_WORD - 1)]
        every = np.concatenate([*self._words, np.array(tail, np.uint32)])
        return every.astype(">u4").tobytes().rstrip(b"\0")


class RangeDecoder:
    """Gives back the symbols of an encoder's words or bytes.

    Bytes that were altered, cut or coded with other frequencies give wrong symbols or a StreamError, never a crash or
    a hang. Whoever stores the bytes stores a checksum of the text beside them.
    """

    def __init__(self, data: bytes | memoryview | Words) -> None:
        """From what `finish` gave (bytes), or from `words` (uint32)."""
        if not isinstance(data, np.ndarray):
            padded = bytes(data) + bytes(-len(data) % 4)
            data = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._words = np.ascontiguousarray(data, np.uint32)
        head = [int(w) for w in self._words[:2]] + [0, 0]
        self._state = np.array([0, _MASK, head[0] << 32 | head[1], 2], np.uint64)

    @property
    def state(self) -> tuple[NDArray[np.uint64], Words]:
        """What a kernel of another room decodes with: the state (see `advance`) and the words."""
        return self._state, self._words

    def pop(self, frequency_SV: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """The next S symbols, one a row of frequencies that sum to 2^24 [S, V]. Raises StreamError."""
        rows_SV = np.ascontiguousarray(frequency_SV, np.uint32)
        symbol_S = np.empty(len(rows_SV), np.int32)
        self.checked(_pop_rows(self._state, self._words, rows_SV, symbol_S))
        return symbol_S

    def pop_same(self, frequency_V: NDArray[np.integer[Any]], count: int) -> NDArray[np.int32]:
        """The next `count` symbols, all of the same frequencies [V]. Raises StreamError."""
        starts = np.concatenate(([0], np.cumsum(frequency_V))).astype(np.uint32)
        symbol_N = np.empty(count, np.int32)
        self.checked(_pop_same(self._state, self._words, starts, symbol_N))
        return symbol_N

    def exhausted(self) -> bool:
        """Whether the words may end here."""
        lower, span, point, at = (int(x) for x in self._state)
        return at >= len(self._words) and (span == _MASK or (point - lower) & _MASK < 2 * _WORD - 1)

    def checked(self, good: bool) -> None:
        """Raise StreamError unless `good`."""
        if not good:
            raise StreamError("the stream is damaged, or was made with another artifact; copy it again.")


def _released(held: int, first: int, carry: bool) -> list[int]:
    """Words that were held back, now that their carry is known."""
    if not held:
        return []
    return [(first + carry) % _WORD, *[0 if carry else _WORD - 1] * (held - 1)]


def _roundest(lower: int, span: int) -> int:
    """The point of [lower, lower + span) with the most zero bits at its end."""
    for zeros in range(64, -1, -1):
        point = -(-lower >> zeros) << zeros
        if point < lower + span:
            return point
    raise AssertionError("a span is never empty")


@kernel
def _push(state: U64x1, words: U32x1, start_N: U32x1, frequency_N: U32x1) -> int:
    lower, span, held, first = state[0], state[1], state[2], state[3]
    zero, one, all_ones = np.uint64(0), np.uint64(1), np.uint32(0xFFFFFFFF)
    count = 0
    for n in range(len(start_N)):
        scale = span >> np.uint64(24)
        span = scale * np.uint64(frequency_N[n])
        moved = lower + scale * np.uint64(start_N[n])
        if held > zero and moved + span > moved:  # the interval no longer straddles a carry
            carry = moved < lower
            words[count] = np.uint32(first + (one if carry else zero))
            for i in range(1, np.int64(held)):
                words[count + i] = np.uint32(0) if carry else all_ones
            count += np.int64(held)
            held = zero
        lower = moved
        if span < np.uint64(0x100000000):
            word = lower >> np.uint64(32)
            lower = lower << np.uint64(32)
            span = span << np.uint64(32)
            if held > zero:
                held += one
            elif lower + span > lower:
                words[count] = np.uint32(word)
                count += 1
            else:
                held, first = one, word
    state[0], state[1], state[2], state[3] = lower, span, held, first
    return count


@register_jitable
def advance(state, words, start, frequency, scale):  # type: ignore[no-untyped-def]
    """Move a decoder's state past the symbol of this interval; `scale` is the state's range >> 24."""
    state[0] += scale * np.uint64(start)
    span = scale * np.uint64(frequency)
    if span < np.uint64(0x100000000):
        at = np.int64(state[3])
        word = np.uint64(words[at]) if at < len(words) else np.uint64(0)
        state[0] = state[0] << np.uint64(32)
        span = span << np.uint64(32)
        state[2] = (state[2] << np.uint64(32)) | word
        state[3] = np.uint64(at + 1)
    state[1] = span


@kernel
def _pop_rows(state: U64x1, words: U32x1, frequency_SV: U32x2, symbol_S: I32x1) -> bool:
    S, V = frequency_SV.shape
    for s in range(S):
        scale = state[1] >> np.uint64(24)
        quantile = (state[2] - state[0]) // scale
        if quantile >= np.uint64(0x1000000):
            return False
        wanted = np.uint32(quantile)
        start, at = np.uint32(0), 0
        while True:  # whole blocks of 64 first: their sums are vector instructions
            block = np.uint32(0)
            end = min(at + 64, V)
            for v in range(at, end):
                block += frequency_SV[s, v]
            if wanted < start + block:
                break
            if end == V:
                return False
            start += block
            at = end
        while wanted >= start + frequency_SV[s, at]:
            start += frequency_SV[s, at]
            at += 1
        symbol_S[s] = at
        advance(state, words, start, frequency_SV[s, at], scale)  # type: ignore[no-untyped-call]
    return True


@kernel
def _pop_same(state: U64x1, words: U32x1, start_V1: U32x1, symbol_N: I32x1) -> bool:
    for n in range(len(symbol_N)):
        scale = state[1] >> np.uint64(24)
        quantile = (state[2] - state[0]) // scale
        if quantile >= np.uint64(0x1000000):
            return False
        low, high = 0, len(start_V1) - 1  # the symbol whose interval holds the quantile
        while high - low > 1:
            middle = (low + high) >> 1
            if np.uint64(start_V1[middle]) <= quantile:
                low = middle
            else:
                high = middle
        symbol_N[n] = low
        width = np.uint32(start_V1[low + 1] - start_V1[low])
        advance(state, words, start_V1[low], width, scale)  # type: ignore[no-untyped-call]
    return True
