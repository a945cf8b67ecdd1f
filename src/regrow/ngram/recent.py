"""Counts of text that has been scored already: what followed each context, lately, in every stream and in this one.

The memory in the artifact knows the training text; this one starts empty and grows with the text under the predictor.
Contexts of 1 to `orders` tokens are kept twice, for all streams together and for each stream by itself. A count fades
each time its context is met again, so what followed lately counts most. Contexts are found by 64-bit hashes, which only
decide whose counts are read: what is made of them is a distribution whatever they are (`regrow.online_mixer`).

Memory is bounded: past `capacity` tokens the counts are built again from the newer half of the tokens kept.

Legend: S streams, K orders, N contexts, E (context, successor) pairs, H slots of the hash table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.ngram.jit import compile_kernel

FADE_SHARED, FADE_OWN = 0.95, 0.8  # what a count keeps when its context is met again; tuned on training text

_ADD_SIGNATURE = (
    "void(int64[::1], int64[:,::1], int64[::1], int32[::1], float32[::1], int32[::1], int32[::1], int32[::1], "
    "float32[::1], int32[::1], int64[::1])"
)


@register_jitable
def start_key(own: int, stream: int) -> Any:
    """The key of the empty context, shared (own = 0) or of one stream."""
    # Far apart, so that exclusive or with a token cannot make one stream's key of another's.
    return np.int64(0x51ED2701) + np.int64(own) * np.int64(1 + stream) * np.int64(0x9E3779B97F4A7C1)


@register_jitable
def longer_key(key: Any, token: Any) -> Any:
    """The key of the context that reaches one token further back."""
    h = (key ^ (np.int64(token) + np.int64(0x632BE5AB))) * np.int64(-7046029254386353131)
    h ^= h >> np.int64(31)
    h *= np.int64(-4658895280553007687)
    h ^= h >> np.int64(29)
    return h if h != 0 else np.int64(1)


@register_jitable
def find_slot(key_H: Any, key: Any) -> Any:
    """The slot that holds `key`, or the empty one where it belongs."""
    mask = np.int64(len(key_H) - 1)
    i = (key ^ (key >> np.int64(32))) & mask
    while key_H[i] != 0 and key_H[i] != key:
        i = (i + 1) & mask
    return i


def _add(
    tokens_S: Any,
    context_SK: Any,
    key_H: Any,
    node_H: Any,
    total_N: Any,
    distinct_N: Any,
    head_N: Any,
    token_E: Any,
    count_E: Any,
    next_E: Any,
    used_2: Any,
) -> None:
    """Count one token of every stream, in the order of the streams; a token below 0 is none."""
    S, K = context_SK.shape
    for s in range(S):
        token = tokens_S[s]
        if token < 0:
            continue
        for own in range(2):
            fade = np.float32(FADE_OWN if own else FADE_SHARED)
            key = start_key(own, s)
            for k in range(K):
                if context_SK[s, k] < 0:
                    break
                key = longer_key(key, context_SK[s, k])
                slot = find_slot(key_H, key)
                if key_H[slot] != key:
                    key_H[slot] = key
                    node_H[slot] = used_2[0]
                    total_N[used_2[0]] = 0
                    distinct_N[used_2[0]] = 0
                    head_N[used_2[0]] = -1
                    used_2[0] += 1
                node = node_H[slot]
                total_N[node] = total_N[node] * fade + np.float32(1)
                entry = head_N[node]
                found = np.int64(-1)
                while entry >= 0:
                    count_E[entry] *= fade
                    if token_E[entry] == token:
                        found = entry
                    entry = next_E[entry]
                if found < 0:
                    found = used_2[1]
                    token_E[found] = token
                    count_E[found] = 0
                    next_E[found] = head_N[node]
                    head_N[node] = found
                    distinct_N[node] += 1
                    used_2[1] += 1
                count_E[found] += np.float32(1)
        for k in range(K - 1, 0, -1):
            context_SK[s, k] = context_SK[s, k - 1]
        if K > 0:
            context_SK[s, 0] = token


@functools.cache
def _add_kernel() -> Callable[..., None]:
    return compile_kernel(_add, _ADD_SIGNATURE)


class RecentCounts:
    """The counts of S streams that move in lock-step. `add` is the only thing that changes them.

    `context_SK` int64: the last K tokens of every stream, the newest first, -1 where there is none yet.
    Of a context: `total_N` and `distinct_N`, the faded count and the number of its successors, and `head_N`, the
    first of them; of a successor `token_E`, `count_E` and `next_E` (-1: the last). `used_2`: contexts and pairs in use.
    """

    def __init__(self, streams: int, orders: int, capacity: int) -> None:
        """`capacity`: tokens kept at most, of all streams together."""
        self.streams, self.orders = streams, orders
        self._steps = max(2, capacity // streams)  # lock-steps kept
        self._history: list[NDArray[np.int64]] = []
        self._empty(1 << 12)

    def _empty(self, room: int) -> None:
        self.context_SK = np.full((self.streams, self.orders), -1, np.int64)
        self.used_2 = np.zeros(2, np.int64)
        self.total_N = np.zeros(room, np.float32)
        self.distinct_N, self.head_N = np.zeros(room, np.int32), np.zeros(room, np.int32)
        self.token_E, self.next_E = np.zeros(room, np.int32), np.zeros(room, np.int32)
        self.count_E = np.zeros(room, np.float32)
        self.key_H, self.node_H = np.zeros(2 * room, np.int64), np.zeros(2 * room, np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(a.nbytes for a in vars(self).values() if isinstance(a, np.ndarray))

    @property
    def tokens(self) -> int:
        """Lock-steps the counts are made of."""
        return len(self._history)

    def add(self, tokens_S: NDArray[np.int64]) -> None:
        """Every stream's next token (int64 [S]; below 0: this stream has ended)."""
        if len(self._history) >= self._steps:
            kept = self._history[-(self._steps // 2) :]
            room = len(self.total_N)
            self._history = []
            self._empty(room)
            for old_S in kept:
                self._count(old_S)
        self._count(np.ascontiguousarray(tokens_S, np.int64).copy())

    def _count(self, tokens_S: NDArray[np.int64]) -> None:
        if int(self.used_2.max()) + 2 * self.orders * self.streams > len(self.total_N):
            self._grow()
        _add_kernel()(
            tokens_S, self.context_SK, self.key_H, self.node_H, self.total_N, self.distinct_N, self.head_N,
            self.token_E, self.count_E, self.next_E, self.used_2,
        )  # fmt: skip
        self._history.append(tokens_S)

    def _grow(self) -> None:
        """Twice the room; every slot is found again in the wider table."""
        room = 2 * len(self.total_N) + 2 * self.orders * self.streams
        room = 1 << (room - 1).bit_length()
        for name in ("total_N", "distinct_N", "head_N", "token_E", "next_E", "count_E"):
            old = getattr(self, name)
            wider = np.zeros(room, old.dtype)
            wider[: len(old)] = old
            setattr(self, name, wider)
        keys, nodes = self.key_H, self.node_H
        self.key_H, self.node_H = np.zeros(2 * room, np.int64), np.zeros(2 * room, np.int32)
        taken = np.flatnonzero(keys)
        _rehash_kernel()(keys[taken], nodes[taken], self.key_H, self.node_H)


def _rehash(keys: Any, nodes: Any, key_H: Any, node_H: Any) -> None:
    for i in range(len(keys)):
        slot = find_slot(key_H, keys[i])
        key_H[slot] = keys[i]
        node_H[slot] = nodes[i]


@functools.cache
def _rehash_kernel() -> Callable[..., None]:
    return compile_kernel(_rehash, "void(int64[::1], int32[::1], int64[::1], int32[::1])")
