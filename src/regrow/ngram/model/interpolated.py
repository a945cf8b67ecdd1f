"""A Kneser-Ney model as ARPA files state one: every n-gram with its whole probability and its backoff weight.

The trie keeps discounted masses, to which the order below adds its share; here those sums are done, once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import F64x1, kernel
from regrow.ngram.model.backoff_table import Ngrams
from regrow.ngram.model.backoff_trie import Trie


def interpolated(trie: Trie, unigram_V: NDArray[np.float64]) -> list[Ngrams]:
    """The n-grams of orders 1, 2, ... of a model that was not pruned: its trie and its unigrams.

    Orders that a short text has no n-grams of are left out, with all above them.
    """
    order, vocab = trie.max_order, trie.vocab_size
    prob_E = np.empty(len(trie.succ_token_E))
    if order > 1:
        _sums(trie, unigram_V, prob_E)
    # Contexts order by order, oldest token first; those of order n + 1 are n-grams of order n with a backoff weight.
    first, last = 0, vocab
    contexts = np.arange(vocab, dtype=np.int32)[:, None]
    tokens = contexts
    log10 = np.log10(unigram_V)
    result = []
    for n in range(1, order + 1):
        backoff = np.zeros(len(tokens), np.float32)
        if n < order:
            with np.errstate(divide="ignore"):
                weights = np.log10(trie.gamma_M[first:last].astype(np.float64)).astype(np.float32)
            backoff[_rows_of(tokens, contexts, vocab)] = weights
        result.append(Ngrams(np.ascontiguousarray(tokens), log10.astype(np.float32), backoff))
        if n == order:
            break
        counts = np.diff(trie.succ_start_M1[first : last + 1])
        entries = slice(trie.succ_start_M1[first], trie.succ_start_M1[last])
        if entries.start == entries.stop:
            break
        heads = np.repeat(contexts, counts, axis=0)
        tokens = np.concatenate((heads, trie.succ_token_E[entries].astype(np.int32)[:, None]), axis=1)
        log10 = np.log10(prob_E[entries])
        if n + 1 < order:
            children = np.diff(trie.child_start_P1[first : last + 1])
            span = slice(trie.child_start_P1[first], trie.child_start_P1[last])
            oldest = trie.child_token_M[span].astype(np.int32)[:, None]
            contexts = np.concatenate((oldest, np.repeat(contexts, children, axis=0)), axis=1)
            first, last = span.start, span.stop
    return result


def _rows_of(tokens_Nn: NDArray[np.int32], contexts_Mn: NDArray[np.int32], vocab: int) -> NDArray[np.int64]:
    """Where each context stands among the n-grams."""
    if tokens_Nn.shape[1] == 1:
        return contexts_Mn[:, 0].astype(np.int64)
    # Ranks of the n-grams, column by column, in one number each: both sides are numbered together.
    both = np.concatenate((tokens_Nn, contexts_Mn)).astype(np.int64)
    rank = both[:, 0]
    for column in both.T[1:]:
        rank = np.unique(rank * vocab + column, return_inverse=True)[1]
    grams, contexts = rank[: len(tokens_Nn)], rank[len(tokens_Nn) :]
    place = np.empty(int(rank.max()) + 1, np.int64)
    place[grams] = np.arange(len(grams))
    return place[contexts]


@kernel
def _sums(trie: Trie, unigram_V: F64x1, prob_E: F64x1) -> None:
    """Mass plus the lower order's share, parents before children: their successors hold all of the children's."""
    child_start, succ_start, succ_token = trie.child_start_P1, trie.succ_start_M1, trie.succ_token_E
    succ_mass, gamma = trie.succ_mass_E, trie.gamma_M
    for a in range(len(unigram_V)):
        for e in range(succ_start[a], succ_start[a + 1]):
            prob_E[e] = succ_mass[e] + gamma[a] * unigram_V[succ_token[e]]
    # Contexts of a model of order 2 have no children, and nothing was written of where they would begin.
    for parent in range(len(child_start) - 1 if trie.max_order > 2 else 0):
        for c in range(child_start[parent], child_start[parent + 1]):
            below = succ_start[parent]
            for e in range(succ_start[c], succ_start[c + 1]):
                while succ_token[below] < succ_token[e]:
                    below += 1
                prob_E[e] = succ_mass[e] + gamma[c] * prob_E[below]
