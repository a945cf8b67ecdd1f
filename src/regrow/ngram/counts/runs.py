"""Sorted runs of n-gram keys with their counts, and the log-structured merge tree made of them."""

from __future__ import annotations

import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from regrow.ngram.counts import keys as k
from regrow.ngram.counts.buckets import bucket_bits, from_buckets, to_buckets
from regrow.ngram.counts.keys import U64
from regrow.ngram.counts.sorted_keys import merge_sorted

Counts = NDArray[np.uint32]

_CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True)
class SortedRun:
    """Distinct keys of one order in ascending order, and how often each was counted.

    `words_WN` uint64 [W, N] as in `regrow.ngram.counts.keys`; `counts_N` uint32 [N].
    """

    order: int
    bits: int
    words_WN: U64
    counts_N: Counts

    def __len__(self) -> int:
        return len(self.counts_N)

    @property
    def nbytes(self) -> int:
        return self.words_WN.nbytes + self.counts_N.nbytes

    def select(self, keep: NDArray[np.bool_]) -> SortedRun:
        return SortedRun(self.order, self.bits, np.compress(keep, self.words_WN, axis=1), self.counts_N[keep])

    def slice(self, start: int, stop: int) -> SortedRun:
        return SortedRun(self.order, self.bits, self.words_WN[:, start:stop], self.counts_N[start:stop])

    def suffixes(self) -> SortedRun:
        """The same occurrences one order shorter, equal suffixes joined."""
        return reduce_run(
            self.order - 1, self.bits, k.drop_oldest(self.words_WN, self.order, self.bits), self.counts_N
        )


def empty_run(order: int, bits: int) -> SortedRun:
    words = np.empty((len(k.word_sizes(order, bits)), 0), np.uint64)
    return SortedRun(order, bits, words, np.empty(0, np.uint32))


def count_run(order: int, bits: int, words: U64, threads: int = 1) -> SortedRun:
    """A run from unsorted keys, one per occurrence. `words` may be overwritten."""
    size = words.shape[1]
    if not size:
        return empty_run(order, bits)
    radix = bucket_bits(order, bits, size)
    if size < _CHUNK or radix is None:
        words = k.sort_words(words, order, bits)
        starts = k.run_starts(words)
        return SortedRun(order, bits, np.take(words, starts, axis=1), _widths(starts, size))
    # Buckets by the keys' highest bits: each is sorted by itself, in the cache, and by any thread.
    low, bucket_starts = to_buckets(words, order, bits, radix)
    del words
    groups = np.unique(np.searchsorted(bucket_starts, np.arange(0, size, _CHUNK)))
    spans = list(itertools.pairwise([0, *groups[groups > 0].tolist(), len(bucket_starts) - 1]))

    def reduce(span: tuple[int, int]) -> tuple[U64, Counts]:
        for a, b in itertools.pairwise(bucket_starts[span[0] : span[1] + 1].tolist()):
            low[a:b].sort()
        return from_buckets(low, bucket_starts, span, order, bits)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(reduce, spans))
        ends = np.cumsum([0, *(len(counts) for _, counts in parts)]).tolist()
        run = SortedRun(
            order, bits, np.empty((parts[0][0].shape[0], ends[-1]), np.uint64), np.empty(ends[-1], np.uint32)
        )

        def place(at: int) -> None:
            where = slice(ends[at], ends[at + 1])
            run.words_WN[:, where], run.counts_N[where] = parts[at]

        list(pool.map(place, range(len(parts))))
    return run


def _widths(starts: k.Index, size: int) -> Counts:
    return np.diff(starts, append=size).astype(np.uint32)


def reduce_run(order: int, bits: int, words: U64, counts: Counts) -> SortedRun:
    """A run from unsorted keys with counts: equal keys are joined and their counts added."""
    perm = k.argsort_words(words, order, bits)
    words, counts = np.take(words, perm, axis=1), counts[perm]
    starts = k.run_starts(words)
    if len(starts) < len(counts):
        words = np.take(words, starts, axis=1)
        counts = np.add.reduceat(counts, starts, dtype=np.uint32)
    return SortedRun(order, bits, words, counts)


def merge_runs(a: SortedRun, b: SortedRun) -> SortedRun:
    if not len(a) or not len(b):
        return a if len(a) else b
    return SortedRun(a.order, a.bits, *merge_sorted(a.words_WN, a.counts_N, b.words_WN, b.counts_N))


class RunTree:
    """A log-structured merge tree: runs whose sizes at least double from young to old, so adding costs O(log N)."""

    def __init__(self, order: int, bits: int) -> None:
        self.order, self.bits = order, bits
        self._runs: list[SortedRun] = []  # oldest first

    def push(self, run: SortedRun) -> None:
        if not len(run):
            return
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._join_youngest()

    def compact(self) -> SortedRun:
        """All runs as one; the tree keeps only that one."""
        while len(self._runs) > 1:
            self._join_youngest()
        return self._runs[0] if self._runs else empty_run(self.order, self.bits)

    def _join_youngest(self) -> None:
        young = self._runs.pop()
        self._runs[-1] = merge_runs(self._runs[-1], young)

    def replace(self, run: SortedRun) -> None:
        self._runs = [run] if len(run) else []

    @property
    def nbytes(self) -> int:
        return sum(run.nbytes for run in self._runs)
