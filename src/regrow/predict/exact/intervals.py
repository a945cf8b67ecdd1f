"""A row's weights as intervals of 2^24: what a range coder takes. docs/exact.md, "Rows", frequencies.

Every token has an interval of at least 1, and together they fill 2^24, whatever the weights are.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

TOTAL_BITS = 24
STRIPE = 64  # tokens that are passed over at once


@register_jitable
def interval(weights_V, total, token):
    """Where the token's interval of 2^24 begins, and its length."""
    before = np.int64(0)
    for v in range(token):
        before += weights_V[v]
    free = np.int64((1 << TOTAL_BITS) - len(weights_V))
    start = token + before * free // total
    return start, token + 1 + (before + weights_V[token]) * free // total - start


@register_jitable
def find(weights_V, total, target):
    """The token whose interval holds `target`, with the interval's beginning and length."""
    free = np.int64((1 << TOTAL_BITS) - len(weights_V))
    # A token begins at or before the target if the weights before it are at most (target - token + 1) * total / free.
    v, before = np.int64(0), np.int64(0)
    while v + STRIPE < len(weights_V):
        part = np.int64(0)
        for j in range(STRIPE):
            part += weights_V[np.uint64(v + j)]
        if v + STRIPE + (before + part) * free // total > target:
            break
        v += STRIPE
        before += part
    start = v + before * free // total
    while True:
        before += weights_V[v]
        stop = v + 1 + before * free // total
        if stop > target:
            return v, start, stop - start
        start = stop
        v += 1
