"""A memory's likeliest successors of a context: what the network reads of it beside the text.

Legend: R rows, V vocabulary, K successors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import F32x2, I32x2, kernel
from regrow.ngram.model.rows import Memory, in_threads

_ROWS_AT_ONCE = 256  # whole distributions held at a time: they stay in a core's cache


class Likeliest(NamedTuple):
    """The K likeliest tokens of R distributions, int32 [R, K], most likely first, and their probabilities, float32."""

    tokens_RK: I32x2
    probs_RK: F32x2


def likeliest(
    memory: Memory, contexts_RC: NDArray[np.int32], count: int, *, threads: int | None = None
) -> Likeliest:
    """The `count` likeliest successors of each context; of equally likely ones the smaller token first."""
    contexts_RC = np.ascontiguousarray(contexts_RC, np.int32)
    size = len(contexts_RC)
    found = Likeliest(np.zeros((size, count), np.int32), np.zeros((size, count), np.float32))

    def fill(start: int, stop: int) -> None:
        for at in range(start, stop, _ROWS_AT_ONCE):
            here = slice(at, min(at + _ROWS_AT_ONCE, stop))
            probs_RV = memory.rows(contexts_RC[here], threads=1).probs_RV
            _select(probs_RV, Likeliest(found.tokens_RK[here], found.probs_RK[here]))

    in_threads(fill, size, threads)
    return found


@register_jitable
def select(row_V, tokens_K, largest_K):  # type: ignore[no-untyped-def]
    """The largest entries of a row, largest first, and where they stand; of equal ones the first."""
    count, filled = len(tokens_K), 0
    for v in range(len(row_V)):
        x = row_V[v]
        if filled == count and x <= largest_K[count - 1]:
            continue
        filled = min(filled + 1, count)
        k = filled - 1
        while k > 0 and largest_K[k - 1] < x:
            tokens_K[k], largest_K[k] = tokens_K[k - 1], largest_K[k - 1]
            k -= 1
        tokens_K[k], largest_K[k] = v, x


@kernel
def _select(probs_RV: F32x2, found: Likeliest) -> None:
    for r in range(probs_RV.shape[0]):
        select(probs_RV[r], found.tokens_RK[r], found.probs_RK[r])  # type: ignore[no-untyped-call]
