"""The backoff trie: contexts of all orders, what may extend each into the past, and what may follow it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from regrow.errors import NgramError

_INDEX_LIMIT = 2**31 - 1


@dataclasses.dataclass
class Trie:
    """Contexts are numbered order by order; the context of order 2 made of token a is number a.

    `child_start_M1`   int32 [M+1]: the contexts that extend context c by one older token are
                       child_start[c] .. child_start[c+1], by ascending token
    `child_token_M`    uint16 [M]: the oldest token of each context
    `succ_start_M1`    int32 [M+1]: the successors of context c are succ_start[c] .. succ_start[c+1], by
    ascending token `succ_token_E`     uint16 [E] `succ_mass_E`      float32 [E]: discounted probability of
    each successor at its order `gamma_M`          float32 [M]: weight of the order below, so that the masses
    and it sum to 1 `total_M`          uint32 [M]: what was counted after the context (continuation counts
    below the highest order)
    """

    vocab_size: int
    max_order: int
    child_start_M1: NDArray[np.int32]
    child_token_M: NDArray[np.uint16]
    succ_start_M1: NDArray[np.int32]
    succ_token_E: NDArray[np.uint16]
    succ_mass_E: NDArray[np.float32]
    gamma_M: NDArray[np.float32]
    total_M: NDArray[np.uint32]
    _entry_at: list[list[int]]
    _context_at: list[list[int]]

    @classmethod
    def allocate(cls, vocab_size: int, sizes: list[list[tuple[int, int]]], max_order: int) -> Trie:
        """Room for levels of `sizes[chunk][order - 2] = (successors, contexts)`."""
        entries, contexts = 0, vocab_size
        entry_at: list[list[int]] = []
        context_at: list[list[int]] = []
        for i in range(max_order - 1):
            entry_at.append([])
            context_at.append([])
            for chunk in sizes:
                entry_at[-1].append(entries)
                context_at[-1].append(contexts)
                entries += chunk[i][0]
                contexts += chunk[i][1] if i else 0
        if max(entries, contexts) > _INDEX_LIMIT:
            raise NgramError(
                f"the memory has {max(entries, contexts)} entries, more than {_INDEX_LIMIT}; "
                "lower max_order or set cap_bytes"
            )
        return cls(
            vocab_size,
            max_order,
            np.zeros(contexts + 1, np.int32),
            np.zeros(contexts, np.uint16),
            np.zeros(contexts + 1, np.int32),
            np.empty(entries, np.uint16),
            np.empty(entries, np.float32),
            np.ones(contexts, np.float32),
            np.zeros(contexts, np.uint32),
            entry_at,
            context_at,
        )

    def put(
        self,
        order: int,
        chunk: int,
        token_E: NDArray[np.uint16],
        mass_E: NDArray[np.float64],
        width_M: NDArray[np.int32],
        oldest_M: NDArray[np.uint16],
        children_M: NDArray[np.int32],
        gamma_M: NDArray[np.float64],
        total_M: NDArray[np.int64],
    ) -> None:
        """Writes one level of one chunk; widths and numbers of children are summed up by `close`."""
        at = self._entry_at[order - 2][chunk]
        self.succ_token_E[at : at + len(token_E)] = token_E
        self.succ_mass_E[at : at + len(token_E)] = mass_E
        base = self._context_at[order - 2][chunk]
        where = slice(base, base + len(oldest_M)) if order > 2 else oldest_M
        after = slice(base + 1, base + 1 + len(oldest_M)) if order > 2 else oldest_M + np.int64(1)
        self.succ_start_M1[after] = width_M
        self.child_start_M1[after] = children_M
        self.child_token_M[where] = oldest_M
        self.gamma_M[where] = gamma_M
        self.total_M[where] = total_M

    def close(self) -> None:
        np.cumsum(self.succ_start_M1, out=self.succ_start_M1)
        self.child_start_M1[0] = self.vocab_size
        np.cumsum(self.child_start_M1, out=self.child_start_M1)

    @property
    def nbytes(self) -> int:
        return sum(v.nbytes for v in vars(self).values() if isinstance(v, np.ndarray))
