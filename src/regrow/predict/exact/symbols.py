"""From a range coder's bytes to tokens: the token whose interval of the exact row holds the coder's point.

Legend: S streams, V vocabulary.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.range_coder import PRECISION_BITS, RangeDecoder, advance
from regrow.core.jit import I32x2, I64x1, U32x1, U64x1, kernel
from regrow.predict.exact.intervals import find

_LOWER, _RANGE, _POINT = 0, 1, 2  # of the decoder's state


def pop(
    decoder: RangeDecoder, weights_SV: NDArray[np.int32], total_S: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The next tokens of the first `count` streams, from their rows' weights and sums. Raises StreamError."""
    state, words = decoder.state
    tokens = np.empty(count, np.int64)
    decoder.checked(_pop(state, words, weights_SV, total_S, tokens))
    return tokens


@kernel
def _pop(state: U64x1, words: U32x1, weights_SV: I32x2, total_S: I64x1, tokens: I64x1) -> bool:
    for s in range(len(tokens)):
        scale = state[_RANGE] >> np.uint64(PRECISION_BITS)
        target = (state[_POINT] - state[_LOWER]) // scale
        if target >= np.uint64(1 << PRECISION_BITS):
            return False
        token, start, length = find(weights_SV[s], total_S[s], np.int64(target))
        tokens[s] = token
        advance(state, words, np.uint32(start), np.uint32(length), scale)
    return True
