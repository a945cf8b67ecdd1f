"""Full next-token distributions, one row for each context: what any memory gives, and rows from the backoff trie.

Every row is computed by itself, so its bits depend on its context alone, and on no machine (`masses` has the terms):

    path        the contexts of orders 2, 3, ... that were seen, up to the longest
    base        the unigrams; or, for a vocabulary of at most `DENSE_VOCAB`, the order-2 distribution after the last
                token: float32(float64(unigram_v) * float64(gamma) + float64(mass_v)), product and sum each rounded
    left        1, then times the gammas of the path above the base, shortest context first, in float64
    row         float32(base_v) * float32(max(left, 1e-20)), in float32
    masses      then of each context of the path above the base, longest first, row_v = row_v + mass_v * scale, product
                and sum each rounded to float32; scale = float32(outer), outer the float64 product of the gammas of
                longer contexts, longest first
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import F32x1, F32x2, I32x1, I32x2, kernel
from regrow.core.machine import cores
from regrow.ngram.model.backoff_trie import Trie, find_token

Floats = NDArray[np.float32]
Contexts = NDArray[np.int32]

DENSE_VOCAB = 4096
_ROWS_PER_THREAD = 512


class NgramRows(NamedTuple):
    """Distributions and what a gate may know about them; all depend on the context alone.

    `probs_RV` float32 [R, V]; `matched_order_R` int32: longest order whose context was seen (1: none);
    `context_total_R` int32: what was counted after that context; `distinct_R` int32: different tokens after
    it; `escape_R` float32: the weight it leaves to the lower orders. The last three are 0, 0, 1 where nothing
    matched.
    """

    probs_RV: F32x2
    matched_order_R: I32x1
    context_total_R: I32x1
    distinct_R: I32x1
    escape_R: F32x1

    @classmethod
    def around(cls, probs_RV: Floats, size: int) -> NgramRows:
        """Facts to be filled in of `size` rows, beside these distributions."""
        matched_R, total_R, distinct_R = np.empty((3, size), np.int32)
        return cls(probs_RV, matched_R, total_R, distinct_R, np.empty(size, np.float32))


class Memory(abc.ABC):
    """A memory that can be asked what follows a context: `vocab_size` tokens, contexts of `max_order - 1`."""

    vocab_size: int
    max_order: int

    @property
    @abc.abstractmethod
    def nbytes(self) -> int:
        """Bytes held."""

    @abc.abstractmethod
    def _fill(self, contexts_RC: Contexts, rows: NgramRows, threads: int | None) -> None:
        """Writes the rows of these contexts."""

    def probs(
        self, contexts_RC: NDArray[np.integer[Any]], out: Floats | None = None, *, threads: int | None = None
    ) -> Floats:
        """float32 [R, V]: the distribution after each context; see `rows`."""
        return self.rows(contexts_RC, out, threads=threads).probs_RV

    def rows(
        self, contexts_RC: NDArray[np.integer[Any]], out: Floats | None = None, *, threads: int | None = None
    ) -> NgramRows:
        """Distributions after each context, with what the gate may know.

        Args:
            contexts_RC: integer [R, C], the C tokens before each position in reading order; -1 on the left
                where the document or stream begins later; C may be less or more than `max_order - 1`.
            out: float32 [R, V], C-contiguous, to write into.
            threads: threads to split the rows over (None: one a core); a row's bits do not depend on it.

        Raises:
            NgramError: a context of the wrong shape or with a token outside the vocabulary; an unfit `out`.
        """
        contexts = self._checked(contexts_RC)
        size, shape = len(contexts), (len(contexts), self.vocab_size)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise NgramError(f"out is {out.dtype} of shape {out.shape}; give contiguous float32 {shape}")
        rows = NgramRows.around(out, size)
        self._fill(contexts, rows, threads)
        return rows

    def _checked(self, contexts_RC: NDArray[np.integer[Any]]) -> Contexts:
        """The contexts as kernels take them: int32, contiguous, writeable."""
        contexts = np.asarray(contexts_RC)
        if contexts.ndim != 2 or not np.issubdtype(contexts.dtype, np.integer):
            raise NgramError(
                f"contexts are {contexts.dtype} of shape {contexts.shape}; give integers [rows, tokens]"
            )
        if contexts.size and int(contexts.max()) >= self.vocab_size:
            raise NgramError(
                f"a context holds token {int(contexts.max())} but the vocabulary has {self.vocab_size}; "
                "use this memory's own tokenizer"
            )
        return np.require(contexts, np.int32, ("C", "W"))


def in_threads(work: Callable[[int, int], None], rows: int, threads: int | None) -> None:
    """`work(start, stop)` for all rows, in as many threads as pay off, at most `threads` (None: one per core)."""
    parts = max(1, min(threads or cores(), rows // _ROWS_PER_THREAD))
    if parts == 1:
        work(0, rows)
        return
    edges = [rows * i // parts for i in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(lambda span: work(*span), itertools.pairwise(edges)))


def base_table(trie: Trie, unigram_V: NDArray[np.float64]) -> Floats:
    """The distributions rows start from.

    Up to `DENSE_VOCAB` tokens: float32 [V+1, V], the order-2 distribution after each token, and the unigrams last.
    Else: float32 [1, V], the unigrams.
    """
    vocab = trie.vocab_size
    if vocab > DENSE_VOCAB or trie.max_order == 1:
        return unigram_V.astype(np.float32)[None]
    base = np.empty((vocab + 1, vocab), np.float32)
    for a in range(vocab):
        row = unigram_V * np.float64(trie.gamma_M[a])
        span = slice(trie.succ_start_M1[a], trie.succ_start_M1[a + 1])
        row[trie.succ_token_E[span]] += trie.succ_mass_E[span]
        base[a] = row
    base[vocab] = unigram_V
    return base


@register_jitable
def walk(context_C, max_order, succ_start, child_start, child_token, path):  # type: ignore[no-untyped-def]
    """From the most recent token back as far as the context was seen: the order that matched, and the contexts of
    orders 2, 3, ... in `path`. The arrays are a trie's."""
    width = len(context_C)
    if width == 0 or max_order == 1 or context_C[width - 1] < 0:
        return np.int64(1)
    node = np.int64(context_C[width - 1])
    if succ_start[node] == succ_start[node + 1]:
        return np.int64(1)
    order = np.int64(2)
    path[2] = node
    while order < max_order and order <= width:
        wanted = context_C[width - order]
        if wanted < 0:
            break
        node = find_token(child_start, child_token, node, wanted)
        if node < 0:
            break
        order += 1
        path[order] = node
    return order


@register_jitable
def weight_of_base(gamma, path, base_order, order):  # type: ignore[no-untyped-def]
    """What is left for the base after all longer orders took their share."""
    left = 1.0
    for n in range(base_order + 1, order + 1):
        left *= gamma[path[n]]
    return max(np.float32(left), np.float32(1e-20))


@register_jitable
def base_row(base_BV, path, order):  # type: ignore[no-untyped-def]
    """Which of the distributions that rows start from."""
    if base_BV.shape[0] == 1:
        return np.int64(0)
    return path[2] if order >= 2 else np.int64(base_BV.shape[0] - 1)


@kernel
def fill_rows(contexts_RC: I32x2, base_BV: F32x2, trie: Trie, rows: NgramRows, start: int, stop: int) -> None:
    """Rows start..stop, in the order of arithmetic that the module states."""
    gamma, total = trie.gamma_M, trie.total_M
    succ_start, succ_token, succ_mass = trie.succ_start_M1, trie.succ_token_E, trie.succ_mass_E
    probs_RV, matched_R, total_R = rows.probs_RV, rows.matched_order_R, rows.context_total_R
    distinct_R, escape_R = rows.distinct_R, rows.escape_R
    vocab = probs_RV.shape[1]
    base_order = 2 if base_BV.shape[0] > 1 else 1
    path = np.empty(17, np.int64)
    for r in range(start, stop):
        order = walk(  # type: ignore[no-untyped-call]
            contexts_RC[r], trie.max_order, succ_start, trie.child_start_P1, trie.child_token_M, path
        )
        weight = weight_of_base(gamma, path, base_order, order)  # type: ignore[no-untyped-call]
        row = base_row(base_BV, path, order)  # type: ignore[no-untyped-call]
        for v in range(vocab):
            probs_RV[r, v] = base_BV[row, v] * weight
        outer = 1.0
        for n in range(order, base_order, -1):
            node = path[n]
            scale = np.float32(outer)
            for e in range(succ_start[node], succ_start[node + 1]):
                probs_RV[r, succ_token[e]] += succ_mass[e] * scale
            outer *= gamma[node]
        matched_R[r] = order
        total_R[r], distinct_R[r], escape_R[r] = 0, 0, 1.0
        if order > 1:
            node = path[order]
            total_R[r] = total[node]
            distinct_R[r] = succ_start[node + 1] - succ_start[node]
            escape_R[r] = gamma[node]
