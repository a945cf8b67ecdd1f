"""N-grams with a probability and a backoff weight each, as ARPA files hold them: a table that scores running text.

An n-gram w_1 .. w_n lies in an open-addressing hash table under the pair (slot of w_1 .. w_{n-1}, w_n), which is exact:
nothing collides. A position's state is the slots of the n-grams that end there, one a length, so scoring a token takes
at most `order` look-ups, whatever the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.errors import NgramError
from regrow.core.jit import F32x1, I32x1, I32x2, I64x1, U64x1, kernel

_FILL = 1.5  # slots an n-gram
_MOST_SLOTS = 2**32 - 2


class Ngrams(NamedTuple):
    """The n-grams of one order: tokens int32 [N, n] in reading order; log10 of probability and backoff, float32 [N]."""

    grams_Nn: I32x2
    log10_N: F32x1
    backoff_N: F32x1


class BackoffTable(NamedTuple):
    """`key_S` uint64 [slots], 0 where empty; log10 of probability (NaN: no n-gram, only the beginning of some) and of
    backoff weight, float32 [slots]."""

    order: int
    key_S: U64x1
    log10_S: F32x1
    backoff_S: F32x1

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.key_S.nbytes + self.log10_S.nbytes + self.backoff_S.nbytes


def table_of(orders: Sequence[Ngrams]) -> BackoffTable:
    """The table of the n-grams of orders 1, 2, ... Of an n-gram given twice the last counts.

    Raises NgramError for more n-grams than slots can be numbered."""
    slots = max(16, int(_FILL * sum(len(of_order.log10_N) for of_order in orders)))
    while slots <= _MOST_SLOTS:
        table = BackoffTable(
            len(orders), np.zeros(slots, np.uint64), np.full(slots, np.nan, np.float32), np.zeros(slots, np.float32)
        )  # fmt: skip
        used = 0
        for of_order in orders:
            used = _insert(of_order, table, used)
        if used >= 0:
            return table
        slots *= 2  # files whose n-grams lack their beginnings need more
    raise NgramError(f"the model has more n-grams than {_MOST_SLOTS} slots hold; prune it")


@register_jitable
def _slot(key: Any, slots: Any) -> Any:
    """Where the search for a key begins."""
    mixed = key
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(slots)) >> np.uint64(32))


@register_jitable
def find(key_S: Any, prefix: Any, token: Any) -> Any:
    """The slot of an n-gram, given that of its beginning (-1: it has none); -2 if it is not there."""
    if prefix < -1:
        return np.int64(-2)
    key = (np.uint64(prefix + 2) << np.uint64(32)) | np.uint64(token)
    slots = len(key_S)
    at = _slot(key, slots)
    while key_S[at] != np.uint64(0):
        if key_S[at] == key:
            return at
        at += 1
        if at == slots:
            at = 0
    return np.int64(-2)


@kernel
def _insert(ngrams: Ngrams, table: BackoffTable, used: int) -> int:
    """Slots used with these n-grams, or -1 where the table is too full for them."""
    grams, log10, backoff = ngrams.grams_Nn, ngrams.log10_N, ngrams.backoff_N
    key_S, log10_S, backoff_S = table.key_S, table.log10_S, table.backoff_S
    slots, n = len(key_S), grams.shape[1]
    if used < 0:
        return -1
    for i in range(len(log10)):
        at: Any = np.int64(-1)
        for j in range(n):
            prefix = at
            at = find(key_S, prefix, grams[i, j])
            if at < 0:
                if (used + 1) * 5 > slots * 4:
                    return -1
                key = (np.uint64(prefix + 2) << np.uint64(32)) | np.uint64(grams[i, j])
                at = _slot(key, slots)
                while key_S[at] != np.uint64(0):
                    at += 1
                    if at == slots:
                        at = 0
                key_S[at] = key
                used += 1
        log10_S[at] = log10[i]
        backoff_S[at] = backoff[i]
    return used


@kernel
def score_tokens(
    table: BackoffTable, tokens_T: I32x1, start_D1: I64x1, first: int, log10_T: F32x1, length_T: I32x1
) -> None:
    """log10 probability of every token of texts that are tokens start[d] .. start[d + 1], and how long an n-gram said
    so, as KenLM's `query` does.

    `first`: the token that stands before each text (<s>), or -1 for none.
    """
    order, key_S, log10_S, backoff_S = table.order, table.key_S, table.log10_S, table.backoff_S
    before, after = np.empty(order + 1, np.int64), np.empty(order + 1, np.int64)
    for d in range(len(start_D1) - 1):
        before[:] = -2
        before[0] = -1
        if first >= 0 and order > 1:
            before[1] = find(key_S, np.int64(-1), first)
        for t in range(start_D1[d], start_D1[d + 1]):
            after[0] = -1
            longest = 0
            for k in range(order):
                after[k + 1] = find(key_S, before[k], tokens_T[t])
                if after[k + 1] >= 0 and not np.isnan(log10_S[after[k + 1]]):
                    longest = k + 1
            total = np.float64(log10_S[after[longest]]) if longest else -100.0
            for k in range(max(longest, 1), order):
                if before[k] >= 0:
                    total += backoff_S[before[k]]
            log10_T[t] = total
            length_T[t] = longest
            for k in range(1, order):
                before[k] = after[k]
