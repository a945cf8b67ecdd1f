"""From windows to one table an order: the counts that Kneser-Ney uses, chunk by chunk.

Keys begin with the most recent context token a_1, and all orders keep it, so the windows of one range of a_1 can be
taken through all orders by themselves: in the cache, and by several threads.

Sorted windows are a trie already: how many leading context tokens a window shares with the one before it (its *link*)
says where every context of every length begins. So an order is made from the order above without looking at a key
again: contexts that share all but their oldest token lie side by side, and the n-grams of the shorter context are the
union of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import I32x1, U8x1, U16x1, U32x1, kernel
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.runs import SortedRun
from regrow.ngram.counts.sorted_keys import sort_few
from regrow.ngram.counts.windows import Windows, windows_of

_CHUNK = 1 << 17  # windows in a chunk: its arrays then stay in a core's cache


class Level(NamedTuple):
    """One order of one chunk, by ascending key. M contexts, N n-grams.

    `start_M1` int32: where each context's successors begin; `token_N` uint16: the predicted tokens; `value_N` uint32:
    the counts used at this order, raw or continuation; and of each context `first_M` int32: its first window in the
    chunk, `link_M` uint8: that window's link, `children_M` int32: the contexts one token longer.
    """

    order: int
    start_M1: I32x1
    token_N: U16x1
    value_N: U32x1
    first_M: I32x1
    link_M: U8x1
    children_M: I32x1

    @classmethod
    def empty(cls, order: int, contexts: int, grams: int) -> Level:
        """A level not yet filled in, of at most so many contexts and n-grams."""
        return cls(
            order, np.zeros(contexts + 1, np.int32), np.empty(grams, np.uint16), np.empty(grams, np.uint32),
            np.empty(contexts, np.int32), np.empty(contexts, np.uint8), np.empty(contexts, np.int32),
        )  # fmt: skip

    def cut(self, contexts: int) -> Level:
        """Its first contexts."""
        start_M1, grams = self.start_M1[: contexts + 1], self.start_M1[contexts]
        return Level(
            self.order, start_M1, self.token_N[:grams], self.value_N[:grams], self.first_M[:contexts],
            self.link_M[:contexts], self.children_M[:contexts],
        )  # fmt: skip


def chunks_of(counts: NgramCounts) -> Iterator[tuple[int, int, tuple[SortedRun, ...]]]:
    """The windows cut by a_1 into chunks of about `_CHUNK`: (first a_1, its end, the runs of orders 2 ..).

    The cuts depend on the counts alone.
    """
    runs = [counts.windows(n) for n in range(2, counts.max_order + 1)]
    edges = [_edges(run, counts.vocab_size) for run in runs]
    weight = np.sum(edges, axis=0)
    low = 0
    for a in range(1, len(weight)):
        if weight[a] - weight[low] >= _CHUNK or a == len(weight) - 1:
            yield low, a, tuple(r.slice(int(e[low]), int(e[a])) for r, e in zip(runs, edges, strict=True))
            low = a


def levels_of(runs: tuple[SortedRun, ...], counts: NgramCounts) -> tuple[Windows, list[Level]]:
    """One chunk's windows, and its levels of orders max_order .. 2, longest first."""
    windows = windows_of(runs, counts)
    tally = np.zeros(counts.vocab_size, np.uint32)
    levels: list[Level] = []
    above = Level.empty(counts.max_order + 1, 0, 0)
    for order in range(counts.max_order, 1, -1):
        direct = windows.of_depth(order - 1)
        made = Level.empty(order, len(above.first_M) + len(direct), len(above.token_N) + len(direct))
        above = made.cut(_level(direct, windows.token_N, windows.count_N, windows.link_N, above, made, tally))
        levels.append(above)
    return windows, levels


def oldest_of(level: Level, windows: Windows, counts: NgramCounts) -> NDArray[np.uint16]:
    """The oldest token of each context of a level: uint16 [M]."""
    oldest = k.field(windows.words_WN, counts.max_order, counts.bits, level.order - 1, level.first_M)
    return oldest.astype(np.uint16)


@kernel
def _level(
    direct: I32x1, token_N: U16x1, count_N: U32x1, link_N: U8x1, above: Level, made: Level, tally: U32x1
) -> int:
    """Contexts of one order from those one token longer and from the windows known just so far; how many.

    A token's value is the number of longer contexts it follows plus what was counted in the windows themselves:
    raw counts where nothing can stand to the left (the longest order; a context that begins with BOS), and one left
    context of its own for each occurrence that is known no further.
    """
    length = made.order - 1
    child_first, child_link = above.first_M, above.link_M
    child_start, child_token = above.start_M1, above.token_N
    first, link, children = made.first_M, made.link_M, made.children_M
    start, token, value = made.start_M1, made.token_N, made.value_N
    touched = np.empty(len(tally), np.uint16)
    vocab = tally.shape[0]
    i, j, contexts, out = 0, 0, 0, 0
    while i < len(direct) or j < len(child_first):
        begin_i, begin_j = i, j
        head = -1
        # One context: everything up to a unit that shares fewer than `length` tokens with what stands before it.
        while i < len(direct) or j < len(child_first):
            own = j >= len(child_first) or (i < len(direct) and direct[i] < child_first[j])
            at = direct[i] if own else child_first[j]
            shared = link_N[at] if own else child_link[j]
            if head < 0:
                head = at
                link[contexts] = shared
            elif shared < length:
                break
            if own:
                i += 1
            else:
                j += 1
        first[contexts], children[contexts], start[contexts] = head, j - begin_j, out
        contexts += 1
        if i == begin_i and j - begin_j == 1:
            for e in range(child_start[begin_j], child_start[j]):
                token[out], value[out] = child_token[e], 1
                out += 1
            continue
        if j == begin_j:
            # Windows of one context come by ascending token; equal ones stand side by side.
            for q in range(begin_i, i):
                at = direct[q]
                if q > begin_i and token[out - 1] == token_N[at]:
                    value[out - 1] += count_N[at]
                else:
                    token[out], value[out] = token_N[at], count_N[at]
                    out += 1
            continue
        several = 0
        for e in range(child_start[begin_j], child_start[j]):
            w = child_token[e]
            if tally[w] == 0:
                touched[several] = w
                several += 1
            tally[w] += np.uint32(1)
        for q in range(begin_i, i):
            w = token_N[direct[q]]
            if tally[w] == 0:
                touched[several] = w
                several += 1
            tally[w] += count_N[direct[q]]
        if several * 8 > vocab:
            for w in range(vocab):
                if tally[w] != 0:
                    token[out], value[out] = w, tally[w]
                    out += 1
                    tally[w] = 0
        else:
            sort_few(touched, 0, several)
            for a in range(several):
                w = touched[a]
                token[out], value[out] = w, tally[w]
                out += 1
                tally[w] = 0
    start[contexts] = out
    return contexts


def _edges(run: SortedRun, vocab_size: int) -> k.Index:
    """Where each a_1 begins among the keys of a run, and where the last one ends."""
    shift = run.bits * (k.word_sizes(run.order, run.bits)[0] - 1)
    marks = np.arange(vocab_size, dtype=np.uint64) << np.uint64(shift)
    return np.append(np.searchsorted(run.words_WN[0], marks), len(run))
