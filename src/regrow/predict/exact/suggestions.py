"""The memory in the network's input: its likeliest tokens, and the first states that are made with them.

docs/exact.md, "The memory in the input". Legend: R rows, C context tokens, V vocabulary, D width, K suggested tokens.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import I32x1, I32x2, lean_kernel
from regrow.ngram.model.likeliest import select
from regrow.ngram.model.rows import NgramRows
from regrow.predict.exact.functions import exp2_fixed, root
from regrow.predict.exact.quantise import half_of, peak_of, shift_for
from regrow.predict.exact.rows import MemoryTables, RowWork, found_row, memory_row

WEIGHT_BITS = 15  # of a suggested token's probability


class Suggestions(NamedTuple):
    """What the memory holds likeliest before R tokens: `tokens` [R, K], most likely first, and their probabilities in
    2^-15, `weights` [R, K]; K is 0 where the network does not read the memory."""

    tokens: I32x2
    weights: I32x2

    @classmethod
    def empty(cls, rows: int, count: int) -> Suggestions:
        """Room for so many."""
        return cls(*(np.zeros((rows, count), np.int32) for _ in range(2)))


@lean_kernel
def suggest(
    memory: MemoryTables, contexts: I32x2, found: NgramRows, work: RowWork, log2: I32x1, exp2: I32x1,
    result: Suggestions,
) -> None:  # fmt: skip
    """The likeliest tokens after every context [R, C]; `found`: what a memory without a trie says of them."""
    for r in range(result.tokens.shape[0]):
        if len(found.probs_RV) > 0:
            found_row(found, r, work, log2)
        else:
            memory_row(memory, contexts[r], work, log2)
        select(work.memory, result.tokens[r], result.weights[r])
        for k in range(result.weights.shape[1]):
            weight = exp2_fixed(-np.int64(result.weights[r, k]), exp2) >> (22 - WEIGHT_BITS)
            result.weights[r, k] = np.int32(weight)


@register_jitable
def first_state(layers, token, tokens_K, weights_K, sum_D, x_D):
    """The state of a token and of what the memory suggests after it, normalised, in 2^-16 into x_D; `sum_D`:
    scratch."""
    step = layers.step[token] << WEIGHT_BITS
    for d in range(len(x_D)):
        sum_D[d] = np.int64(layers.entries[token, d]) * step
    for k in range(len(tokens_K)):
        other = np.int64(tokens_K[k])
        share = (layers.memory_input[1] * np.int64(weights_K[k]) + (1 << 23)) >> 24
        factor = layers.step[other] * share
        for d in range(len(x_D)):
            sum_D[d] += np.int64(layers.entries[other, d]) * factor
    shift = shift_for(peak_of(sum_D, 0, len(x_D)), 15)
    half, squares = half_of(shift), np.int64(0)
    for d in range(len(x_D)):
        sum_D[d] = (sum_D[d] + half) >> shift
        squares += sum_D[d] * sum_D[d]
    norm = root((np.int64(len(x_D)) << 48) // max(squares, np.int64(1)))
    for d in range(len(x_D)):
        x_D[d] = np.int32((sum_D[d] * norm + 128) >> 8)
