"""Adaptive prediction that every machine repeats: the online mixer over exact rows.

The artifact's part is in integers; what is learned is in floats of which every operation is rounded by itself in a
stated order (`regrow.predict.adaptive.kernels`). Training of weights is not here: its sums have no order.

Legend: S streams, T tokens, V vocabulary.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import F64x2, I32x2, I64x1, I64x2, kernel
from regrow.predict.adaptive.first_stage import StepInputs
from regrow.predict.exact.intervals import interval
from regrow.predict.exact.model import ExactModel
from regrow.predict.exact.rows import Parts
from regrow.predict.exact.streams import Streams

_NATS = np.float32(0.6931471805599453 / 1024)  # of a bit times 1024
WEIGHT_BITS = 30


class LearningMixer(Protocol):
    """What learns: `regrow.predict.adaptive.online_mixer.OnlineMixer`, or the earlier one of streams of kind 4."""

    streams: int

    def predict(self, inputs: StepInputs, t: int) -> None:
        """Fix the distributions of time t."""

    def rows(self) -> NDArray[np.float64]:
        """Those distributions, float64 [S, V]."""

    def learn(self, inputs: StepInputs, t: int, tokens_S: NDArray[np.int64]) -> NDArray[np.float64]:
        """The tokens of time t are known."""


class AdaptiveStreams:
    """As `Streams`, of a predictor that learns from what it has predicted: `mixer`, of as many streams."""

    def __init__(self, model: ExactModel, mixer: LearningMixer, *, chunk: int = 1, threads: int = 1) -> None:
        self._streams = Streams(model, mixer.streams, chunk=chunk, threads=threads)
        self._mixer = mixer
        self._shape = (mixer.streams, model.vocab_size)
        self._inputs: StepInputs | None = None

    def intervals(self, tokens_ST: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `Streams.intervals`; one lock-step is learned before the next is predicted."""
        S, T = tokens_ST.shape
        inputs = self._inputs_of(*self._streams.parts(tokens_ST), T)
        result = np.empty((S, T, 2), np.int64)
        for t in range(T):
            self._mixer.predict(inputs, t)
            tokens_S = np.ascontiguousarray(tokens_ST[:, t], np.int64)
            step = np.empty((S, 2), np.int64)
            intervals_of(*self._weights(), tokens_S, step)
            result[:, t] = step
            self._mixer.learn(inputs, t, tokens_S)
        return result

    def weights(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """As `Streams.weights`."""
        self._inputs = self._inputs_of(*self._streams.next_parts(), 1)
        self._mixer.predict(self._inputs, 0)
        return self._weights()

    def advance(self, tokens_S: NDArray[np.int64]) -> None:
        """The tokens of the last `weights` are known (below 0: this stream has ended): learn them, and move on."""
        if self._inputs is None:
            raise ValueError("advance follows weights")
        self._mixer.learn(self._inputs, 0, np.ascontiguousarray(tokens_S, np.int64))
        self._streams.advance(tokens_S)
        self._inputs = None

    def _inputs_of(self, parts: Parts, orders: NDArray[np.int32], T: int) -> StepInputs:
        S, V = self._shape
        mixture, network, memory = (part.astype(np.float32).reshape(S, T, V) * _NATS for part in parts)
        return StepInputs(mixture, network, memory, orders.reshape(S, T))

    def _weights(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        weights, totals = np.empty(self._shape, np.int32), np.empty(self._shape[0], np.int64)
        weights_of(self._mixer.rows(), weights, totals)
        return weights, totals


@kernel
def weights_of(probs_SV: F64x2, weights_SV: I32x2, totals_S: I64x1) -> None:
    """Probabilities as whole numbers of 2^-30, rounded down, and their sums."""
    for s in range(probs_SV.shape[0]):
        total = np.int64(0)
        for v in range(probs_SV.shape[1]):
            w = np.int32(probs_SV[s, v] * float(1 << WEIGHT_BITS))
            weights_SV[s, v] = w
            total += w
        totals_S[s] = total


@kernel
def intervals_of(weights_SV: I32x2, totals_S: I64x1, tokens_S: I64x1, result: I64x2) -> None:
    """Start and length [S, 2] of the interval of each stream's token (below 0: 0, 0)."""
    for s in range(len(tokens_S)):
        result[s, 0] = result[s, 1] = 0
        if tokens_S[s] >= 0:
            result[s, 0], result[s, 1] = interval(weights_SV[s], totals_S[s], tokens_S[s])
