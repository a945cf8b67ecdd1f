"""The mixer that goes on learning from text already scored, one lock-step after the other.

What the artifact says, log p of its mixture, is taken further in two stages, each normalised over the vocabulary:

    q(v) ~ mixture(v) * network(v)^a * memory(v)^b * exp(bias(v))      a, b: by the order the memory matched
    p(v) ~ q(v) * prod over contexts j of (1 + c_j(v) / q(v))^w_j      c_j(v): faded count of v after context j

bias(v) is one of all streams plus one of the stream's own. c_j is 0 for all but the few tokens that followed context j,
so the second stage touches those alone, and p is q itself where nothing is known. w_j is a sum of five weights,
clipped: one by how deep the context is known, how many successors it has and how often it met this one, and four by
the order that the memory matched, the last token's class, the letters so far and the stream.

Both stages are exponential families: the cost of a token is convex in (a, b, bias), and in w given q. Each learns by
AdaGrad inside a box, whose regret over T steps against the best fixed choice is at most
(D^2 / 2r + r) * sum_i sqrt(sum_t g_ti^2) for box width D and rate r (Duchi, Hazan and Singer 2011, theorem 5): it grows
like sqrt(T). (Where the sum of five is clipped, its slope is taken as if it were not.) Features in the log domain as in
PAQ's mixers (Mahoney 2005), here over the whole vocabulary at once.

All streams of a lock-step are predicted from one state; then all their tokens are learned. The same inputs give the
same bits on every machine (`kernels`).

Legend: S streams, T tokens of a chunk, V vocabulary, K orders, J = 2 (K + WORDS) contexts (shared first, own after), O
orders of the memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.predict.adaptive import kernels
from regrow.predict.adaptive.first_stage import LANES, ORDERS, StepInputs
from regrow.predict.adaptive.kernels import BUCKETS, METS, PLACES, Scratch, Weights
from regrow.predict.adaptive.letters import Letters
from regrow.predict.adaptive.recent_counts import MANY, WORDS, RecentCounts

# w by bucket, at first; tuned, like all numbers here, on training text kept out of training.
_FIRST_WEIGHTS, _OF_WORDS = np.array([0.17, 0.16, 0.07, 0.02]), 0.5
_FIRST_SQUARE = 1e-2


class OnlineMixer:
    """State of the online mixer over S streams, with the counts of recent text it weighs (none: orders = 0).

    `pieces`: the bytes of each token of the vocabulary. One lock-step is `predict`, then `rows` or nothing, then
    `learn`. `predict` changes nothing one can see.
    """

    def __init__(self, streams: int, pieces: Sequence[bytes], orders: int, capacity: int) -> None:
        self.streams = streams
        self.counts = RecentCounts(streams, orders, capacity, Letters.of(pieces, streams) if orders else None)
        self._weights = _first_weights(streams, len(pieces), orders)
        self._scratch = _scratch(self._weights)

    @property
    def nbytes(self) -> int:
        """Bytes of state and scratch."""
        return self.counts.nbytes + sum(a.nbytes for a in (*self._weights, *self._scratch))

    def predict(self, inputs: StepInputs, t: int) -> None:
        """Fix the distributions of time t, from `inputs` and what was learned before."""
        c = self.counts
        kernels.predict(t, inputs, c.tables, c.letters, self._weights, self._scratch)

    def rows(self) -> NDArray[np.float64]:
        """The distributions that `predict` fixed, float64 [S, V]; the array is used again by the next call."""
        kernels.rows(self._scratch)
        return self._scratch.probs_SV

    def learn(self, inputs: StepInputs, t: int, tokens_S: NDArray[np.int64]) -> NDArray[np.float64]:
        """The tokens of time t (below 0: none): their nats under the fixed distributions [S]; then learn and count."""
        tokens_S = np.ascontiguousarray(tokens_S, np.int64)
        kernels.learn(t, tokens_S, inputs, self._weights, self._scratch)
        self.counts.add(tokens_S)
        return self._scratch.nats_S.copy()

    def score(self, inputs: StepInputs, tokens_ST: NDArray[np.int64]) -> NDArray[np.float64]:
        """`predict` and `learn` of all times of `inputs` in turn, whose tokens are known: the nats [S, T], bit for bit
        those of one step after the other."""
        c = self.counts
        tokens_ST = np.ascontiguousarray(tokens_ST, np.int64)
        nats_ST = np.empty(tokens_ST.shape)
        at = 0
        while at < tokens_ST.shape[1]:
            stop = at + c.reserve(tokens_ST.shape[1] - at)
            part_ST = np.empty((len(tokens_ST), stop - at))
            kernels.score(at, tokens_ST, part_ST, inputs, c.tables, c.letters, self._weights, self._scratch)
            c.remember(tokens_ST[:, at:stop])
            nats_ST[:, at:stop] = part_ST
            at = stop
        return nats_ST


def _first_weights(S: int, V: int, orders: int) -> Weights:
    J = 2 * (orders + WORDS)
    first_BJ = np.repeat(_FIRST_WEIGHTS, METS)[:, None] * np.where(
        np.arange(J) % (J // 2) < orders, 1, _OF_WORDS
    )
    depth_KBJ = np.broadcast_to(first_BJ, (orders + 1, BUCKETS * METS, J)).copy()
    place_RBJ = np.zeros((PLACES + S, BUCKETS, J))
    return Weights(
        np.zeros((ORDERS, 2)), np.full((ORDERS, 2), 1.0), np.zeros(V, np.float32), np.full(V, 0.02, np.float32),
        np.zeros((S, V), np.float32), np.full((S, V), 0.02, np.float32),
        depth_KBJ, np.full_like(depth_KBJ, _FIRST_SQUARE), place_RBJ, np.full_like(place_RBJ, _FIRST_SQUARE),
    )  # fmt: skip


def _scratch(weights: Weights) -> Scratch:
    (S, V), J = weights.own_SV.shape, weights.place_RBJ.shape[2]
    pairs = J * min(V, MANY)
    return Scratch(
        x_SV=np.zeros((S, V), np.float32), bits_SV=np.zeros((S, V), np.int32), sums_S4=np.zeros((S, 4)),
        lanes_3L=np.zeros((3, LANES)), touched_SV=np.zeros((S, V), np.int32),
        place_SV=np.full((S, V), -1, np.int32), before_SV=np.zeros((S, V), np.float32),
        power_SV=np.zeros((S, V), np.float32), gain_SV=np.zeros((S, V)), used_S2=np.zeros((S, 2), np.int64),
        item_SI=np.zeros((S, pairs), np.int32), which_SI=np.zeros((S, pairs), np.int32),
        fact_SI=np.zeros((S, pairs), np.float32), bucket_SJ=np.full((S, J), -1, np.int32),
        row_S6=np.zeros((S, 6), np.int64), nats_S=np.zeros(S), bias_V=np.zeros(V, np.float32),
        slope_V=np.zeros(V, np.float32), slope_KBJ=np.zeros_like(weights.depth_KBJ),
        slope_RBJ=np.zeros_like(weights.place_RBJ), tokens_S=np.zeros(S, np.int64), probs_SV=np.zeros((S, V)),
    )  # fmt: skip
