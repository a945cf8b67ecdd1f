"""Every n-gram of a memory with the count its order uses, linked as the table form needs them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import I32x1, U16x1, U32x1, kernel
from regrow.ngram.counts.levels import chunks_of, levels_of, oldest_of
from regrow.ngram.counts.ngram_counts import NgramCounts

I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]


class Order(NamedTuple):
    """The n-grams of order `n`: C contexts by ascending key, E n-grams by context and then by token.

    `start_C1` int32: where each context's n-grams begin; `oldest_C` uint16: its oldest token; `token_E` uint16;
    `value_E` uint32: raw counts at the longest order and for contexts that begin with BOS, else how many contexts one
    token longer the token follows; `rest_C` uint32: counted after the context, of tokens that are not stored;
    `child_start_C1` int32: the contexts of the order above that are this one and an older token.

    Two links into the order below: `lower_E` int32, the same token after the context without its oldest token, and
    `head_C` int32, the n-gram that the context itself is (-1: it was not counted as one).

    Order 1 has one context, of no tokens, whose children are the V contexts of one token: those of order 2.
    """

    n: int
    start_C1: I32x1
    oldest_C: U16x1
    token_E: U16x1
    value_E: U32x1
    rest_C: U32x1
    child_start_C1: I32x1
    lower_E: I32x1
    head_C: I32x1

    @property
    def contexts(self) -> int:
        return len(self.oldest_C)

    @property
    def entries(self) -> int:
        return len(self.token_E)

    @property
    def context_E(self) -> NDArray[np.int64]:
        """The context of each n-gram."""
        return np.repeat(np.arange(self.contexts), np.diff(self.start_C1))


@dataclasses.dataclass
class Grams:
    """`orders[n - 1]` holds order n; orders 1 .. `max_order`."""

    vocab_size: int
    orders: list[Order]

    @property
    def max_order(self) -> int:
        return len(self.orders)

    @property
    def entries(self) -> int:
        """N-grams of orders 2 and up."""
        return sum(order.entries for order in self.orders[1:])


def first_order(value_V: NDArray[np.integer[Any]]) -> Order:
    """Order 1: the tokens whose count is not 0."""
    token = np.flatnonzero(value_V).astype(np.uint16)
    return Order(
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
            oldest = oldest_of(level, windows, counts)
            degree = np.diff(level.start_M1)
            parts[level.order].append((degree, oldest, level.token_N, level.value_N, level.children_M))
            if level.order == 2:
                unigram += np.bincount(level.token_N, minlength=vocab)
    orders = [first_order(unigram)]
    for n in range(2, top + 1):
        columns = [np.concatenate(column) for column in zip(*parts[n], strict=True)] or [
            np.empty(0, kind) for kind in (np.int32, np.uint16, np.uint16, np.uint32, np.int32)
        ]
        degree, oldest, token, value, children = columns
        parts[n] = []
        if n == 2:
            dense_degree, dense_children = np.zeros(vocab, np.int32), np.zeros(vocab, np.int32)
            dense_degree[oldest], dense_children[oldest] = degree, children
            degree, children, oldest = dense_degree, dense_children, np.arange(vocab).astype(np.uint16)
        rest, none = np.zeros(len(oldest), np.uint32), np.empty(0, np.int32)
        order = Order(n, starts(degree), oldest, token, value, rest, starts(children), none, none)
        lower_E = lower_links(vocab, orders[-1], order.start_C1, order.token_E)
        orders.append(order._replace(lower_E=lower_E, head_C=_heads(vocab, orders, order)))
    return Grams(vocab, orders)


def _heads(vocab: int, lower: list[Order], order: Order) -> I32:
    """`head_C` of an order whose tokens, contexts and parents are known; `lower`: all orders below it."""
    below = lower[-1]
    if order.n == 2:
        return first_heads(vocab, below)
    head_C = np.full(order.contexts, -1, np.int32)
    extended = extensions(lower[-2].entries, below)
    _find_heads(below, extended, below.child_start_C1[:-1].copy(), order.oldest_C, head_C)
    return head_C


def first_heads(vocab: int, unigrams: Order) -> I32:
    """`head_C` of order 2: the unigram that each context of one token is."""
    head_C = np.full(vocab, -1, np.int32)
    head_C[unigrams.token_E] = np.arange(unigrams.entries)
    return head_C


def extensions(entries_below: int, order: Order) -> I32:
    """Of each n-gram of the order below `order`: the context of `order` that it is, or -1."""
    extended = np.full(entries_below, -1, np.int32)
    known = order.head_C >= 0
    extended[order.head_C[known]] = np.flatnonzero(known)
    return extended


def lower_links(vocab: int, below: Order, start_C1: I32, token_E: NDArray[np.uint16]) -> I32:
    """`lower_E` of the order above `below`."""
    lower = np.empty(len(token_E), np.int32)
    _find_lower(below, start_C1, token_E, np.zeros(vocab, np.int32), lower)
    return lower


def starts(sizes: NDArray[Any]) -> I32:
    """Where each of several pieces begins, and where the last ends."""
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)


@kernel
def _find_lower(below: Order, start: I32x1, token: U16x1, place: I32x1, lower: I32x1) -> None:
    child_start, p_start, p_token = below.child_start_C1, below.start_C1, below.token_E
    for p in range(len(child_start) - 1):
        first, last = child_start[p], child_start[p + 1]
        if first == last:
            continue
        for e in range(p_start[p], p_start[p + 1]):
            place[p_token[e]] = e
        for e in range(start[first], start[last]):
            lower[e] = place[token[e]]


@kernel
def _find_heads(below: Order, extended: I32x1, at: I32x1, child_oldest: U16x1, head: I32x1) -> None:
    # An n-gram of context c is the context that extends `extended[lower]` by c's oldest token. Those of one parent
    # come by ascending oldest token, as its children do.
    child_start, oldest, start, lower = below.child_start_C1, below.oldest_C, below.start_C1, below.lower_E
    for c in range(len(oldest)):
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
