"""The predictor: one full distribution for the next token of every stream, fixed before that token is known.

Evaluation, sampling, the codec and the audit's probes all go through `Predictor`. `predict` is given no
target, so strict causality, score before update and a single pass follow from the shape of the code. `score`
is the parallel form of the same function for text that is known already; both are held together by a property test.

Legend: S streams, T tokens, V vocabulary, C context tokens the memory looks back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.errors import RegrowError
from regrow.mixer import MemoryRows, Mixer
from regrow.model import Transformer
from regrow.ngram.kinds import Memory

IGNORED = -1
_ROWS_AT_ONCE = 2048  # rows of the vocabulary's width that `score` holds at a time: they fit a CPU's cache


@dataclass(frozen=True)
class ScoredChunk:
    """Tokens that have been scored, with their cost in nats under the mixture and under each part alone,
    float64 [S, T].

    Only `Predictor.score` makes one, which is what adapting to text may ask for as a receipt. Costs of
    IGNORED tokens are 0. `network` and `memory` are None where there is no such part.
    """

    tokens_ST: NDArray[np.int64]
    blended_ST: NDArray[np.float64]
    network_ST: NDArray[np.float64]
    memory_ST: NDArray[np.float64] | None
    matched_order_ST: NDArray[np.int8] | None


class Predictor:
    """S streams that move in lock-step, each a text of its own that begins after BOS.

    `predict()` gives log probabilities; `update(tokens)` tells what came. State: the last window of keys and
    values, and the last tokens for the memory.
    """

    def __init__(
        self,
        network: Transformer,
        memory: Memory | None,
        mixer: Mixer,
        *,
        streams: int,
        bos_id: int,
        dtype: torch.dtype,
        threads: int | None = None,
    ) -> None:
        self._network, self._memory, self._mixer = network, memory, mixer
        self.dtype, self._bos_id, self._threads = dtype, bos_id, threads
        self._device = network.embedding.device
        with torch.no_grad():
            self._weights = network.weights(dtype)
        self.streams, self.vocab_size = streams, network.vocab_size
        self._width = memory.max_order - 1 if memory else 0
        self.reset()

    def reset(self) -> None:
        """Back to the start of every stream."""
        self._cache = self._network.new_cache(self.streams, self.dtype)
        self._context_SC = np.full((self.streams, self._width), -1, np.int32)
        self._fresh_S: NDArray[np.int64] | None = np.full(self.streams, self._bos_id, np.int64)
        self._hidden_SD: Tensor | None = None
        self._push_context(self._fresh_S[:, None])

    @torch.inference_mode()
    def predict(self) -> Tensor:
        """Log probabilities of each stream's next token: float64 [S, V], rows sum to 1. Changes nothing one can see."""
        if self._fresh_S is not None:
            tokens = torch.from_numpy(self._fresh_S).to(self._device)
            self._hidden_SD = self._network.step(tokens, self._weights, self._cache)
            self._fresh_S = None
        assert self._hidden_SD is not None
        logits_SV = self._network.logits(self._hidden_SD)
        if self._memory is not None:
            rows = MemoryRows.of(self._memory.rows(self._context_SC, threads=self._threads), self._device)
            logits_SV = self._mixer(logits_SV, rows.log_probs_RV, rows.facts_RC)
        return torch.log_softmax(logits_SV.double(), dim=-1)

    def update(self, tokens_S: NDArray[np.int64]) -> None:
        """The streams' next tokens are known: move on. Raises ValueError for a wrong shape or an unknown token."""
        tokens = np.asarray(tokens_S, np.int64)
        if tokens.shape != (self.streams,) or (
            tokens.size and not 0 <= tokens.min() <= tokens.max() < self.vocab_size
        ):
            raise ValueError(f"update needs {self.streams} tokens below {self.vocab_size}, one a stream")
        if self._fresh_S is not None:
            self.predict()
        self._fresh_S = tokens.copy()
        self._push_context(tokens[:, None])

    @torch.inference_mode()
    def score(self, tokens_ST: NDArray[np.int64]) -> ScoredChunk:
        """Score the next T known tokens of every stream at once, then move on past them.

        Streams that end inside the chunk are filled up with IGNORED, after which only `reset` makes sense. T
        is a multiple of the attention window, and so is what came before. Raises RegrowError when it is not.
        """
        S, T = tokens_ST.shape
        window = self._network.window
        if self._fresh_S is None or T % window or self._cache.length % window:
            raise RegrowError(
                f"score: chunks of {T} tokens do not fit the model's window; use a multiple of {window}."
            )
        known_ST = np.where(tokens_ST == IGNORED, self._bos_id, tokens_ST)
        inputs_ST = np.concatenate((self._fresh_S[:, None], known_ST[:, :-1]), axis=1)
        hidden = self._network.chunk(torch.from_numpy(inputs_ST).to(self._device), self._weights, self._cache)
        contexts = self._contexts(known_ST)
        targets = torch.from_numpy(tokens_ST.reshape(-1)).to(self._device)
        parts = [
            self._score_rows(hidden.reshape(S * T, -1)[rows], contexts[rows], targets[rows])
            for rows in (slice(i, i + _ROWS_AT_ONCE) for i in range(0, S * T, _ROWS_AT_ONCE))
        ]
        blended, network, memory, order = (
            np.concatenate(column).reshape(S, T) for column in zip(*parts, strict=True)
        )
        self._fresh_S = known_ST[:, -1].copy()
        self._push_context(known_ST)
        if self._memory is None:
            return ScoredChunk(tokens_ST, blended, network, None, None)
        return ScoredChunk(tokens_ST, blended, network, memory, order.astype(np.int8))

    def _score_rows(
        self, hidden_RD: Tensor, contexts_RC: NDArray[np.int32], targets_R: Tensor
    ) -> tuple[NDArray[np.float64], ...]:
        def nats(log_probs_RV: Tensor) -> NDArray[np.float64]:
            chosen = -log_probs_RV.gather(1, targets_R.clamp(min=0)[:, None])[:, 0].double()
            return torch.where(targets_R == IGNORED, 0.0, chosen).cpu().numpy()

        logits_RV = self._network.logits(hidden_RD)
        network_R = nats(torch.log_softmax(logits_RV, -1))
        if self._memory is None:
            return network_R, network_R, network_R, np.zeros_like(network_R)
        rows = self._memory.rows(contexts_RC, threads=self._threads)
        order_R = rows.matched_order_R.astype(np.float64)
        memory = MemoryRows.of(rows, self._device)
        memory_R = nats(memory.log_probs_RV)
        mixed_RV = self._mixer(logits_RV, memory.log_probs_RV, memory.facts_RC)
        return nats(torch.log_softmax(mixed_RV, -1)), network_R, memory_R, order_R

    def _contexts(self, tokens_ST: NDArray[np.int64]) -> NDArray[np.int32]:
        """The memory's context [S * T, C] of every token of the chunk."""
        C = self._width
        if C == 0:
            return np.empty((tokens_ST.size, 0), np.int32)
        whole = np.concatenate((self._context_SC, tokens_ST[:, :-1].astype(np.int32)), axis=1)
        return np.lib.stride_tricks.sliding_window_view(whole, C, axis=1).reshape(-1, C)

    def _push_context(self, tokens_ST: NDArray[np.int64]) -> None:
        if self._width:
            joined = np.concatenate((self._context_SC, tokens_ST.astype(np.int32)), axis=1)
            self._context_SC = joined[:, -self._width :]


def split_streams(tokens: NDArray[np.integer[Any]], streams: int, multiple: int = 1) -> NDArray[np.int64]:
    """Cut a text into `streams` consecutive pieces, as equal as can be, the longer first: int64 [S, T].

    Pieces are filled up to one length, a multiple of `multiple`, with IGNORED.
    """
    short, longer = divmod(len(tokens), streams)
    length = -(-(short + (longer > 0)) // multiple) * multiple
    result = np.full((streams, length), IGNORED, np.int64)
    at = 0
    for s in range(streams):
        n = short + (s < longer)
        result[s, :n] = tokens[at : at + n]
        at += n
    return result


def stream_count(tokens: int, most: int) -> int:
    """How many streams a text of so many tokens is cut into: every stream starts cold, so short texts get few."""
    return max(1, min(most, tokens // 256))
