"""The n-gram model: modified Kneser-Ney over exact counts, read as full next-token distributions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.backoff_trie import Trie
from regrow.ngram.model.kneser_ney import Discounts, estimate
from regrow.ngram.model.rows import Floats, NgramRows, base_table, fill_rows

DENSE_VOCAB = 4096


class NgramModel:
    """Next-token distributions by interpolated modified Kneser-Ney (Chen and Goodman 1998).

    The highest order uses raw counts, the lower ones the number of distinct left contexts, n-grams that begin
    with BOS their raw counts; unigrams are interpolated with the uniform distribution, so no token has
    probability 0.

    `max_order`, `vocab_size`; `discounts[n - 1]` = (D1, D2, D3+) of order n, or as many as were given;
    `notes`: a sentence for each order whose counts gave no possible discounts, so that the fallback estimate was used.
    """

    def __init__(
        self, trie: Trie, unigram_V: NDArray[np.float64], discounts: list[Discounts], notes: list[str]
    ) -> None:
        self.vocab_size, self.max_order = trie.vocab_size, trie.max_order
        self.discounts, self.notes = tuple(discounts), tuple(notes)
        self.trie = trie
        self.unigram_V = unigram_V
        self.base_BV, self.base_order = base_table(trie, unigram_V, DENSE_VOCAB)

    @classmethod
    def from_counts(
        cls, counts: NgramCounts, *, discounts: Sequence[Discounts] | None = None, threads: int | None = None
    ) -> NgramModel:
        """Estimates the model. The result does not depend on `threads` (None: one a core).

        `discounts[n - 1][c - 1]`: what an n-gram of order n counted c times gives to the order below, the last for
        all higher counts; None, or an empty tuple for one order: Chen and Goodman's estimate from the counts (see
        also `tune_discounts`).

        Raises:
            NgramError: discounts for other orders, or one that is not above 0 and at most its count.
        """
        return cls(*estimate(counts, threads or os.cpu_count() or 1, discounts))

    @property
    def nbytes(self) -> int:
        return self.trie.nbytes + self.base_BV.nbytes

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
        shape = (len(contexts), self.vocab_size)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise NgramError(f"out is {out.dtype} of shape {out.shape}; give contiguous float32 {shape}")
        narrow = np.ascontiguousarray(contexts, np.int32)
        if not narrow.flags.writeable:
            narrow = narrow.copy()  # the kernel is compiled for one type of array only
        return fill_rows(
            self.trie, self.base_BV, self.base_order, narrow, out, threads or os.cpu_count() or 1
        )
