"""The backoff trie: contexts of all orders, what may extend each into the past, and what may follow it."""

from __future__ import annotations

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import compile_kernel
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.levels import Level
from regrow.ngram.counts.windows import Windows

_INDEX_LIMIT = 2**31 - 1


@dataclasses.dataclass
class Trie:
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
    child_start_P1: NDArray[np.int32]
    child_token_M: NDArray[np.uint16]
    succ_start_M1: NDArray[np.int32]
    succ_token_E: NDArray[np.uint16]
    succ_mass_E: NDArray[np.float32]
    gamma_M: NDArray[np.float32]
    total_M: NDArray[np.uint16]
    _places: dict[tuple[int, int], tuple[int, int]]

    @classmethod
    def allocate(cls, vocab_size: int, max_order: int, sizes: list[list[tuple[int, int]]]) -> Trie:
        """Room for levels of `sizes[chunk][order - 2]` = (n-grams, contexts), to be written with `put`."""
        entries, contexts, parents = 0, vocab_size, vocab_size
        places: dict[tuple[int, int], tuple[int, int]] = {}
        for order in range(2, max_order + 1):
            parents = contexts
            for chunk, of_chunk in enumerate(sizes):
                more_entries, more_contexts = of_chunk[order - 2]
                places[order, chunk] = (entries, contexts if order > 2 else 0)
                entries += more_entries
                contexts += more_contexts if order > 2 else 0
            if order == 2:
                parents = vocab_size
        if max(entries, contexts) > _INDEX_LIMIT:
            raise NgramError(
                f"the memory has {max(entries, contexts)} entries, more than {_INDEX_LIMIT}; "
                "lower max_order or set cap_bytes"
            )
        trie = cls(
            vocab_size,
            max_order,
            np.empty(parents + 1, np.int32),
            np.zeros(contexts, np.uint16),
            np.empty(contexts + 1, np.int32),
            np.empty(entries, np.uint16),
            np.empty(entries, np.float32),
            np.ones(contexts, np.float32),
            np.zeros(contexts, np.uint16),
            places,
        )
        # What no level writes: the ends, and a vocabulary of which no token was seen.
        trie.succ_start_M1[-1], trie.child_start_P1[-1] = entries, contexts
        if not sizes:
            trie.succ_start_M1[:], trie.child_start_P1[:] = 0, vocab_size
        return trie

    def put(
        self, chunk: int, span: tuple[int, int], windows: Windows, level: Level, discounts: tuple[float, ...]
    ) -> None:
        """Writes one level of one chunk, whose first context tokens are `span`, discounted by its count.

        `discounts[c]`: what an n-gram counted c times gives to the order below; the last holds for all above.
        """
        order = level.order
        entry, context = self._places[order, chunk]
        child = self._places[order + 1, chunk][1] if order < self.max_order else 0
        sizes = k.word_sizes(self.max_order, k.token_bits(self.vocab_size))
        word, place = 0, order - 2
        while place >= sizes[word]:
            place -= sizes[word]
            word += 1
        _put_kernel()(
            order == 2, *span, level.start_M1, level.token_N, level.value_N, level.children_M,
            windows.words_WN[word], level.first_M, k.token_bits(self.vocab_size) * (sizes[word] - 1 - place),
            k.token_bits(self.vocab_size), np.array(discounts), entry, context, child, order < self.max_order,
            self.succ_token_E, self.succ_mass_E, self.succ_start_M1, self.child_start_P1, self.child_token_M,
            self.gamma_M, self.total_M,
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        return sum(v.nbytes for v in vars(self).values() if isinstance(v, np.ndarray))


@register_jitable
def find_child(child_start: Any, child_token: Any, node: Any, token: Any) -> Any:
    """The context that extends `node` by one older token, or -1 if it was not seen."""
    # numba keeps a kernel compiled as long as the kernel's own file is unchanged: change this, touch its callers.
    low, end = np.int64(child_start[node]), np.int64(child_start[node + 1])
    high = end
    while low < high:
        mid = (low + high) >> 1
        if child_token[mid] < token:
            low = mid + 1
        else:
            high = mid
    return low if low < end and child_token[low] == token else np.int64(-1)


def _put(
    by_token: bool, low: int, high: int, start: Any, token: Any, value: Any, children: Any, word: Any, first: Any,
    shift: int, bits: int, discounts: Any, entry: int, context: int, child: int, has_children: bool,
    succ_token: Any, succ_mass: Any, succ_start: Any, child_start: Any, child_token: Any, gamma: Any, total: Any,
) -> None:  # fmt: skip
    most = len(discounts) - 1
    mask = (1 << bits) - 1
    c = context
    a = low
    for m in range(len(start) - 1):
        oldest = np.int64(word[first[m]] >> np.uint64(shift)) & mask
        if by_token:
            # Contexts of one token are numbered by it; those that were not seen have no successors.
            while a <= oldest:
                succ_start[a] = entry + start[m]
                if has_children:
                    child_start[a] = child
                a += 1
            c = oldest
        counted, taken = 0, 0.0
        for e in range(start[m], start[m + 1]):
            v = np.int64(value[e])
            counted += v
            taken += discounts[min(v, most)]
        scale = 1.0 / counted
        for e in range(start[m], start[m + 1]):
            v = np.int64(value[e])
            succ_token[entry + e] = token[e]
            succ_mass[entry + e] = (v - discounts[min(v, most)]) * scale
        succ_start[c] = entry + start[m]
        if has_children:
            child_start[c] = child
            child += children[m]
        child_token[c] = oldest
        gamma[c] = taken * scale
        total[c] = min(counted, 65535)
        c += 1
    if by_token:
        while a < high:
            succ_start[a] = entry + start[len(start) - 1]
            if has_children:
                child_start[a] = child
            a += 1


@functools.cache
def _put_kernel() -> Callable[..., None]:
    i32, u16, f32 = "int32[::1]", "uint16[::1]", "float32[::1]"
    level = f"{i32}, {u16}, uint32[::1], {i32}, uint64[:], {i32}"
    places = "int64, int64, float64[::1], int64, int64, int64, boolean"
    trie = f"{u16}, {f32}, {i32}, {i32}, {u16}, {f32}, {u16}"
    return compile_kernel(_put, f"void(boolean, int64, int64, {level}, {places}, {trie})")
