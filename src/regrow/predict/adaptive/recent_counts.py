"""Counts of text that has been scored already: what followed each context, lately, in every stream and in this one.

The memory in the artifact knows the training text; this one starts empty and grows with the text under the predictor.
Contexts of 1 to `orders` tokens are kept twice, for all streams together and for each stream by itself. A count fades
each time its context is met again, so what followed lately counts most; a context with more than `MANY` successors is
left as it is, and asked no more. Contexts are found by 64-bit hashes, which only
decide whose counts are read: what is made of them is a distribution whatever they are (`online_mixer`).

Memory is bounded: past `capacity` tokens the counts are built again from the newer half of the tokens kept.

Legend: S streams, K orders, N contexts, E (context, successor) pairs, H slots of the hash table.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import F32x2, I32x1, I32x2, I64x1, I64x2, kernel
from regrow.predict.adaptive.letters import RUN, WORD, Letters, longer_key, read_token

FADE_SHARED, FADE_OWN = 0.95, 0.8  # what a count keeps when its context is met again; tuned on training text
MANY = 256  # a context with more successors than this says little, and would cost the most time: it is left as it is

# Columns of what is kept of a context and of a pair: whatever one look at it needs shares a line of the cache. Counts
# are float32 in the same rows, read through a view.
NODE_DISTINCT, NODE_HEAD, NODE_TOTAL = 0, 1, 2
PAIR_TOKEN, PAIR_NEXT, PAIR_COUNT, PAIR_MET = 0, 1, 2, 3
WORDS = 2  # contexts by letters, after those of tokens

_LETTERS = 0x2545F4914F6CDD1D


class CountTables(NamedTuple):
    """What kernels read and change.

    `context_SK` int64: the last K tokens of every stream, the newest first, -1 where there is none yet. `key_H` and
    `node_H`: contexts by their hash. `node_N4` int32: of a context the number of its successors, the first of them, and
    its faded count (as float32, `total_N4`); `pair_E4` int32: of a successor its token, the next successor (-1: none),
    and its faded count (as float32, `count_E4`). `used_2`: contexts and pairs in use.
    """

    context_SK: I64x2
    key_H: I64x1
    node_H: I32x1
    node_N4: I32x2
    total_N4: F32x2
    pair_E4: I32x2
    count_E4: F32x2
    used_2: I64x1

    @classmethod
    def empty(cls, streams: int, orders: int, size: int) -> CountTables:
        """Tables of no tokens, for `size` contexts and as many pairs."""
        return cls._of(
            np.full((streams, orders), -1, np.int64), np.zeros((size, 4), np.int32), np.zeros((size, 4), np.int32),
            np.zeros(2, np.int64),
        )  # fmt: skip

    @classmethod
    def _of(
        cls,
        context_SK: NDArray[np.int64],
        node_N4: NDArray[np.int32],
        pair_E4: NDArray[np.int32],
        used_2: NDArray[np.int64],
    ) -> CountTables:
        """With an empty hash table."""
        slots = 2 * len(node_N4)
        return cls(
            context_SK, np.zeros(slots, np.int64), np.zeros(slots, np.int32), node_N4, node_N4.view(np.float32),
            pair_E4, pair_E4.view(np.float32), used_2,
        )  # fmt: skip

    def wider(self, size: int) -> CountTables:
        """The same with room for `size` contexts; every slot is found again in the wider table."""
        node_N4, pair_E4 = np.zeros((size, 4), np.int32), np.zeros((size, 4), np.int32)
        node_N4[: len(self.node_N4)], pair_E4[: len(self.pair_E4)] = self.node_N4, self.pair_E4
        made = CountTables._of(self.context_SK, node_N4, pair_E4, self.used_2)
        taken = np.flatnonzero(self.key_H)
        _rehash(self.key_H[taken], self.node_H[taken], made.key_H, made.node_H)
        return made


@register_jitable
def start_key(own: int, stream: int) -> Any:
    """The key of the empty context, shared (own = 0) or of one stream."""
    # Far apart, so that exclusive or with a token cannot make one stream's key of another's.
    return np.int64(0x51ED2701) + np.int64(own) * np.int64(1 + stream) * np.int64(0x9E3779B97F4A7C1)


@register_jitable
def context_keys(own: int, s: Any, tables: Any, letters: Any, key_J: Any) -> None:
    """The keys of stream s's contexts, shared (own = 0) or its own, int64 [K + WORDS]: those of 1 to K tokens, then the
    run of letters that the text ends with, then that and the word before; 0 where there is none."""
    context_SK, state_S4 = tables.context_SK, letters.state_S4
    K = context_SK.shape[1]
    key = start_key(own, s)
    for k in range(K):
        if context_SK[s, k] < 0:
            key_J[k:K] = 0
            break
        key = longer_key(key, context_SK[s, k])
        key_J[k] = key
    run, word = state_S4[s, RUN], state_S4[s, WORD]
    key_J[K] = key_J[K + 1] = 0
    if run != 0 or word != 0:
        key = longer_key(start_key(own, s) ^ _LETTERS, run)
        key_J[K] = key
        key_J[K + 1] = longer_key(key, word)


@register_jitable
def find_slot(key_H: Any, key: Any) -> Any:
    """The slot that holds `key`, or the empty one where it belongs."""
    mask = np.int64(len(key_H) - 1)
    i = (key ^ (key >> np.int64(32))) & mask
    while key_H[i] != 0 and key_H[i] != key:
        i = (i + 1) & mask
    return i


@register_jitable
def add_tokens(tokens_S: Any, tables: Any, letters: Any) -> None:
    """Count one token of every stream, in the order of the streams; a token below 0 is none."""
    context_SK, key_H, node_H, used_2 = tables.context_SK, tables.key_H, tables.node_H, tables.used_2
    node_N4, total_N4, pair_E4, count_E4 = tables.node_N4, tables.total_N4, tables.pair_E4, tables.count_E4
    S, K = context_SK.shape
    key_J = np.empty(K + WORDS, np.int64)
    for s in range(S):
        token = tokens_S[s]
        if token < 0:
            continue
        for own in range(2):
            fade = np.float32(FADE_OWN if own else FADE_SHARED)
            context_keys(own, s, tables, letters, key_J)
            for j in range(len(key_J)):
                key = key_J[j]
                if key == 0:
                    continue
                slot = find_slot(key_H, key)
                if key_H[slot] != key:
                    key_H[slot] = key
                    node_H[slot] = used_2[0]
                    total_N4[used_2[0], NODE_TOTAL] = 0
                    node_N4[used_2[0], NODE_DISTINCT] = 0
                    node_N4[used_2[0], NODE_HEAD] = -1
                    used_2[0] += 1
                node = node_H[slot]
                if node_N4[node, NODE_DISTINCT] > MANY:
                    continue
                total_N4[node, NODE_TOTAL] = total_N4[node, NODE_TOTAL] * fade + np.float32(1)
                entry = node_N4[node, NODE_HEAD]
                found = np.int64(-1)
                while entry >= 0:
                    count_E4[entry, PAIR_COUNT] *= fade
                    if pair_E4[entry, PAIR_TOKEN] == token:
                        found = entry
                    entry = pair_E4[entry, PAIR_NEXT]
                if found < 0:
                    found = used_2[1]
                    pair_E4[found, PAIR_TOKEN] = token
                    count_E4[found, PAIR_COUNT] = 0
                    pair_E4[found, PAIR_MET] = 0
                    pair_E4[found, PAIR_NEXT] = node_N4[node, NODE_HEAD]
                    node_N4[node, NODE_HEAD] = found
                    node_N4[node, NODE_DISTINCT] += 1
                    used_2[1] += 1
                count_E4[found, PAIR_COUNT] += np.float32(1)
                pair_E4[found, PAIR_MET] += 1
        for k in range(K - 1, 0, -1):
            context_SK[s, k] = context_SK[s, k - 1]
        if K > 0:
            context_SK[s, 0] = token
        read_token(s, token, letters)


@kernel
def _add(tokens_S: I64x1, tables: CountTables, letters: Letters) -> None:
    add_tokens(tokens_S, tables, letters)


@kernel
def _rehash(keys: I64x1, nodes: I32x1, key_H: I64x1, node_H: I32x1) -> None:
    for i in range(len(keys)):
        slot = find_slot(key_H, keys[i])
        key_H[slot] = keys[i]
        node_H[slot] = nodes[i]


class RecentCounts:
    """The counts of S streams that move in lock-step, in `tables`. `add` is the only thing that changes them."""

    def __init__(self, streams: int, orders: int, capacity: int, letters: Letters | None = None) -> None:
        """`capacity`: tokens kept at most, of all streams together. `letters`: of the tokens, for contexts by letters;
        None: there are none."""
        self.streams, self.orders = streams, orders
        self.letters = letters or Letters.of((), streams)
        self._steps = max(2, capacity // streams)  # lock-steps kept
        self._history: list[NDArray[np.int64]] = []
        self.tables = CountTables.empty(streams, orders, 1 << 12)

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(a.nbytes for a in self.tables) - self.tables.node_N4.nbytes - self.tables.pair_E4.nbytes

    @property
    def tokens(self) -> int:
        """Lock-steps the counts are made of."""
        return len(self._history)

    def add(self, tokens_S: NDArray[np.int64]) -> None:
        """Every stream's next token (int64 [S]; below 0: this stream has ended)."""
        self.reserve(1)
        self._count(np.ascontiguousarray(tokens_S, np.int64).copy())
        self._forget()

    def reserve(self, steps: int) -> int:
        """How many of the next `steps` lock-steps can be counted in one go, at least one; their room is made."""
        steps = min(steps, self._steps - len(self._history))
        self._make_room(steps)
        return steps

    def remember(self, tokens_ST: NDArray[np.int64]) -> None:
        """The tokens of these lock-steps were counted into the tables by someone who reserved room for them."""
        self._history += list(np.ascontiguousarray(tokens_ST.T))
        self._forget()

    def _forget(self) -> None:
        """Once as many lock-steps are counted as are kept, count the newer half of them anew."""
        if len(self._history) < self._steps:
            return
        kept = self._history[-(self._steps // 2) :]
        self._history = []
        self.tables = CountTables.empty(self.streams, self.orders, len(self.tables.node_N4))
        self.letters = self.letters.anew()
        for old_S in kept:
            self._make_room(1)
            self._count(old_S)

    def _make_room(self, steps: int) -> None:
        size = len(self.tables.node_N4)
        per_step = 2 * (self.orders + WORDS) * self.streams  # what a lock-step adds at most
        while int(self.tables.used_2.max()) + per_step * steps > size:
            size = 1 << (2 * size + per_step - 1).bit_length()
        if size > len(self.tables.node_N4):
            self.tables = self.tables.wider(size)

    def _count(self, tokens_S: NDArray[np.int64]) -> None:
        _add(tokens_S, self.tables, self.letters)
        self._history.append(tokens_S)
