"""From windows to one table an order: the counts that Kneser-Ney uses, chunk by chunk.

Keys begin with the most recent context token a_1, and all orders keep it, so the n-grams of one range of a_1 can be
taken through all orders by themselves: in the cache, and by several threads.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.ngram import keys as k
from regrow.ngram.counts import NgramCounts
from regrow.ngram.runs import Counts, Run, join_runs
from regrow.ngram.sorted_keys import locate

_CHUNK = 1 << 18  # n-grams of the longest order in a chunk
Unsigned = NDArray[np.unsignedinteger[Any]]


@dataclasses.dataclass(frozen=True)
class Level:
    """One order within one chunk, by ascending key; unsigned integers as narrow as they can be.

    `values_N`: the counts used at this order, raw or continuation; `token_N`: the predicted tokens; and of each
    context `width_M`: its successors, `oldest_M`: its oldest token, `children_M`: the contexts one token longer.
    """

    values_N: Unsigned
    token_N: NDArray[np.uint16]
    width_M: Unsigned
    oldest_M: NDArray[np.uint16]
    children_M: Unsigned


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The windows of one range of a_1, by order (`runs[n]`), and what was made of them.

    `levels[n - 2]` for orders 2 .. max_order - 1; the longest order is cheap to make again from its windows, and most
    of the memory. `sizes[n - 2]` = (n-grams, contexts) for all orders; `tallies[n - 2]`: how many n-grams have the
    value 1, 2, 3 and 4; `continuations_V`: distinct left contexts of each token.
    """

    runs: tuple[Run, ...]
    levels: list[Level]
    sizes: list[tuple[int, int]]
    tallies: list[tuple[int, int, int, int]]
    continuations_V: NDArray[np.int64]


def chunks_of(counts: NgramCounts) -> Iterator[tuple[Run, ...]]:
    """The windows cut by a_1 into chunks of about `_CHUNK`. The cuts depend on the counts alone."""
    runs = [counts.windows(max(n, 1)) for n in range(counts.max_order + 1)]
    edges = [_edges(run) for run in runs[2:]]
    weight = np.sum(edges, axis=0)
    cuts = [0]
    for a in range(1, len(weight)):
        if weight[a] - weight[cuts[-1]] >= _CHUNK or a == len(weight) - 1:
            cuts.append(a)
    for lo, hi in itertools.pairwise(cuts):
        parts = [run.slice(int(edge[lo]), int(edge[hi])) for run, edge in zip(runs[2:], edges, strict=True)]
        yield (*(run.slice(0, 0) for run in runs[:2]), *parts)


def build_chunk(runs: tuple[Run, ...], counts: NgramCounts) -> Chunk:
    """Takes one chunk through the orders, longest first."""
    top, bits = counts.max_order, counts.bits
    extras = _extras(runs, counts)
    main = longest(runs, counts)
    words: k.U64 = main.words_WN
    values: Counts = main.counts_N
    parents: tuple[k.U64, Unsigned] | None = None
    levels: list[Level] = []
    sizes: list[tuple[int, int]] = []
    tallies: list[tuple[int, int, int, int]] = []
    for n in range(top, 1, -1):
        if n < top:
            words, values = _shorten(words, n, bits, extras[n])
        level, contexts = make_level(words, values, n, bits, parents)
        if n > 2:
            shorter = k.drop_last(contexts, n - 1, bits)
            starts = k.run_starts(shorter)
            parents = np.take(shorter, starts, axis=1), _narrow(np.diff(starts, append=shorter.shape[1]))
        ones, twos, threes, fours = (int(np.count_nonzero(level.values_N == i)) for i in (1, 2, 3, 4))
        tallies.append((ones, twos, threes, fours))
        sizes.append((len(level.values_N), len(level.width_M)))
        if n < top:
            levels.append(level)
    continuations = np.bincount(level.token_N, minlength=counts.vocab_size)
    return Chunk(runs, levels[::-1], sizes[::-1], tallies[::-1], continuations)


def longest(runs: tuple[Run, ...], counts: NgramCounts) -> Run:
    """The n-grams of the longest order: its windows without those filled up left of a document's start."""
    main = runs[counts.max_order]
    filled = counts.filled(main.words_WN, main.order)
    return main.select(~filled) if filled.any() else main


def make_level(
    words: k.U64, values: Counts, order: int, bits: int, parents: tuple[k.U64, Unsigned] | None
) -> tuple[Level, k.U64]:
    """The level of these n-grams, and the keys of its contexts.

    `parents`: the contexts, of this order, of the next order's contexts, and how many each has.
    """
    contexts = k.drop_last(words, order, bits)
    first = k.run_starts(contexts)
    contexts = np.take(contexts, first, axis=1)
    children: Unsigned = np.zeros(len(first), np.uint16)
    if parents is not None and len(parents[1]) == len(first):
        children = parents[1]
    elif parents is not None:
        # Some contexts have none: those that begin with BOS, and those known no further to the left.
        children = np.zeros(len(first), parents[1].dtype)
        children[locate(contexts, parents[0])[0]] = parents[1]
    mask = np.uint64((1 << bits) - 1)
    level = Level(
        _narrow(values),
        (words[-1] & mask).astype(np.uint16),
        _narrow(np.diff(first, append=len(values))),
        (contexts[-1] & mask).astype(np.uint16),
        children,
    )
    return level, contexts


def _shorten(words: k.U64, order: int, bits: int, extra: Run | None) -> tuple[k.U64, Counts]:
    """The n-grams of `order` that end those of the order above, with their continuation counts."""
    words = k.drop_oldest(words, order + 1, bits)
    if extra is not None:
        words = np.hstack((words, extra.words_WN))
    words = k.sort_words(words, order, bits)
    starts = k.run_starts(words)
    values = np.diff(starts, append=words.shape[1]).astype(np.uint32)
    words = np.take(words, starts, axis=1)
    if extra is not None:
        values[locate(words, extra.words_WN)[0]] += extra.counts_N - np.uint32(1)
    return words, values


def _extras(runs: tuple[Run, ...], counts: NgramCounts) -> list[Run | None]:
    """By order, the n-grams whose raw count stands where others have a number of distinct left contexts.

    These are n-grams that begin with BOS (nothing can stand to their left, so they keep their raw counts, as in
    KenLM), and occurrences known no further to the left: each stands for a left context of its own.
    """
    top, bits = counts.max_order, counts.bits
    gathered: list[list[Run]] = [[] for _ in range(top + 1)]
    for m in range(top, 1, -1):
        filled = counts.filled(runs[m].words_WN, m)
        if m < top:
            gathered[m].append(runs[m].select(~filled))
        rest, order = runs[m].select(filled), m
        while len(rest):
            # Shorten until the BOS that is left is the only one, and so the oldest token.
            order -= 1
            rest = Run(order, bits, k.drop_oldest(rest.words_WN, order + 1, bits), rest.counts_N)
            filled = counts.filled(rest.words_WN, order)
            gathered[order].append(rest.select(~filled))
            rest = rest.select(filled)
    return [join_runs(found) for found in gathered]


def _edges(run: Run) -> k.Index:
    """Where each a_1 begins among the keys of a run, and where the last one ends."""
    shift = run.bits * (k.word_sizes(run.order, run.bits)[0] - 1)
    marks = np.arange(1 << run.bits, dtype=np.uint64) << np.uint64(shift)
    return np.append(np.searchsorted(run.words_WN[0], marks), len(run))


def _narrow(x: NDArray[Any]) -> Unsigned:
    narrow: Unsigned = x.astype(np.min_scalar_type(int(x.max(initial=0))))
    return narrow
