"""A memory's likeliest successors of a context: what the network reads of it beside the text.

Legend: R rows, V vocabulary, K successors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import F32x2, I32x2, kernel
from regrow.ngram.model.backoff_trie import Trie
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.rows import Memory, base_row, in_threads, walk, weight_of_base

_BLOCK = 64  # entries looked at together


class Likeliest(NamedTuple):
    """The K likeliest tokens of R distributions, int32 [R, K], most likely first, and their probabilities, float32."""

    tokens_RK: I32x2
    probs_RK: F32x2

    @classmethod
    def empty(cls, size: int, count: int) -> Likeliest:
        """To be filled in."""
        return cls(np.zeros((size, count), np.int32), np.zeros((size, count), np.float32))


def likeliest(
    memory: Memory, contexts_RC: NDArray[np.int32], count: int, *, threads: int | None = None
) -> Likeliest:
    """The `count` likeliest successors of each context; of equally likely ones the smaller token first."""
    contexts_RC = np.require(contexts_RC, np.int32, ("C", "W"))  # a window of one token may be read-only
    if not isinstance(memory, NgramModel):
        return likeliest_of(memory.rows(contexts_RC, threads=threads).probs_RV, count, threads=threads)
    found = Likeliest.empty(len(contexts_RC), count)
    best_BT = _best_of_base(memory, count, threads)
    in_threads(
        lambda start, stop: _of_trie(contexts_RC, memory.base_BV, best_BT, memory.trie, found, start, stop),
        len(contexts_RC),
        threads,
    )
    return found


def likeliest_of(probs_RV: NDArray[np.float32], count: int, *, threads: int | None = None) -> Likeliest:
    """The same of whole distributions."""
    found = Likeliest.empty(len(probs_RV), count)
    in_threads(lambda start, stop: _select(probs_RV, found, start, stop), len(probs_RV), threads)
    return found


def _best_of_base(model: NgramModel, count: int, threads: int | None) -> NDArray[np.int32]:
    """The tokens [B, T] that are likeliest in each of the distributions rows start from, kept with the model."""
    kept = min(2 * count, model.vocab_size)
    if kept not in model.best_of_base:
        model.best_of_base[kept] = likeliest_of(model.base_BV, kept, threads=threads).tokens_RK
    return model.best_of_base[kept]


@register_jitable
def select(row_V, tokens_K, largest_K):  # type: ignore[no-untyped-def]
    """The largest entries of a row, largest first, and where they stand; of equal ones the first."""
    count, filled, vocab = len(tokens_K), 0, len(row_V)
    for begin in range(0, vocab, _BLOCK):
        end = min(begin + _BLOCK, vocab)
        if filled == count:  # most blocks hold nothing larger, which a loop without branches finds out
            limit, larger = largest_K[count - 1], 0
            for v in range(begin, end):
                larger += row_V[v] > limit
            if not larger:
                continue
        for v in range(begin, end):
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
def _select(probs_RV: F32x2, found: Likeliest, start: int, stop: int) -> None:
    for r in range(start, stop):
        select(probs_RV[r], found.tokens_RK[r], found.probs_RK[r])  # type: ignore[no-untyped-call]


@kernel
def _of_trie(
    contexts_RC: I32x2, base_BV: F32x2, best_BT: I32x2, trie: Trie, found: Likeliest, start: int, stop: int
) -> None:
    """Rows start..stop without the whole distributions: of the tokens that no longer context was followed by, only the
    likeliest in the base can be among the `count`. The arithmetic of each is that of `fill_rows`."""
    gamma, succ_start, succ_token, succ_mass = (
        trie.gamma_M, trie.succ_start_M1, trie.succ_token_E, trie.succ_mass_E,
    )  # fmt: skip
    vocab, kept, count = base_BV.shape[1], best_BT.shape[1], found.tokens_RK.shape[1]
    base_order = 2 if base_BV.shape[0] > 1 else 1
    path = np.empty(17, np.int64)
    row_V = np.empty(vocab, np.float32)
    met_V = np.full(vocab, -1, np.int64)  # the last row that computed this token
    tokens = np.empty(vocab, np.int64)
    for r in range(start, stop):
        order = walk(  # type: ignore[no-untyped-call]
            contexts_RC[r], trie.max_order, succ_start, trie.child_start_P1, trie.child_token_M, path
        )
        weight = weight_of_base(gamma, path, base_order, order)  # type: ignore[no-untyped-call]
        base = base_row(base_BV, path, order)  # type: ignore[no-untyped-call]
        met = 0
        outer = 1.0
        for n in range(order, base_order, -1):
            node = path[n]
            scale = np.float32(outer)
            for e in range(succ_start[node], succ_start[node + 1]):
                v = succ_token[e]
                if met_V[v] != r:
                    met_V[v] = r
                    row_V[v] = base_BV[base, v] * weight
                    tokens[met] = v
                    met += 1
                row_V[v] += succ_mass[e] * scale
            outer *= gamma[node]
        for k in range(kept):
            v = best_BT[base, k]
            if met_V[v] != r:
                met_V[v] = r
                row_V[v] = base_BV[base, v] * weight
                tokens[met] = v
                met += 1
        tokens_K, largest_K = found.tokens_RK[r], found.probs_RK[r]
        filled = 0
        for i in range(met):
            v = tokens[i]
            x = row_V[v]
            if filled == count and x < largest_K[count - 1]:
                continue
            k = filled
            while k > 0 and (largest_K[k - 1] < x or (largest_K[k - 1] == x and tokens_K[k - 1] > v)):
                if k < count:
                    tokens_K[k], largest_K[k] = tokens_K[k - 1], largest_K[k - 1]
                k -= 1
            if k < count:
                tokens_K[k], largest_K[k] = v, x
            filled = min(filled + 1, count)
        # All others are at most as likely as the last that was kept of the base; rounded, perhaps as likely.
        if met < vocab and largest_K[count - 1] <= base_BV[base, best_BT[base, kept - 1]] * weight:
            for v in range(vocab):
                if met_V[v] != r:
                    row_V[v] = base_BV[base, v] * weight
            select(row_V, tokens_K, largest_K)  # type: ignore[no-untyped-call]
