"""From windows to one table an order: the counts that Kneser-Ney uses, chunk by chunk.

Keys begin with the most recent context token a_1, and all orders keep it, so the windows of one range of a_1 can be
taken through all orders by themselves: in the cache, and by several threads.

Sorted windows are a trie already: how many leading context tokens a window shares with the one before it (its *link*)
says where every context of every length begins. So an order is made from the order above without looking at a key
again: contexts that share all but their oldest token lie side by side, and the n-grams of the shorter context are the
union of theirs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import compile_kernel
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.runs import Run
from regrow.ngram.counts.windows import Windows, windows_of

_CHUNK = 1 << 17  # windows in a chunk: its arrays then stay in a core's cache


@dataclasses.dataclass(frozen=True)
class Level:
    """One order of one chunk, by ascending key. M contexts, N n-grams.

    `start_M1` int32: where each context's successors begin; `token_N` uint16: the predicted tokens; `value_N` uint32:
    the counts used at this order, raw or continuation; and of each context `first_M` int32: its first window in the
    chunk, `link_M` uint8: that window's link, `children_M` int32: the contexts one token longer.
    """

    order: int
    start_M1: NDArray[np.int32]
    token_N: NDArray[np.uint16]
    value_N: NDArray[np.uint32]
    first_M: NDArray[np.int32]
    link_M: NDArray[np.uint8]
    children_M: NDArray[np.int32]


def chunks_of(counts: NgramCounts) -> Iterator[tuple[int, int, tuple[Run, ...]]]:
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


def levels_of(runs: tuple[Run, ...], counts: NgramCounts) -> tuple[Windows, list[Level]]:
    """One chunk's windows, and its levels of orders max_order .. 2, longest first."""
    windows = windows_of(runs, counts)
    kernel = _level_kernel()
    tally = np.zeros(counts.vocab_size, np.uint32)
    touched = np.empty(counts.vocab_size, np.uint16)
    levels: list[Level] = []
    above = Level(
        counts.max_order + 1, np.zeros(1, np.int32), np.empty(0, np.uint16), np.empty(0, np.uint32),
        np.empty(0, np.int32), np.empty(0, np.uint8), np.empty(0, np.int32),
    )  # fmt: skip
    for order in range(counts.max_order, 1, -1):
        direct = windows.of_depth(order - 1)
        contexts, grams = len(above.first_M) + len(direct), len(above.token_N) + len(direct)
        made = Level(
            order, np.empty(contexts + 1, np.int32), np.empty(grams, np.uint16), np.empty(grams, np.uint32),
            np.empty(contexts, np.int32), np.empty(contexts, np.uint8), np.empty(contexts, np.int32),
        )  # fmt: skip
        found = kernel(
            order - 1, direct, windows.token_N, windows.count_N, windows.link_N,
            above.first_M, above.link_M, above.start_M1, above.token_N,
            made.first_M, made.link_M, made.children_M, made.start_M1, made.token_N, made.value_N,
            tally, touched,
        )  # fmt: skip
        size = int(made.start_M1[found])
        above = Level(
            order, made.start_M1[: found + 1], made.token_N[:size], made.value_N[:size],
            made.first_M[:found], made.link_M[:found], made.children_M[:found],
        )  # fmt: skip
        levels.append(above)
    return windows, levels


def _level(
    length: int,
    direct: Any,
    token_N: Any,
    count_N: Any,
    link_N: Any,
    child_first: Any,
    child_link: Any,
    child_start: Any,
    child_token: Any,
    first: Any,
    link: Any,
    children: Any,
    start: Any,
    token: Any,
    value: Any,
    tally: Any,
    touched: Any,
) -> int:
    """Contexts of `length` tokens from those one token longer and from the windows known just so far; how many.

    A token's value is the number of longer contexts it follows plus what was counted in the windows themselves:
    raw counts where nothing can stand to the left (the longest order; a context that begins with BOS), and one left
    context of its own for each occurrence that is known no further.
    """
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
            if several > 24:
                touched[:several].sort()
            else:
                for a in range(1, several):
                    w, b = touched[a], a
                    while b > 0 and touched[b - 1] > w:
                        touched[b] = touched[b - 1]
                        b -= 1
                    touched[b] = w
            for a in range(several):
                w = touched[a]
                token[out], value[out] = w, tally[w]
                out += 1
                tally[w] = 0
    start[contexts] = out
    return contexts


@functools.cache
def _level_kernel() -> Callable[..., int]:
    i32, u8, u16, u32 = "int32[::1]", "uint8[::1]", "uint16[::1]", "uint32[::1]"
    windows = f"{i32}, {u16}, {u32}, {u8}"
    above = f"{i32}, {u8}, {i32}, {u16}"
    made = f"{i32}, {u8}, {i32}, {i32}, {u16}, {u32}"
    return compile_kernel(_level, f"int64(int64, {windows}, {above}, {made}, {u32}, {u16})")


def _edges(run: Run, vocab_size: int) -> k.Index:
    """Where each a_1 begins among the keys of a run, and where the last one ends."""
    shift = run.bits * (k.word_sizes(run.order, run.bits)[0] - 1)
    marks = np.arange(vocab_size, dtype=np.uint64) << np.uint64(shift)
    return np.append(np.searchsorted(run.words_WN[0], marks), len(run))
