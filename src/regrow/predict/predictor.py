"""The predictor: one full distribution for the next token of every stream, fixed before that token is known.

Evaluation, sampling, the codec and the audit's probes all go through `Predictor`. `predict` is given no
target, so strict causality, score before update and a single pass follow from the shape of the code. `score`
is the parallel form of the same function for text that is known already; both are held together by a property test.

Legend: S streams, T tokens, V vocabulary, C context tokens the memory looks back.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.artifact.artifact import Artifact
from regrow.core.errors import RegrowError
from regrow.network.compute import compute_dtype
from regrow.network.mixer import MemoryRows, Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory

IGNORED = -1
_ROWS_AT_ONCE = 2048  # rows of the vocabulary's width that `score` holds at a time: they fit a CPU's cache


class _Seal:
    """What a `ScoredChunk` is made with; there is one, and it stays with the predictors."""


_SEAL = _Seal()


@dataclass(frozen=True)
class ScoredChunk:
    """Tokens that have been scored, with their cost in nats under the mixture and under each part alone,
    float64 [S, T].

    Only a predictor makes one, of tokens whose distributions were fixed before it was given them: it is the receipt
    that learning from a text asks for. Costs of IGNORED tokens are 0. `network` and `memory` are None where there is
    no such part, or where tokens were predicted step by step; `adapted` is the cost under a predictor that learns.
    Raises TypeError when anyone else makes one.
    """

    tokens_ST: NDArray[np.int64]
    blended_ST: NDArray[np.float64]
    network_ST: NDArray[np.float64]
    memory_ST: NDArray[np.float64] | None
    matched_order_ST: NDArray[np.int8] | None
    adapted_ST: NDArray[np.float64] | None = None
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a ScoredChunk comes from a predictor's score alone")


class Parts(NamedTuple):
    """What the parts say of R positions, float32 [R, V]: `mixed` and `network` unnormalised log probabilities, `memory`
    log probabilities (None without one), and `order` int32 [R], the order that matched (0 without one)."""

    mixed_RV: Tensor
    network_RV: Tensor
    memory_RV: Tensor | None
    order_R: NDArray[np.int32]


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

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        batch: int,
        device: torch.device | str = "cpu",
        *,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
    ) -> Predictor:
        """A predictor over `batch` streams from an artifact. `dtype` None: what `device` computes well."""
        target = torch.device(device)
        return cls(
            artifact.network.to(target), artifact.memory, artifact.mixer.to(target), streams=batch,
            bos_id=artifact.tokenizer.bos_id, dtype=dtype or compute_dtype(target), threads=threads,
        )  # fmt: skip

    @property
    def network(self) -> Transformer:
        """The network predictions come from; `reread` follows a change of its weights."""
        return self._network

    def reread(self) -> None:
        """The network's weights were changed: predict with the new ones from here on. What was remembered of the tokens
        before stays as it was."""
        with torch.no_grad():
            self._weights = self._network.weights(self.dtype)

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
        return torch.log_softmax(self.parts().mixed_RV.double(), dim=-1)

    def probabilities(self) -> NDArray[np.float64]:
        """The same as probabilities, on the host: what a coder takes."""
        probs: NDArray[np.float64] = self.predict().exp().cpu().numpy()
        return probs

    @torch.inference_mode()
    def parts(self) -> Parts:
        """What network, memory and mixture say of each stream's next token, R = S."""
        return self._parts(self._state(), self._context_SC)

    def _state(self) -> Tensor:
        """The network's final states [S, D] after all tokens that are known."""
        if self._fresh_S is not None:
            tokens = torch.from_numpy(self._fresh_S).to(self._device)
            self._hidden_SD = self._network.step(tokens, self._weights, self._cache)
            self._fresh_S = None
        assert self._hidden_SD is not None
        return self._hidden_SD

    def _parts(self, hidden_RD: Tensor, contexts_RC: NDArray[np.int32]) -> Parts:
        logits_RV = self._network.logits(hidden_RD)
        if self._memory is None:
            return Parts(logits_RV, logits_RV, None, np.zeros(len(contexts_RC), np.int32))
        found = self._memory.rows(contexts_RC, threads=self._threads)
        rows = MemoryRows.of(found, self._device)
        mixed_RV = self._mixer(logits_RV, rows.log_probs_RV, rows.facts_RC)
        return Parts(mixed_RV, logits_RV, rows.log_probs_RV, found.matched_order_R.astype(np.int32))

    def advance(self, tokens_S: NDArray[np.int64]) -> None:
        """`update` for streams of which some have ended: their tokens are IGNORED."""
        self.update(np.where(tokens_S == IGNORED, self._bos_id, tokens_S))

    def update(self, tokens_S: NDArray[np.int64]) -> None:
        """The streams' next tokens are known: move on. Raises ValueError for a wrong shape or an unknown token."""
        tokens = np.asarray(tokens_S, np.int64)
        if tokens.shape != (self.streams,) or (
            tokens.size and not 0 <= tokens.min() <= tokens.max() < self.vocab_size
        ):
            raise ValueError(f"update needs {self.streams} tokens below {self.vocab_size}, one a stream")
        with torch.inference_mode():
            self._state()
        self._fresh_S = tokens.copy()
        self._push_context(tokens[:, None])

    @torch.inference_mode()
    def score(self, tokens_ST: NDArray[np.int64]) -> ScoredChunk:
        """Score the next T known tokens of every stream at once, then move on past them.

        Streams that end inside the chunk are filled up with IGNORED, after which only `reset` makes sense. T
        is a multiple of the attention window, and so is what came before. Raises RegrowError when it is not.
        """
        S, T = tokens_ST.shape
        hidden, contexts = self._read(tokens_ST)
        targets = torch.from_numpy(tokens_ST.reshape(-1)).to(self._device)
        parts = [
            self._score_rows(hidden.reshape(S * T, -1)[rows], contexts[rows], targets[rows])
            for rows in (slice(i, i + _ROWS_AT_ONCE) for i in range(0, S * T, _ROWS_AT_ONCE))
        ]
        blended, network, memory, order = (
            np.concatenate(column).reshape(S, T) for column in zip(*parts, strict=True)
        )
        if self._memory is None:
            return ScoredChunk(tokens_ST, blended, network, None, None, seal=_SEAL)
        return ScoredChunk(tokens_ST, blended, network, memory, order.astype(np.int8), seal=_SEAL)

    @torch.inference_mode()
    def score_parts(self, tokens_ST: NDArray[np.int64]) -> tuple[ScoredChunk, Parts]:
        """`score`, and what the parts said of every position: R = S * T rows, held whole."""
        S, T = tokens_ST.shape
        hidden, contexts = self._read(tokens_ST)
        parts = self._parts(hidden.reshape(S * T, -1), contexts)
        targets = torch.from_numpy(tokens_ST.reshape(-1)).to(self._device)

        def nats(log_probs_RV: Tensor) -> NDArray[np.float64]:
            return _chosen(log_probs_RV, targets).reshape(S, T)

        blended = nats(torch.log_softmax(parts.mixed_RV, -1))
        if parts.memory_RV is None:
            return ScoredChunk(tokens_ST, blended, blended, None, None, seal=_SEAL), parts
        order = parts.order_R.reshape(S, T).astype(np.int8)
        network, memory = nats(torch.log_softmax(parts.network_RV, -1)), nats(parts.memory_RV)
        return ScoredChunk(tokens_ST, blended, network, memory, order, seal=_SEAL), parts

    def _read(self, tokens_ST: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int32]]:
        """Final states [S, T, D] before each token and the memory's contexts [S * T, C]; moves on past the tokens."""
        T, window = tokens_ST.shape[1], self._network.window
        if self._fresh_S is None or T % window or self._cache.length % window:
            raise RegrowError(
                f"score: chunks of {T} tokens do not fit the model's window; use a multiple of {window}."
            )
        known_ST = np.where(tokens_ST == IGNORED, self._bos_id, tokens_ST)
        inputs_ST = np.concatenate((self._fresh_S[:, None], known_ST[:, :-1]), axis=1)
        hidden = self._network.chunk(torch.from_numpy(inputs_ST).to(self._device), self._weights, self._cache)
        contexts = self._contexts(known_ST)
        self._fresh_S = known_ST[:, -1].copy()
        self._push_context(known_ST)
        return hidden, contexts

    def _score_rows(
        self, hidden_RD: Tensor, contexts_RC: NDArray[np.int32], targets_R: Tensor
    ) -> tuple[NDArray[np.float64], ...]:
        parts = self._parts(hidden_RD, contexts_RC)
        network_R = _chosen(torch.log_softmax(parts.network_RV, -1), targets_R)
        if parts.memory_RV is None:
            return network_R, network_R, network_R, np.zeros_like(network_R)
        memory_R = _chosen(parts.memory_RV, targets_R)
        blended_R = _chosen(torch.log_softmax(parts.mixed_RV, -1), targets_R)
        return blended_R, network_R, memory_R, parts.order_R.astype(np.float64)

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


def _chosen(log_probs_RV: Tensor, targets_R: Tensor) -> NDArray[np.float64]:
    """Nats of the targets; 0 for IGNORED."""
    chosen = -log_probs_RV.gather(1, targets_R.clamp(min=0)[:, None])[:, 0].double()
    nats: NDArray[np.float64] = torch.where(targets_R == IGNORED, 0.0, chosen).cpu().numpy()
    return nats


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
