"""The backoff trie: contexts of all orders, what may extend each into the past, and what may follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.errors import NgramError
from regrow.core.jit import F32x1, F64x1, I32x1, U16x1, kernel
from regrow.ngram.counts.levels import Level
from regrow.ngram.model.masses import discounted

_INDEX_LIMIT = 2**31 - 1


class Trie(NamedTuple):
    """Contexts are numbered order by order; the context of order 2 made of token a is number a.

    Of each of the M contexts:
    `succ_start_M1` int32 [M+1]: its successors are entries succ_start[c] .. succ_start[c+1], by ascending token;
    `gamma_M` float32: the weight of the order below, so that it and the successors' masses sum to 1;
    `total_M` uint16: what was counted after it, at most 65535 (continuation counts below the longest order);
    `child_token_M` uint16: its oldest token;
    `child_start_P1` int32 [P+1], for the P contexts below the longest order: the contexts that extend it by one
    older token are child_start[c] .. child_start[c+1], by ascending token.

    Of each of the E n-grams of orders 2 and up:
    `succ_token_E` uint16: the predicted token; `succ_mass_E` float32: its discounted probability at its order.
    """

    vocab_size: int
    max_order: int
    child_start_P1: I32x1
    child_token_M: U16x1
    succ_start_M1: I32x1
    succ_token_E: U16x1
    succ_mass_E: F32x1
    gamma_M: F32x1
    total_M: U16x1

    @property
    def nbytes(self) -> int:
        return sum(v.nbytes for v in self if isinstance(v, np.ndarray))


class Place(NamedTuple):
    """Where a level of one chunk begins in the trie: its n-grams, its contexts, and the contexts one token longer; at
    order 2 contexts are numbered by their token, of which the chunk has `low` .. `high`."""

    low: int
    high: int
    entry: int
    context: int
    child: int


def check_size(entries: int, contexts: int) -> None:
    """Raises NgramError for more than a trie can number."""
    if max(entries, contexts) > _INDEX_LIMIT:
        raise NgramError(
            f"the memory has {max(entries, contexts)} entries, more than {_INDEX_LIMIT}; "
            "lower max_order or set cap_bytes"
        )


def allocate(
    vocab_size: int, max_order: int, sizes: Sequence[Sequence[tuple[int, int]]]
) -> tuple[Trie, list[list[tuple[int, int]]]]:
    """Room for levels of `sizes[chunk][order - 2]` = (n-grams, contexts), to be filled by `put`.

    Also where each begins: [chunk][order - 2] = (n-gram, context); at the longest order + 1, where all end.
    """
    entries, contexts, parents = 0, vocab_size, vocab_size
    places: list[list[tuple[int, int]]] = [[] for _ in sizes]
    for order in range(2, max_order + 1):
        parents = vocab_size if order == 2 else contexts
        for of_chunk, place in zip(sizes, places, strict=True):
            place.append((entries, contexts if order > 2 else 0))
            entries += of_chunk[order - 2][0]
            contexts += of_chunk[order - 2][1] if order > 2 else 0
    check_size(entries, contexts)
    for place in places:
        place.append((entries, contexts))
    trie = Trie(
        vocab_size, max_order, np.empty(parents + 1, np.int32), np.zeros(contexts, np.uint16),
        np.empty(contexts + 1, np.int32), np.empty(entries, np.uint16), np.empty(entries, np.float32),
        np.ones(contexts, np.float32), np.zeros(contexts, np.uint16),
    )  # fmt: skip
    # What no level writes: the ends, and a vocabulary of which no token was seen.
    trie.succ_start_M1[-1], trie.child_start_P1[-1] = entries, contexts
    if not sizes:
        trie.succ_start_M1[:], trie.child_start_P1[:] = 0, vocab_size
    return trie, places


@register_jitable
def find_token(start: Any, tokens: Any, node: Any, token: Any) -> Any:
    """Where a token stands among a context's, which ascend from start[node] to start[node + 1]; -1 if it does not.

    With a trie's `child` arrays that is the context that extends `node` by this older token; with its `succ` arrays
    the n-gram of `node` and this next token.
    """
    low, end = np.int64(start[node]), np.int64(start[node + 1])
    high = end
    while low < high:
        mid = (low + high) >> 1
        if tokens[mid] < token:
            low = mid + 1
        else:
            high = mid
    return low if low < end and tokens[low] == token else np.int64(-1)


@kernel
def put(level: Level, oldest_M: U16x1, discounts: F64x1, place: Place, trie: Trie) -> None:
    """Writes one level of one chunk, discounted by its count.

    `oldest_M`: the contexts' oldest tokens. `discounts[c]`: what an n-gram counted c times gives to the order below;
    the last holds for all above.
    """
    start, token, value, children = level.start_M1, level.token_N, level.value_N, level.children_M
    succ_start, succ_token, succ_mass = trie.succ_start_M1, trie.succ_token_E, trie.succ_mass_E
    child_start, child_token = trie.child_start_P1, trie.child_token_M
    gamma, total = trie.gamma_M, trie.total_M
    has_children, by_token = level.order < trie.max_order, level.order == 2
    for e in range(len(token)):
        succ_token[place.entry + e] = token[e]
    entry, c, child, a = place.entry, np.int64(place.context), place.child, place.low
    for m in range(len(oldest_M)):
        oldest = np.int64(oldest_M[m])
        if by_token:
            # Contexts of one token are numbered by it; those that were not seen have no successors.
            while a <= oldest:
                succ_start[a] = entry + start[m]
                if has_children:
                    child_start[a] = child
                a += 1
            c = oldest
        first, last = start[m], start[m + 1]
        gamma[c], counted = discounted(value, first, last, 0, discounts, succ_mass, entry)
        succ_start[c] = entry + first
        if has_children:
            child_start[c] = child
            child += children[m]
        child_token[c] = oldest
        total[c] = min(counted, 65535)
        c += 1
    if by_token:
        while a < place.high:
            succ_start[a] = entry + start[len(start) - 1]
            if has_children:
                child_start[a] = child
            a += 1
