"""Interpolated modified Kneser-Ney estimation from exact counts (Chen and Goodman 1998, section 3)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from regrow.ngram import keys as k
from regrow.ngram.counts import NgramCounts
from regrow.ngram.runs import Counts, Run
from regrow.ngram.sorted_keys import locate
from regrow.ngram.trie import Trie

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
_CHUNK = 1 << 18  # n-grams of the longest order a step works on: its arrays stay in the cache


@dataclasses.dataclass(frozen=True)
class _Extra:
    """N-grams whose count is not (only) a number of distinct left contexts, ascending; weights_N uint32."""

    words: k.U64
    weights: Counts


@dataclasses.dataclass
class _Level:
    """One order within one chunk. `values_N`: counts that are used at this order (raw or continuation)."""

    values_N: Counts
    token_N: NDArray[np.uint16]
    width_M: NDArray[np.int32]  # successors of each context
    oldest_M: NDArray[np.uint16]
    children_M: NDArray[np.int32]  # contexts of the next order under each context


def discounts_of(ones: int, twos: int, threes: int, fours: int) -> tuple[float, float, float] | None:
    """D1, D2, D3+ from how many n-grams were counted 1, 2, 3 and 4 times; None where they are impossible.

    Possible means 0 < D_j <= j: a discount of zero would leave nothing for the lower orders.
    """
    n = (ones, twos, threes, fours)
    if 0 in n[:3]:
        return None
    y = ones / (ones + 2 * twos)
    d = tuple(j - (j + 1) * y * n[j] / n[j - 1] for j in (1, 2, 3))
    if any(not 0 < dj <= j for j, dj in enumerate(d, 1)):
        return None
    return d[0], d[1], d[2]


def estimate(
    counts: NgramCounts, threads: int
) -> tuple[Trie, NDArray[np.float64], list[tuple[float, ...]], list[str]]:
    """The backoff trie, the unigram distribution float64 [V], the discounts of orders 1.. and notes about
    fallbacks.
    """
    top, vocab, bits = counts.max_order, counts.vocab_size, counts.bits
    main, extras = _split_starts(counts)
    unigram_counts = np.zeros(vocab, np.int64)
    chunks: list[list[_Level]] = []
    if top > 1:
        with ThreadPoolExecutor(threads) as pool:
            chunks = list(
                pool.map(lambda job: _build_chunk(job[0], job[1], bits), _chunks(main, extras, bits))
            )
        for chunk in chunks:
            unigram_counts += np.bincount(chunk[0].token_N, minlength=vocab)
    else:
        unigram_counts[main.words_WN[0].astype(np.int64)] = main.counts_N
    if extras[1] is not None:
        np.add.at(unigram_counts, extras[1].words[0].astype(np.int64), extras[1].weights)

    notes: list[str] = []
    discounts: list[tuple[float, ...]] = []
    for n in range(1, top + 1):
        values = [unigram_counts] if n == 1 else [chunk[n - 2].values_N for chunk in chunks]
        tally = [sum(int(np.count_nonzero(v == i)) for v in values) for i in (1, 2, 3, 4)]
        found = discounts_of(*tally)
        if found is None and any(len(v) and v.any() for v in values):
            notes.append(
                f"order {n}: counts of counts {tally} give no possible discounts; "
                f"used {FALLBACK_DISCOUNTS} instead"
            )
        discounts.append(found or FALLBACK_DISCOUNTS)

    trie = Trie.allocate(
        vocab, [[(len(lv.values_N), len(lv.width_M)) for lv in chunk] for chunk in chunks], top
    )
    # Each level is let go as soon as it is written: both forms of all of them need not fit in memory.
    jobs = ((chunk.pop(), n, c) for c, chunk in enumerate(chunks) for n in range(top, 1, -1))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda job: _fill(trie, job[0], job[1], job[2], discounts[job[1] - 1]), jobs))
    trie.close()
    return trie, _unigram(unigram_counts, discounts[0]), discounts, notes


def _unigram(counts_V: NDArray[np.int64], discounts: tuple[float, ...]) -> NDArray[np.float64]:
    vocab, total = len(counts_V), int(counts_V.sum())
    if not total:
        return np.full(vocab, 1 / vocab)
    taken = np.array((0.0, *discounts))[np.minimum(counts_V, 3)]
    result: NDArray[np.float64] = (counts_V - taken) / total + taken.sum() / total / vocab
    return result


def _split_starts(counts: NgramCounts) -> tuple[Run, list[_Extra | None]]:
    """The n-grams of the longest order, and by order those whose raw count must be used below it.

    These are n-grams that begin with BOS (nothing can stand to their left, so they keep their raw counts, as
    in KenLM), and occurrences known no further to the left: each stands for a left context of its own.
    """
    top, bits = counts.max_order, counts.bits
    gathered: list[list[Run]] = [[] for _ in range(top + 1)]
    main = counts.windows(top)
    for m in range(top, 0, -1):
        run = counts.windows(m)
        filled = counts.filled(run.words_WN, m)
        if m < top:
            gathered[m].append(run.select(~filled))
        elif filled.any():
            main = run.select(~filled)
        rest = run.select(filled)
        order = m
        while len(rest):
            # Shorten until the BOS that is left is the only one, and so the oldest token.
            rest, order = (
                Run(order - 1, bits, k.drop_oldest(rest.words_WN, order, bits), rest.counts_N),
                order - 1,
            )
            filled = counts.filled(rest.words_WN, order)
            gathered[order].append(rest.select(~filled))
            rest = rest.select(filled)
    extras: list[_Extra | None] = [None] * (top + 1)
    for m in range(1, top):
        runs = [run for run in gathered[m] if len(run)]
        if runs:
            words = np.hstack([run.words_WN for run in runs])
            weights = np.concatenate([run.counts_N for run in runs])
            perm = k.argsort_words(words, m, bits)
            extras[m] = _Extra(np.take(words, perm, axis=1), weights[perm])
    return main, extras


def _chunks(main: Run, extras: list[_Extra | None], bits: int) -> Iterator[tuple[Run, list[_Extra | None]]]:
    """Cuts the n-grams by their a_1 into chunks of about `_CHUNK`; the cuts depend on the counts alone."""
    marks = np.arange((1 << bits) + 1, dtype=np.uint64)
    edges = _edges(main.words_WN, main.order, bits, marks)
    spans = [None if e is None or n < 2 else _edges(e.words, n, bits, marks) for n, e in enumerate(extras)]
    weight = edges + sum(s for s in spans if s is not None)
    cuts = [0]
    for a in range(1, len(marks)):
        if weight[a] - weight[cuts[-1]] >= _CHUNK or a == len(marks) - 1:
            cuts.append(a)
    for lo, hi in itertools.pairwise(cuts):
        part = slice(edges[lo], edges[hi])
        cut: list[_Extra | None] = []
        for e, s in zip(extras, spans, strict=True):
            at = None if s is None else slice(s[lo], s[hi])
            cut.append(
                None
                if e is None or at is None or at.start == at.stop
                else _Extra(e.words[:, at], e.weights[at])
            )
        yield Run(main.order, bits, main.words_WN[:, part], main.counts_N[part]), cut


def _edges(words: k.U64, order: int, bits: int, marks: k.U64) -> k.Index:
    shift = bits * (k.word_sizes(order, bits)[0] - 1)
    ends = np.searchsorted(words[0], marks[:-1] << np.uint64(shift))
    return np.append(ends, words.shape[1])


def _build_chunk(main: Run, extras: list[_Extra | None], bits: int) -> list[_Level]:
    """The levels of orders 2.. within one chunk."""
    levels: list[_Level] = []
    words, values = main.words_WN, main.counts_N
    parents: k.U64 | None = None  # contexts of order n that have children, and how many
    child_counts = np.empty(0, np.int32)
    for n in range(main.order, 1, -1):
        if n < main.order:
            words, values = _shorten(words, n, bits, extras[n])
        contexts = k.drop_last(words, n, bits)
        first = k.run_starts(contexts)
        contexts = np.take(contexts, first, axis=1)
        if parents is None:
            children = np.zeros(len(first), np.int32)
        elif len(child_counts) == len(first):
            children = child_counts
        else:
            at, _ = locate(contexts, parents)
            children = np.zeros(len(first), np.int32)
            children[at] = child_counts
        mask = np.uint64((1 << bits) - 1)
        token, oldest = (words[-1] & mask).astype(np.uint16), (contexts[-1] & mask).astype(np.uint16)
        width = np.diff(first, append=len(values)).astype(np.int32)
        levels.append(_Level(values, token, width, oldest, children))
        if n > 2:
            parents = k.drop_last(contexts, n - 1, bits)
            starts = k.run_starts(parents)
            child_counts = np.diff(starts, append=len(first)).astype(np.int32)
            parents = np.take(parents, starts, axis=1)
    return levels[::-1]


def _shorten(words: k.U64, order: int, bits: int, extra: _Extra | None) -> tuple[k.U64, Counts]:
    """The n-grams of `order` that end those of the order above, with their continuation counts."""
    words = k.drop_oldest(words, order + 1, bits)
    if extra is not None:
        words = np.hstack((words, extra.words))
    words = k.sort_words(np.ascontiguousarray(words), order, bits)
    starts = k.run_starts(words)
    values = np.diff(starts, append=words.shape[1]).astype(np.uint32)
    words = np.take(words, starts, axis=1)
    if extra is not None:
        at, _ = locate(words, extra.words)
        np.add.at(values, at, extra.weights - np.uint32(1))
    return words, values


def _fill(trie: Trie, level: _Level, order: int, chunk: int, discounts: tuple[float, ...]) -> None:
    """Writes one level of one chunk into the trie: discounted probabilities and what is left for the lower
    order.
    """
    values, width = level.values_N, level.width_M
    kind = np.minimum(values, np.uint32(3))
    ends = np.cumsum(width) - 1

    def sums(x: NDArray[np.int64]) -> NDArray[np.int64]:
        running = np.cumsum(x)
        upto: NDArray[np.int64] = running[ends]
        return np.diff(upto, prepend=np.int64(0))

    total = sums(values.astype(np.int64))
    packed = sums(np.array([0, 1 << 32, 1, 0], np.int64)[kind])
    ones, twos = packed >> 32, packed & 0xFFFFFFFF
    d1, d2, d3 = discounts
    left = (d1 * ones + d2 * twos + d3 * (width - ones - twos)) / total
    mass = (values - np.array((0.0, d1, d2, d3))[kind]) * np.repeat(1.0 / total, width)
    trie.put(order, chunk, level.token_N, mass, width, level.oldest_M, level.children_M, left, total)
