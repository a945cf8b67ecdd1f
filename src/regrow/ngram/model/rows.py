"""Full next-token distributions from the backoff trie, one row for each context."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import compile_kernel
from regrow.ngram.model.backoff_trie import Trie, find_child

Floats = NDArray[np.float32]
Contexts = NDArray[np.int32]

_TINY = np.float32(1e-20)
_ROWS_A_THREAD = 512

_SIGNATURE = (
    "void(int32[:,::1], float32[:,::1], int64, int32[::1], uint16[::1], int32[::1], uint16[::1], "
    "float32[::1], float32[::1], uint16[::1], int64, float32[:,::1], int32[:,::1], float32[::1], int64, int64"
    ")"
)


def _rows(
    contexts_RC: Any,
    base_BV: Any,
    base_order: int,
    child_start: Any,
    child_token: Any,
    succ_start: Any,
    succ_token: Any,
    succ_mass: Any,
    gamma: Any,
    total: Any,
    max_order: int,
    probs_RV: Any,
    facts_R3: Any,
    escape_R: Any,
    start: int,
    stop: int,
) -> None:
    """Rows start..stop. Each row is computed by itself in a fixed order, so its bits depend on its context
    alone.
    """
    width = contexts_RC.shape[1]
    vocab = probs_RV.shape[1]
    path = np.empty(17, np.int64)
    for r in range(start, stop):
        # Walk back from the most recent token as far as the context was seen.
        order = 1
        node = np.int64(-1)
        if width > 0 and max_order > 1 and contexts_RC[r, width - 1] >= 0:
            node = np.int64(contexts_RC[r, width - 1])
            if succ_start[node] == succ_start[node + 1]:
                node = np.int64(-1)
            else:
                order = 2
                path[2] = node
        while node >= 0 and order < max_order and order <= width:
            wanted = contexts_RC[r, width - order]
            if wanted < 0:
                break
            child = find_child(child_start, child_token, node, wanted)
            if child < 0:
                break
            node = child
            order += 1
            path[order] = node
        # What is left for the base after all longer orders took their share.
        left = 1.0
        for n in range(base_order + 1, order + 1):
            left *= gamma[path[n]]
        weight = max(np.float32(left), np.float32(1e-20))
        row = 0
        if base_order == 2:
            row = path[2] if order >= 2 else vocab
        for v in range(vocab):
            probs_RV[r, v] = base_BV[row, v] * weight
        outer = 1.0
        for n in range(order, base_order, -1):
            node = path[n]
            scale = np.float32(outer)
            for e in range(succ_start[node], succ_start[node + 1]):
                probs_RV[r, succ_token[e]] += succ_mass[e] * scale
            outer *= gamma[node]
        facts_R3[r, 0] = order
        if order > 1:
            node = path[order]
            facts_R3[r, 1] = total[node]
            facts_R3[r, 2] = succ_start[node + 1] - succ_start[node]
            escape_R[r] = gamma[node]
        else:
            facts_R3[r, 1] = 0
            facts_R3[r, 2] = 0
            escape_R[r] = 1.0


@functools.cache
def _rows_kernel() -> Callable[..., None]:
    return compile_kernel(_rows, _SIGNATURE)


@dataclasses.dataclass(frozen=True)
class NgramRows:
    """Distributions and what a gate may know about them; all depend on the context alone.

    `probs_RV` float32 [R, V]; `matched_order_R` int32: longest order whose context was seen (1: none);
    `context_total_R` int32: what was counted after that context; `distinct_R` int32: different tokens after
    it; `escape_R` float32: the weight it leaves to the lower orders. The last three are 0, 0, 1 where nothing
    matched.
    """

    probs_RV: Floats
    matched_order_R: NDArray[np.int32]
    context_total_R: NDArray[np.int32]
    distinct_R: NDArray[np.int32]
    escape_R: Floats


def base_table(trie: Trie, unigram_V: NDArray[np.float64], dense_limit: int) -> tuple[Floats, int]:
    """The distributions rows start from, and the order they hold.

    Up to `dense_limit` tokens: float32 [V+1, V], the order-2 distribution after each token, and the unigrams
    last (2). Else: float32 [1, V], the unigrams (1).
    """
    vocab = trie.vocab_size
    if vocab > dense_limit or trie.max_order == 1:
        return unigram_V.astype(np.float32)[None], 1
    base = np.empty((vocab + 1, vocab), np.float32)
    for a in range(vocab):
        row = unigram_V * np.float64(trie.gamma_M[a])
        span = slice(trie.succ_start_M1[a], trie.succ_start_M1[a + 1])
        row[trie.succ_token_E[span]] += trie.succ_mass_E[span]
        base[a] = row
    base[vocab] = unigram_V
    return base, 2


def fill_rows(
    trie: Trie, base_BV: Floats, base_order: int, contexts_RC: Contexts, out: Floats, threads: int
) -> NgramRows:
    """Computes the rows into `out`, split over threads."""
    rows = len(contexts_RC)
    facts = np.empty((rows, 3), np.int32)
    escape = np.empty(rows, np.float32)

    kernel = _rows_kernel()

    def work(span: tuple[int, int]) -> None:
        kernel(
            contexts_RC, base_BV, base_order, trie.child_start_P1, trie.child_token_M, trie.succ_start_M1,
            trie.succ_token_E, trie.succ_mass_E, trie.gamma_M, trie.total_M, trie.max_order, out,
            facts, escape, *span,
        )  # fmt: skip

    parts = max(1, min(threads, rows // _ROWS_A_THREAD))
    edges = [rows * i // parts for i in range(parts + 1)]
    if parts == 1:
        work((0, rows))
    else:
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(work, itertools.pairwise(edges)))
    return NgramRows(out, facts[:, 0], facts[:, 1], facts[:, 2], escape)
