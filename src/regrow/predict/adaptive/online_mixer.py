"""The mixer that goes on learning from text already scored, one lock-step after the other.

What the artifact says, log p of its mixture, is taken further in two stages, each normalised over the vocabulary:

    q(v) ~ mixture(v) * network(v)^a * memory(v)^b * exp(bias(v))      a, b: by the order the memory matched
    p(v) ~ q(v) * prod over contexts j of (1 + c_j(v) / q(v))^w_j      c_j(v): faded count of v after context j

c_j is 0 for all but the few tokens that followed context j, so the second stage touches those alone, and p is q itself
where nothing is known. Both stages are exponential families: the cost of a token is convex in (a, b, bias), and in w
given q. Each learns by AdaGrad inside a box, whose regret over T steps against the best fixed choice is at most
(D^2 / 2r + r) * sum_i sqrt(sum_t g_ti^2) for box width D and rate r (Duchi, Hazan and Singer 2011, theorem 5): it grows
like sqrt(T). Features in the log domain as in PAQ's mixers (Mahoney 2005), here over the whole vocabulary at once.

All streams of a lock-step are predicted from one state; then all their tokens are learned. The same inputs give the
same bits on every machine (`kernels`).

Legend: S streams, T tokens of a chunk, V vocabulary, K orders, J = 2K contexts (shared first, own after), O orders of
the memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regrow.predict.adaptive import kernels
from regrow.predict.adaptive.kernels import BUCKETS, Scratch, StepInputs, Weights
from regrow.predict.adaptive.recent_counts import RecentCounts

__all__ = ["OnlineMixer", "StepInputs"]

_ORDERS = 17  # of the artifact's memory, 0 for no memory
_LANES = 16
_FIRST_WEIGHTS = (0.17, 0.16, 0.07, 0.02)  # w by bucket; tuned on training text kept out of training


class OnlineMixer:
    """State of the online mixer over S streams, with the counts of recent text it weighs (none: orders = 0).

    One lock-step is `predict`, then `rows` or nothing, then `learn`. `predict` changes nothing one can see.
    """

    def __init__(self, streams: int, vocab_size: int, orders: int, capacity: int) -> None:
        S, V, J = streams, vocab_size, 2 * orders
        self.counts = RecentCounts(streams, orders, capacity)
        first = np.asarray(_FIRST_WEIGHTS)[None, :, None]
        self._weights = Weights(
            np.zeros((_ORDERS, 2)), np.full((_ORDERS, 2), 1.0), np.zeros(V, np.float32), np.full(V, 0.02, np.float32),
            np.broadcast_to(first, (orders + 1, BUCKETS, J)).copy(), np.full((orders + 1, BUCKETS, J), 1e-2),
        )  # fmt: skip
        self._scratch = Scratch(
            x_SV=np.zeros((S, V), np.float32), bits_SV=np.zeros((S, V), np.int32), sums_S4=np.zeros((S, 4)),
            lanes_3L=np.zeros((3, _LANES)), touched_SV=np.zeros((S, V), np.int64),
            place_SV=np.full((S, V), -1, np.int32), bucket_SJ=np.full((S, J), -1, np.int32),
            feature_SVJ=np.zeros((S, V, J), np.float32), power_SV=np.zeros((S, V)), gain_SV=np.zeros((S, V)),
            depth_S3=np.zeros((S, 3), np.int32), nats_S=np.zeros(S), slope_V=np.zeros(V),
            tokens_S=np.zeros(S, np.int64), probs_SV=np.zeros((S, V)),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Bytes of state and scratch."""
        return self.counts.nbytes + sum(a.nbytes for a in (*self._weights, *self._scratch))

    def predict(self, inputs: StepInputs, t: int) -> None:
        """Fix the distributions of time t, from `inputs` and what was learned before."""
        kernels.predict(t, inputs, self.counts.tables, self._weights, self._scratch)

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
            kernels.score(at, tokens_ST, part_ST, inputs, c.tables, self._weights, self._scratch)
            c.remember(tokens_ST[:, at:stop])
            nats_ST[:, at:stop] = part_ST
            at = stop
        return nats_ST
