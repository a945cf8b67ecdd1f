"""Interpolated modified Kneser-Ney estimation from exact counts (Chen and Goodman 1998, section 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from regrow.ngram.counts import NgramCounts
from regrow.ngram.levels import Chunk, Level, build_chunk, chunks_of, longest, make_level
from regrow.ngram.trie import Trie

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
Discounts = tuple[float, float, float]


def discounts_of(ones: int, twos: int, threes: int, fours: int) -> Discounts | None:
    """D1, D2, D3+ from how many n-grams were counted 1, 2, 3 and 4 times; None where they are impossible.

    Possible means 0 < D_j <= j: a discount of zero would leave nothing for the lower orders.
    """
    n = (ones, twos, threes, fours)
    if 0 in n[:3]:
        return None
    y = ones / (ones + 2 * twos)
    d1, d2, d3 = (j - (j + 1) * y * n[j] / n[j - 1] for j in (1, 2, 3))
    if not (0 < d1 <= 1 and 0 < d2 <= 2 and 0 < d3 <= 3):
        return None
    return d1, d2, d3


def estimate(
    counts: NgramCounts, threads: int
) -> tuple[Trie, NDArray[np.float64], list[Discounts], list[str]]:
    """The backoff trie, the unigram distribution float64 [V], the discounts of orders 1.., and notes."""
    top = counts.max_order
    with ThreadPoolExecutor(threads) as pool:
        chunks = list(pool.map(lambda runs: build_chunk(runs, counts), chunks_of(counts))) if top > 1 else []
        # Occurrences of which only the token is known; in a model of order 1, all.
        alone = counts.windows(1)
        unigram_counts = np.zeros(counts.vocab_size, np.int64)
        unigram_counts[alone.words_WN[0].astype(np.int64)] = alone.counts_N
        unigram_counts += sum(chunk.continuations_V for chunk in chunks)

        discounts: list[Discounts] = []
        notes: list[str] = []
        for n in range(1, top + 1):
            if n == 1:
                tally = [int(np.count_nonzero(unigram_counts == i)) for i in (1, 2, 3, 4)]
            else:
                tally = np.sum([chunk.tallies[n - 2] for chunk in chunks], axis=0).tolist()
            possible = discounts_of(*tally)
            discounts.append(possible or FALLBACK_DISCOUNTS)
            if not possible and counts.total:
                notes.append(
                    f"order {n}: counts of counts {tally} give no possible discounts; "
                    f"used {FALLBACK_DISCOUNTS} instead"
                )

        trie = Trie.allocate(counts.vocab_size, top, [chunk.sizes for chunk in chunks])
        for _ in pool.map(
            lambda job: _fill_chunk(trie, job[0], job[1], counts, discounts), enumerate(chunks)
        ):
            pass
    trie.close()
    return trie, _unigram(unigram_counts, discounts[0]), discounts, notes


def _unigram(counts_V: NDArray[np.int64], discounts: Discounts) -> NDArray[np.float64]:
    vocab, total = len(counts_V), int(counts_V.sum())
    if not total:
        return np.full(vocab, 1 / vocab)
    taken = np.array((0.0, *discounts))[np.minimum(counts_V, 3)]
    result: NDArray[np.float64] = (counts_V - taken) / total + taken.sum() / total / vocab
    return result


def _fill_chunk(trie: Trie, at: int, chunk: Chunk, counts: NgramCounts, discounts: list[Discounts]) -> None:
    main = longest(chunk.runs, counts)
    top, _ = make_level(main.words_WN, main.counts_N, main.order, main.bits, None)
    _fill(trie, top, main.order, at, discounts[-1])
    while chunk.levels:
        # Let go of each level once it is written: both forms of all of them need not fit in memory.
        order = len(chunk.levels) + 1
        _fill(trie, chunk.levels.pop(), order, at, discounts[order - 1])


def _fill(trie: Trie, level: Level, order: int, chunk: int, discounts: Discounts) -> None:
    """Writes one level of one chunk: discounted probabilities, and what is left for the order below."""
    values, width = level.values_N, level.width_M
    kind = np.minimum(values, 3)
    ends = np.cumsum(width, dtype=np.int64) - 1

    def sums(x: NDArray[np.int64]) -> NDArray[np.int64]:
        upto: NDArray[np.int64] = np.cumsum(x)[ends]
        return np.diff(upto, prepend=np.int64(0))

    total = sums(values.astype(np.int64))
    packed = sums(np.array([0, 1 << 32, 1, 0], np.int64)[kind])
    ones, twos = packed >> 32, packed & 0xFFFFFFFF
    d1, d2, d3 = discounts
    left = (d1 * ones + d2 * twos + d3 * (width - ones - twos)) / total
    mass = (values - np.array((0.0, d1, d2, d3))[kind]) * np.repeat(1.0 / total, width)
    trie.put(order, chunk, level, mass, left, total)
