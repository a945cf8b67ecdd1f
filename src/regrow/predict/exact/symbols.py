"""From range coders' bytes to tokens: the token whose interval of the exact row holds the coder's point.

Legend: S streams, V vocabulary.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.range_coder import PRECISION_BITS, RangeDecoder, advance
from regrow.core.jit import I32x2, I64x1, U32x1, U64x1, U64x2, kernel
from regrow.predict.exact.intervals import find

_LOWER, _RANGE, _POINT = 0, 1, 2  # of the decoder's state


def pop(
    decoder: RangeDecoder, weights_SV: NDArray[np.int32], total_S: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The next tokens of the first `count` streams, from their rows' weights and sums. Raises StreamError."""
    state, words = decoder.state
    tokens = np.empty(count, np.int64)
    decoder.checked(pop_rows(state, words, weights_SV, total_S, tokens))
    return tokens


class Decoders:
    """S range decoders side by side, one a stream."""

    def __init__(self, decoders: Sequence[RangeDecoder]) -> None:
        """From decoders that have taken what comes before the tokens."""
        states, words = zip(*(decoder.state for decoder in decoders), strict=True)
        self._states_S4 = np.array(states)
        self._words = np.concatenate(words)
        self._ends_S1 = np.concatenate(([0], np.cumsum([len(w) for w in words])))

    def pop(
        self, weights_SV: NDArray[np.int32], total_S: NDArray[np.int64], tokens_S: NDArray[np.int64]
    ) -> int:
        """The next token of each stream whose entry of `tokens_S` is not below 0, in its place.

        Returns the first stream that holds no token, because it is damaged, or -1."""
        return _pop_each(self._states_S4, self._words, self._ends_S1, weights_SV, total_S, tokens_S)

    def chosen(self, index: NDArray[np.int64]) -> Decoders:
        """Those of the decoders, in that order."""
        result = Decoders.__new__(Decoders)
        result._states_S4 = self._states_S4[index]
        pieces = [self._words[self._ends_S1[s] : self._ends_S1[s + 1]] for s in index.tolist()]
        result._words = np.concatenate(pieces)
        result._ends_S1 = np.concatenate(([0], np.cumsum([len(w) for w in pieces])))
        return result


@kernel
def _pop_each(
    states_S4: U64x2, words: U32x1, ends_S1: I64x1, weights_SV: I32x2, total_S: I64x1, tokens: I64x1
) -> int:
    for s in range(len(tokens)):
        if tokens[s] < 0:
            continue
        state = states_S4[s]
        scale = state[_RANGE] >> np.uint64(PRECISION_BITS)
        target = (state[_POINT] - state[_LOWER]) // scale
        if target >= np.uint64(1 << PRECISION_BITS):
            return s
        token, start, length = find(weights_SV[s], total_S[s], np.int64(target))
        tokens[s] = token
        advance(state, words[ends_S1[s] : ends_S1[s + 1]], np.uint32(start), np.uint32(length), scale)
    return -1


@kernel
def pop_rows(state: U64x1, words: U32x1, weights_SV: I32x2, total_S: I64x1, tokens: I64x1) -> bool:
    for s in range(len(tokens)):
        scale = state[_RANGE] >> np.uint64(PRECISION_BITS)
        target = (state[_POINT] - state[_LOWER]) // scale
        if target >= np.uint64(1 << PRECISION_BITS):
            return False
        token, start, length = find(weights_SV[s], total_S[s], np.int64(target))
        tokens[s] = token
        advance(state, words, np.uint32(start), np.uint32(length), scale)
    return True
