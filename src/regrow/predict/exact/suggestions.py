"""What the network reads beside a token: the memory's likeliest, what followed in the text's own past, and the first
states that are made with them.

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
from regrow.ngram.recent import LENGTHS, WEIGHT_BITS
from regrow.predict.exact.functions import exp2_fixed, root
from regrow.predict.exact.quantise import half_of, peak_of, shift_for
from regrow.predict.exact.rows import MemoryTables, RowWork, found_row, memory_row


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
def add_recent(layers, tokens_K, weights_K, entries_D, sum_D):
    """Add what followed in the text's own past, the average of each length times its gains; `entries_D`: scratch."""
    count = len(tokens_K) // LENGTHS
    for length in range(LENGTHS):
        weight = np.int64(weights_K[length * count])
        if weight == 0:
            continue
        entries_D[:] = 0
        for k in range(length * count, length * count + count):
            if weights_K[k] == 0:
                break
            other = np.int64(tokens_K[k])
            step = layers.step[other]
            for d in range(len(sum_D)):
                entries_D[d] += np.int64(layers.entries[other, d]) * step
        for d in range(len(sum_D)):
            sum_D[d] += entries_D[d] * ((layers.recent_gain[length, d] * weight + (1 << 23)) >> 24)


@register_jitable
def first_state(layers, span, m, token, work):
    """The state of a token and of what is suggested after it, normalised, in 2^-16 into row m."""
    tokens_K, weights_K, sum_D, x_D = span.suggested[m], span.suggested_weights[m], work.mixed[m], work.x[m]
    step = layers.own_step[token] << WEIGHT_BITS
    for d in range(len(x_D)):
        sum_D[d] = np.int64(layers.own_entries[token, d]) * step
    for k in range(len(tokens_K)):
        other = np.int64(tokens_K[k])
        share = (layers.memory_input[1] * np.int64(weights_K[k]) + (1 << 23)) >> 24
        factor = layers.step[other] * share
        for d in range(len(x_D)):
            sum_D[d] += np.int64(layers.entries[other, d]) * factor
    if span.recent.shape[1] > 0:
        add_recent(layers, span.recent[m], span.recent_weights[m], work.entries, sum_D)
    shift = shift_for(peak_of(sum_D, 0, len(x_D)), 15)
    half, squares = half_of(shift), np.int64(0)
    for d in range(len(x_D)):
        sum_D[d] = (sum_D[d] + half) >> shift
        squares += sum_D[d] * sum_D[d]
    norm = root((np.int64(len(x_D)) << 48) // max(squares, np.int64(1)))
    for d in range(len(x_D)):
        x_D[d] = np.int32((sum_D[d] * norm + 128) >> 8)
