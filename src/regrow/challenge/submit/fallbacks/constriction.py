"""Stands in for constriction: its range coder (64-bit state, 32-bit words, models of 24 bits) in plain Python.

Models are taken as regrow makes them, whole weights that sum to 2^24 less their number, for which a symbol's frequency
is its weight plus one. Source of the method: G. N. N. Martin, Range encoding, 1979, with carries held back as that
library does; a test holds the words to the library's own.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

_BITS = 24
_WORD = 1 << 32
_STATE = (1 << 64) - 1


class Categorical:
    """A model: with weights one, without weights a family whose weights come with each call."""

    def __init__(self, weights: Any = None, *, perfect: bool = False) -> None:
        self.weights = weights


def _tables(weights: Any) -> tuple[Any, Any]:
    """Frequencies of each row, and where each symbol's range begins."""
    frequencies = np.asarray(weights).astype(np.int64) + 1
    ends = np.cumsum(frequencies, axis=-1)
    return frequencies, ends - frequencies


class RangeEncoder:
    """Codes symbols into 32-bit words."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._lower, self._range = 0, _STATE
        self._held, self._first = 0, 0  # words whose carry is not known yet, and the first of them

    def encode(self, symbols: Any, model: Categorical, weights: Any = None) -> None:
        """Append symbols: of one model, or each with its own row of weights."""
        symbols = np.atleast_1d(np.asarray(symbols, np.int64))
        frequencies, starts = _tables(model.weights if weights is None else weights)
        if weights is None:
            f, s = frequencies[symbols], starts[symbols]
        else:
            rows = np.arange(len(symbols))
            f, s = frequencies[rows, symbols], starts[rows, symbols]
        for frequency, start in zip(f.tolist(), s.tolist(), strict=True):
            self._push(start, frequency)

    def _push(self, start: int, frequency: int) -> None:
        scale = self._range >> _BITS
        self._range = scale * frequency
        lower = (self._lower + scale * start) & _STATE
        if self._held and (lower + self._range) & _STATE > lower:
            self._release(carry=lower < self._lower)
        self._lower = lower
        if self._range < _WORD:
            word = lower >> 32
            self._lower = (lower << 32) & _STATE
            self._range = (self._range << 32) & _STATE
            if self._held:
                self._held += 1
            elif (self._lower + self._range) & _STATE > self._lower:
                self._words.append(word)
            else:
                self._held, self._first = 1, word

    def _release(self, carry: bool) -> None:
        self._words += _released(self._held, self._first, carry)
        self._held = 0

    def get_compressed(self) -> Any:
        """The words so far, closed; more symbols may follow."""
        words = list(self._words)
        if self._range != _STATE:
            point = (self._lower + _WORD - 1) & _STATE
            if self._held:
                words += _released(self._held, self._first, point < self._lower)
            words.append(point >> 32)
            if (self._lower + self._range & _STATE) >> 32 == point >> 32:
                words.append(0)
        return np.array(words, np.uint32)


def _released(held: int, first: int, carry: bool) -> list[int]:
    return [(first + carry) & 0xFFFFFFFF, *[0 if carry else 0xFFFFFFFF] * (held - 1)]


class RangeDecoder:
    """Gives back the symbols of words."""

    def __init__(self, words: Any) -> None:
        self._words: list[int] = np.asarray(words).tolist()
        self._at = 0
        self._lower, self._range = 0, _STATE
        self._point = self._next() << 32 | self._next()

    def _next(self) -> int:
        word = self._words[self._at] if self._at < len(self._words) else 0
        self._at += 1
        return word

    def decode(self, model: Categorical, given: Any) -> Any:
        """As many symbols of one model as `given` says, or one a row of the weights `given`."""
        if model.weights is not None:
            frequencies, starts = _tables(model.weights)
            return np.array([self._pop(frequencies, starts) for _ in range(int(given))], np.int32)
        tables = zip(*_tables(given), strict=True)
        return np.array([self._pop(frequencies, starts) for frequencies, starts in tables], np.int32)

    def _pop(self, frequencies: Any, starts: Any) -> int:
        scale = self._range >> _BITS
        quantile = (self._point - self._lower & _STATE) // scale
        if quantile >= 1 << _BITS:
            raise AssertionError("no encoder wrote these words")
        symbol = int(np.searchsorted(starts, quantile, side="right")) - 1
        self._lower = (self._lower + scale * int(starts[symbol])) & _STATE
        self._range = scale * int(frequencies[symbol])
        if self._range < _WORD:
            self._lower = (self._lower << 32) & _STATE
            self._range = (self._range << 32) & _STATE
            self._point = (self._point << 32) & _STATE | self._next()
        return symbol

    def maybe_exhausted(self) -> bool:
        """Whether the words may end here."""
        if self._at < len(self._words):
            return False
        return self._range == _STATE or (self._point - self._lower) & _STATE < 2 * _WORD - 1


stream = SimpleNamespace(
    queue=SimpleNamespace(RangeEncoder=RangeEncoder, RangeDecoder=RangeDecoder),
    model=SimpleNamespace(Categorical=Categorical),
)
