"""The backoff trie: contexts of all orders, what may extend each into the past, and what may follow it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from regrow.errors import NgramError
from regrow.ngram.levels import Level

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
        if max(entries, contexts) > _INDEX_LIMIT:
            raise NgramError(
                f"the memory has {max(entries, contexts)} entries, more than {_INDEX_LIMIT}; "
                "lower max_order or set cap_bytes"
            )
        return cls(
            vocab_size,
            max_order,
            np.zeros(parents + 1, np.int32),
            np.zeros(contexts, np.uint16),
            np.zeros(contexts + 1, np.int32),
            np.empty(entries, np.uint16),
            np.empty(entries, np.float32),
            np.ones(contexts, np.float32),
            np.zeros(contexts, np.uint16),
            places,
        )

    def put(
        self,
        order: int,
        chunk: int,
        level: Level,
        mass_N: NDArray[np.float64],
        gamma_M: NDArray[np.float64],
        total_M: NDArray[np.int64],
    ) -> None:
        """Writes one level of one chunk; widths and numbers of children are summed up by `close`."""
        entry, context = self._places[order, chunk]
        self.succ_token_E[entry : entry + len(mass_N)] = level.token_N
        self.succ_mass_E[entry : entry + len(mass_N)] = mass_N
        where: slice | NDArray[np.int64] = slice(context, context + len(gamma_M))
        after: slice | NDArray[np.int64] = slice(context + 1, context + 1 + len(gamma_M))
        if order == 2:
            where = level.oldest_M.astype(np.int64)
            after = where + 1
        self.succ_start_M1[after] = level.width_M
        if order < self.max_order:
            self.child_start_P1[after] = level.children_M
        self.child_token_M[where] = level.oldest_M
        self.gamma_M[where] = gamma_M
        self.total_M[where] = np.minimum(total_M, 65_535)

    def close(self) -> None:
        np.cumsum(self.succ_start_M1, out=self.succ_start_M1)
        self.child_start_P1[0] = self.vocab_size
        np.cumsum(self.child_start_P1, out=self.child_start_P1)

    @property
    def nbytes(self) -> int:
        return sum(v.nbytes for v in vars(self).values() if isinstance(v, np.ndarray))
