"""Interpolated modified Kneser-Ney estimation from exact counts (Chen and Goodman 1998, section 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.ngram.counts.levels import chunks_of, levels_of, oldest_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.runs import SortedRun
from regrow.ngram.model.backoff_trie import Place, Trie, allocate, put
from regrow.ngram.model.masses import unigram_of

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
Discounts = tuple[float, ...]


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


def check_discounts(discounts: Sequence[Discounts], max_order: int) -> None:
    """Raises NgramError unless 0 < D(c) <= c for every order and count. An order with none is estimated."""
    if len(discounts) != max_order:
        raise NgramError(f"discounts are of {len(discounts)} orders; give them for orders 1 to {max_order}")
    for order, of_order in enumerate(discounts, 1):
        if not all(0 < d <= c for c, d in enumerate(of_order, 1)):
            raise NgramError(f"discounts {of_order} of order {order} are impossible; give 0 < D(c) <= c")


def estimate(
    counts: NgramCounts, threads: int, given: Sequence[Discounts] | None = None
) -> tuple[Trie, NDArray[np.float64], list[Discounts], list[str]]:
    """The backoff trie, the unigram distribution float64 [V], the discounts of orders 1.. (those given), and notes.

    Two passes over chunks of the windows: the first tells how many n-grams were counted 1, 2, 3 and 4 times, which
    fixes the discounts and the trie's layout, the second writes it. Making the levels twice costs less than keeping
    them.
    """
    top = counts.max_order
    if given is not None:
        check_discounts(given, top)
    chunks = list(chunks_of(counts)) if top > 1 else []
    with ThreadPoolExecutor(threads) as pool:
        tallies = list(pool.map(lambda chunk: _tally(chunk[2], counts), chunks))
        # Occurrences of which only the token is known; in a model of order 1, all.
        alone = counts.windows(1)
        unigram_counts = np.zeros(counts.vocab_size, np.int64)
        unigram_counts[alone.words_WN[0].astype(np.int64)] = alone.counts_N
        unigram_counts += sum(tally.continuations_V for tally in tallies)

        discounts: list[Discounts] = []
        notes: list[str] = []
        for n in range(1, top + 1):
            if n == 1:
                times = [int(np.count_nonzero(unigram_counts == i)) for i in (1, 2, 3, 4)]
            else:
                times = np.sum([tally.times[n - 2] for tally in tallies], axis=0).tolist()
            possible = (given[n - 1] if given else None) or discounts_of(*times)
            discounts.append(possible or FALLBACK_DISCOUNTS)
            if not possible and counts.total:
                notes.append(
                    f"order {n}: counts of counts {times} give no possible discounts; "
                    f"used {FALLBACK_DISCOUNTS} instead"
                )

        trie, places = allocate(counts.vocab_size, top, [tally.sizes for tally in tallies])

        def fill(at: int) -> None:
            low, high, runs = chunks[at]
            windows, levels = levels_of(runs, counts)
            for level in levels:
                n = level.order
                place = Place(low, high, *places[at][n - 2], places[at][n - 1][1])
                discount_c = np.array((0.0, *discounts[n - 1]))
                put(level, oldest_of(level, windows, counts), discount_c, place, trie)

        for _ in pool.map(fill, range(len(chunks))):
            pass
    return trie, unigram_of(unigram_counts, discounts[0]), discounts, notes


@dataclasses.dataclass(frozen=True)
class _Tally:
    """Of one chunk: `sizes[n - 2]` = (n-grams, contexts), `times[n - 2]`: n-grams of value 1, 2, 3 and 4, and
    `continuations_V`: distinct left contexts of each token."""

    sizes: list[tuple[int, int]]
    times: list[list[int]]
    continuations_V: NDArray[np.int64]


def _tally(runs: tuple[SortedRun, ...], counts: NgramCounts) -> _Tally:
    levels = levels_of(runs, counts)[1][::-1]
    return _Tally(
        [(len(level.token_N), len(level.first_M)) for level in levels],
        [np.bincount(np.minimum(level.value_N, 5), minlength=6)[1:5].tolist() for level in levels],
        np.bincount(levels[0].token_N, minlength=counts.vocab_size),
    )
