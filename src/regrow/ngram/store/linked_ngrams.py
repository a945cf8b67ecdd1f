"""Every n-gram of a memory with the count its order uses, linked as the table form needs them."""

from __future__ import annotations

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import compile_kernel
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.levels import chunks_of, levels_of
from regrow.ngram.counts.ngram_counts import NgramCounts

I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]


@dataclasses.dataclass
class Shelf:
    """The n-grams of one order: C contexts by ascending key, E n-grams by context and then by token.

    `start_C1` int32: where each context's n-grams begin; `oldest_C` uint16: its oldest token; `token_E` uint16;
    `value_E` uint32: raw counts at the longest order and for contexts that begin with BOS, else how many contexts one
    token longer the token follows; `rest_C` uint32: counted after the context, of tokens that are not stored;
    `child_start_C1` int32: the contexts of the shelf above that are this one and an older token.

    Two links into the shelf below: `lower_E` int32, the same token after the context without its oldest token, and
    `head_C` int32, the n-gram that the context itself is (-1: it was not counted as one).

    The shelf of order 1 has one context, of no tokens, whose children are the V contexts of one token: those of the
    shelf of order 2, seen or not.
    """

    order: int
    start_C1: I32
    oldest_C: NDArray[np.uint16]
    token_E: NDArray[np.uint16]
    value_E: U32
    rest_C: U32
    child_start_C1: I32
    lower_E: I32
    head_C: I32

    @property
    def contexts(self) -> int:
        return len(self.oldest_C)

    @property
    def entries(self) -> int:
        return len(self.token_E)


@dataclasses.dataclass
class Grams:
    """`shelves[n - 1]` holds order n; orders 1 .. `max_order`."""

    vocab_size: int
    shelves: list[Shelf]

    @property
    def max_order(self) -> int:
        return len(self.shelves)

    @property
    def entries(self) -> int:
        """N-grams of orders 2 and up."""
        return sum(shelf.entries for shelf in self.shelves[1:])


def root_shelf(value_V: NDArray[np.integer[Any]]) -> Shelf:
    """Order 1: the tokens whose count is not 0."""
    token = np.flatnonzero(value_V).astype(np.uint16)
    return Shelf(
        1, np.array([0, len(token)], np.int32), np.zeros(1, np.uint16), token, value_V[token].astype(np.uint32),
        np.zeros(1, np.uint32), np.array([0, len(value_V)], np.int32), np.zeros(len(token), np.int32),
        np.full(1, -1, np.int32),
    )  # fmt: skip


def grams_of(counts: NgramCounts) -> Grams:
    """The n-grams that estimation would see, with the counts it would use."""
    vocab, top = counts.vocab_size, counts.max_order
    alone = counts.windows(1)
    unigram = np.zeros(vocab, np.int64)
    unigram[alone.words_WN[0].astype(np.int64)] = alone.counts_N
    parts: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in range(top + 1)]
    for _, _, runs in chunks_of(counts) if top > 1 else ():
        windows, levels = levels_of(runs, counts)
        for level in levels:
            words = np.take(windows.words_WN, level.first_M, axis=1)
            oldest = k.field(words, top, counts.bits, level.order - 1).astype(np.uint16)
            parts[level.order].append(
                (np.diff(level.start_M1), oldest, level.token_N, level.value_N, level.children_M)
            )
            if level.order == 2:
                unigram += np.bincount(level.token_N, minlength=vocab)
    shelves = [root_shelf(unigram)]
    for order in range(2, top + 1):
        columns = [np.concatenate(column) for column in zip(*parts[order], strict=True)] or [
            np.empty(0, kind) for kind in (np.int32, np.uint16, np.uint16, np.uint32, np.int32)
        ]
        degree, oldest, token, value, children = columns
        parts[order] = []
        if order == 2:
            dense_degree, dense_children = np.zeros(vocab, np.int32), np.zeros(vocab, np.int32)
            dense_degree[oldest], dense_children[oldest] = degree, children
            degree, children, oldest = dense_degree, dense_children, np.arange(vocab).astype(np.uint16)
        shelves.append(
            Shelf(
                order,
                _starts(degree),
                oldest,
                token,
                value,
                np.zeros(len(oldest), np.uint32),
                _starts(children),
                np.empty(0, np.int32),
                np.empty(0, np.int32),
            )
        )
    grams = Grams(vocab, shelves)
    for below, shelf in itertools.pairwise(shelves):
        link(grams, below, shelf)
    return grams


def link(grams: Grams, below: Shelf, shelf: Shelf) -> None:
    """Fills in `lower_E` and `head_C` of a shelf whose tokens, contexts and parents are known."""
    shelf.lower_E = lower_links(grams.vocab_size, below, shelf.start_C1, shelf.token_E)
    if shelf.order == 2:
        shelf.head_C = np.full(grams.vocab_size, -1, np.int32)
        shelf.head_C[below.token_E] = np.arange(below.entries)
        return
    shelf.head_C = np.full(shelf.contexts, -1, np.int32)
    extended = extensions(grams.shelves[below.order - 2].entries, below)
    _heads_kernel()(
        below.start_C1, below.oldest_C, below.lower_E, extended, below.child_start_C1[:-1].copy(),
        below.child_start_C1, shelf.oldest_C, shelf.head_C,
    )  # fmt: skip


def extensions(entries_below: int, shelf: Shelf) -> I32:
    """Of each n-gram of the shelf below `shelf`: the context of `shelf` that it is, or -1."""
    extended = np.full(entries_below, -1, np.int32)
    known = shelf.head_C >= 0
    extended[shelf.head_C[known]] = np.flatnonzero(known)
    return extended


def lower_links(vocab: int, below: Shelf, start_C1: I32, token_E: NDArray[np.uint16]) -> I32:
    """`lower_E` of a shelf above `below`."""
    lower = np.empty(len(token_E), np.int32)
    _lower_kernel()(
        below.start_C1,
        below.token_E,
        below.child_start_C1,
        start_C1,
        token_E,
        np.zeros(vocab, np.int32),
        lower,
    )
    return lower


def _starts(sizes: NDArray[Any]) -> I32:
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)


def _lower(
    p_start: Any, p_token: Any, child_start: Any, start: Any, token: Any, place: Any, lower: Any
) -> None:
    for p in range(len(p_start) - 1):
        first, last = child_start[p], child_start[p + 1]
        if first == last:
            continue
        for e in range(p_start[p], p_start[p + 1]):
            place[p_token[e]] = e
        for e in range(start[first], start[last]):
            lower[e] = place[token[e]]


def _heads(
    start: Any,
    oldest: Any,
    lower: Any,
    extended: Any,
    at: Any,
    child_start: Any,
    child_oldest: Any,
    head: Any,
) -> None:
    # An n-gram of context c is the context that extends `extended[lower]` by c's oldest token. Those of one parent
    # come by ascending oldest token, as its children do.
    for c in range(len(start) - 1):
        for e in range(start[c], start[c + 1]):
            p = extended[lower[e]]
            if p < 0:
                continue
            j = at[p]
            while j < child_start[p + 1] and child_oldest[j] < oldest[c]:
                j += 1
            if j < child_start[p + 1] and child_oldest[j] == oldest[c]:
                head[j] = e
                j += 1
            at[p] = j


@functools.cache
def _lower_kernel() -> Callable[..., None]:
    i32, u16 = "int32[::1]", "uint16[::1]"
    return compile_kernel(_lower, f"void({i32}, {u16}, {i32}, {i32}, {u16}, {i32}, {i32})")


@functools.cache
def _heads_kernel() -> Callable[..., None]:
    i32, u16 = "int32[::1]", "uint16[::1]"
    return compile_kernel(_heads, f"void({i32}, {u16}, {i32}, {i32}, {i32}, {i32}, {u16}, {i32})")
