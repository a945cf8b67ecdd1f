"""The n-gram model: modified Kneser-Ney over exact counts, read as full next-token distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.core.machine import cores
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.backoff_trie import Trie
from regrow.ngram.model.kneser_ney import Discounts, estimate
from regrow.ngram.model.rows import Contexts, Memory, NgramRows, base_table, fill_rows, in_threads


class NgramModel(Memory):
    """Next-token distributions by interpolated modified Kneser-Ney (Chen and Goodman 1998).

    The highest order uses raw counts, the lower ones the number of distinct left contexts, n-grams that begin
    with BOS their raw counts; unigrams are interpolated with the uniform distribution, so no token has
    probability 0.

    `max_order`, `vocab_size`; `discounts[n - 1]` = (D1, D2, D3+) of order n, or as many as were given;
    `notes`: a sentence for each order whose counts gave no possible discounts, so that the fallback estimate was used.
    """

    def __init__(
        self,
        trie: Trie,
        unigram_V: NDArray[np.float64],
        discounts: Sequence[Discounts],
        notes: Sequence[str] = (),
    ) -> None:
        self.vocab_size, self.max_order = trie.vocab_size, trie.max_order
        self.discounts, self.notes = tuple(discounts), tuple(notes)
        self.trie = trie
        self.unigram_V = unigram_V
        self.base_BV = base_table(trie, unigram_V)
        self.best_of_base: dict[int, NDArray[np.int32]] = {}  # kept by `likeliest`

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
        return cls(*estimate(counts, threads or cores(), discounts))

    @property
    def nbytes(self) -> int:
        return self.trie.nbytes + self.base_BV.nbytes

    def _fill(self, contexts_RC: Contexts, rows: NgramRows, threads: int | None) -> None:
        def work(start: int, stop: int) -> None:
            fill_rows(contexts_RC, self.base_BV, self.trie, rows, start, stop)

        in_threads(work, len(contexts_RC), threads)
