"""The online mixer of streams of kind 4, whose every bit stays: what decodes them. `online_mixer` is the present one.

It knows no letters, has one set of weights, by depth, bucket and context, and no bias of a stream's own; all else is as
`online_mixer` has it.

Legend: S streams, V vocabulary, K orders, J = 2K contexts (shared first, own after).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regrow.predict.adaptive import earlier_kernels as kernels
from regrow.predict.adaptive.earlier_kernels import BUCKETS, EarlierScratch, EarlierWeights
from regrow.predict.adaptive.first_stage import LANES, ORDERS, StepInputs
from regrow.predict.adaptive.recent_counts import RecentCounts

_FIRST_WEIGHTS = (0.17, 0.16, 0.07, 0.02)  # w by bucket; tuned on training text kept out of training


class EarlierMixer:
    """State over S streams, with the counts of recent text it weighs; used as `OnlineMixer` is, one step at a time."""

    def __init__(self, streams: int, vocab_size: int, orders: int, capacity: int) -> None:
        S, V, J = streams, vocab_size, 2 * orders
        self.streams = streams
        self.counts = RecentCounts(streams, orders, capacity)
        first = np.asarray(_FIRST_WEIGHTS)[None, :, None]
        self._weights = EarlierWeights(
            np.zeros((ORDERS, 2)), np.full((ORDERS, 2), 1.0), np.zeros(V, np.float32), np.full(V, 0.02, np.float32),
            np.broadcast_to(first, (orders + 1, BUCKETS, J)).copy(), np.full((orders + 1, BUCKETS, J), 1e-2),
        )  # fmt: skip
        self._scratch = EarlierScratch(
            x_SV=np.zeros((S, V), np.float32), bits_SV=np.zeros((S, V), np.int32), sums_S4=np.zeros((S, 4)),
            lanes_3L=np.zeros((3, LANES)), touched_SV=np.zeros((S, V), np.int64),
            place_SV=np.full((S, V), -1, np.int32), bucket_SJ=np.full((S, J), -1, np.int32),
            feature_SVJ=np.zeros((S, V, J), np.float32), power_SV=np.zeros((S, V)), gain_SV=np.zeros((S, V)),
            depth_S3=np.zeros((S, 3), np.int32), nats_S=np.zeros(S), slope_V=np.zeros(V),
            probs_SV=np.zeros((S, V)),
        )  # fmt: skip

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
