"""The predictor: one full distribution for the next token of every stream, fixed before that token is known.

Evaluation, sampling, the codec and the audit's probes all go through `Predictor`. `predict` is given no
target, so strict causality, score before update and a single pass follow from the shape of the code. `score`
is the parallel form of the same function for text that is known already; both are held together by a property test.

Legend: S streams, T tokens, V vocabulary, C context tokens the memory looks back.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.artifact.artifact import Artifact
from regrow.core.errors import RegrowError
from regrow.network.compute import check_products, compute_dtype
from regrow.network.transformer import Suggested, Transformer
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import Mixture, MixtureRows, Prefix, known

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
    no such part, or where tokens were predicted step by step; `adapted` is the cost under an adaptive predictor.
    Raises TypeError when anyone else makes one.
    """

    tokens_ST: NDArray[np.int64]
    mixture_ST: NDArray[np.float64]
    network_ST: NDArray[np.float64]
    memory_ST: NDArray[np.float64] | None
    matched_order_ST: NDArray[np.int8] | None
    adapted_ST: NDArray[np.float64] | None = None
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a ScoredChunk comes from a predictor's score alone")


class Predictor:
    """S streams that move in lock-step, each a text of its own that begins after BOS.

    `predict()` gives log probabilities; `update(tokens)` tells what came. State: the last window of keys and
    values, and the last tokens for the memory. `dtype`: of the network's products.
    """

    def __init__(self, mixture: Mixture, *, streams: int, dtype: torch.dtype) -> None:
        self._mixture, self.dtype, self.streams = mixture, dtype, streams
        self._device, self.vocab_size = mixture.device, mixture.network.vocab_size
        self.reread()
        self.reset()

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        batch: int,
        device: torch.device | str | None = None,
        *,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
    ) -> Predictor:
        """A predictor over `batch` streams from an artifact.

        `device` None: where the artifact was loaded to; another one moves its network there. `dtype` None: what the
        device computes well.
        """
        if device is not None and torch.device(device) != artifact.network.embedding.device:
            artifact.network.to(device)
            artifact.mixer.to(device)
        mixture = mixture_of(artifact, threads)
        dtype = dtype or compute_dtype(mixture.device)
        check_products([p.shape for p in mixture.network.parameters()], batch, dtype, mixture.device)
        return cls(mixture, streams=batch, dtype=dtype)

    @property
    def network(self) -> Transformer:
        """The network predictions come from; `reread` follows a change of its weights."""
        return self._mixture.network

    @property
    def window(self) -> int:
        """Tokens that the network looks back; `score` takes multiples of it."""
        return self._mixture.network.window

    def reread(self) -> None:
        """The network's weights were changed: predict with the new ones from here on. What was remembered of the tokens
        before stays as it was."""
        with torch.no_grad():
            self._weights = self.network.weights(self.dtype)

    def reset(self) -> None:
        """Back to the start of every stream."""
        self._cache = self.network.new_cache(self.streams, self.dtype)
        self._prefix = Prefix.of(self._mixture, self.streams)
        self._hidden_SD: Tensor | None = None  # None: the network has not read the last token yet

    @torch.inference_mode()
    def predict(self) -> Tensor:
        """Log probabilities of each stream's next token: float64 [S, V], rows sum to 1. Changes nothing one can see."""
        return torch.log_softmax(self.rows().mixture_RV.double(), dim=-1)

    def probabilities(self) -> NDArray[np.float64]:
        """The same as probabilities, on the host: what a coder takes."""
        probs: NDArray[np.float64] = self.predict().exp().cpu().numpy()
        return probs

    @torch.inference_mode()
    def rows(self) -> MixtureRows:
        """Mixture, network and memory at each stream's next token, R = S."""
        return self._mixture.rows(self._state(), self._prefix.context_SC)

    def _state(self) -> Tensor:
        """The network's final states [S, D] after all tokens that are known."""
        if self._hidden_SD is None:
            tokens = torch.from_numpy(self._prefix.last_S).to(self._device)
            suggested = self._mixture.suggested(self._prefix.next())
            if suggested is not None:
                suggested = Suggested(*(part.squeeze(1) for part in suggested))
            self._hidden_SD = self.network.step(tokens, self._weights, self._cache, suggested)
        return self._hidden_SD

    def advance(self, tokens_S: NDArray[np.int64]) -> None:
        """`update` for streams of which some have ended: their tokens are IGNORED."""
        self.update(known(tokens_S, self._mixture.bos_id))

    def update(self, tokens_S: NDArray[np.int64]) -> None:
        """The streams' next tokens are known: move on. Raises ValueError for a wrong shape or an unknown token."""
        tokens = np.asarray(tokens_S, np.int64)
        if tokens.shape != (self.streams,) or (
            tokens.size and not 0 <= tokens.min() <= tokens.max() < self.vocab_size
        ):
            raise ValueError(f"update needs {self.streams} tokens below {self.vocab_size}, one per stream")
        with torch.inference_mode():
            self._state()
        self._hidden_SD = None
        self._prefix.extend(tokens[:, None])

    @torch.inference_mode()
    def score(self, tokens_ST: NDArray[np.int64]) -> ScoredChunk:
        """Score the next T known tokens of every stream at once, then move on past them.

        Streams that end inside the chunk are filled up with IGNORED, after which only `reset` makes sense. T
        is a multiple of the attention window, and so is what came before. Raises RegrowError when it is not.
        """
        S, T = tokens_ST.shape
        hidden_RD, contexts_RC = self._read(tokens_ST)
        targets_R = torch.from_numpy(tokens_ST.reshape(-1)).to(self._device)
        parts = [
            _nats(self._mixture.rows(hidden_RD[rows], contexts_RC[rows]), targets_R[rows])
            for rows in (slice(i, i + _ROWS_AT_ONCE) for i in range(0, S * T, _ROWS_AT_ONCE))
        ]
        return self._receipt(tokens_ST, *(np.concatenate(column) for column in zip(*parts, strict=True)))

    @torch.inference_mode()
    def score_rows(self, tokens_ST: NDArray[np.int64]) -> tuple[ScoredChunk, MixtureRows]:
        """`score`, and the rows of every position: R = S * T, held whole."""
        hidden_RD, contexts_RC = self._read(tokens_ST)
        rows = self._mixture.rows(hidden_RD, contexts_RC)
        targets_R = torch.from_numpy(tokens_ST.reshape(-1)).to(self._device)
        return self._receipt(tokens_ST, *_nats(rows, targets_R)), rows

    @torch.inference_mode()
    def score_texts(self, tokens_ST: NDArray[np.int64]) -> NDArray[np.float64]:
        """Nats of whole texts, one a row and filled up with IGNORED, each after BOS: float64 [S, T], T at most a window
        or a multiple of it. Any number of texts; the predictor's own streams stay where they are."""
        known = Prefix.of(self._mixture, len(tokens_ST)).read(tokens_ST)
        suggested = self._mixture.suggested(known)
        inputs = torch.from_numpy(known.inputs_ST).to(self._device)
        hidden_STD = self.network.hidden(inputs, self._weights, suggested=suggested)
        targets_R = tokens_ST.reshape(-1)
        kept_R = np.flatnonzero(targets_R != IGNORED)
        nats_R = np.zeros(len(targets_R))
        for at in range(0, len(kept_R), _ROWS_AT_ONCE):
            rows = kept_R[at : at + _ROWS_AT_ONCE]
            hidden_RD = hidden_STD.flatten(0, 1)[torch.from_numpy(rows).to(self._device)]
            targets = torch.from_numpy(targets_R[rows]).to(self._device)
            nats_R[rows] = _nats(self._mixture.rows(hidden_RD, known.contexts_RC[rows]), targets)[0]
        return nats_R.reshape(tokens_ST.shape)

    def _read(self, tokens_ST: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int32]]:
        """Final states [R, D] before each token and the memory's contexts [R, C]; moves on past the tokens."""
        T = tokens_ST.shape[1]
        if self._hidden_SD is not None or T % self.window or self._cache.length % self.window:
            raise RegrowError(
                f"score: chunks of {T} tokens do not fit the model's window; use a multiple of {self.window}."
            )
        known = self._prefix.read(tokens_ST)
        inputs = torch.from_numpy(known.inputs_ST).to(self._device)
        hidden_STD = self.network.chunk(
            inputs, self._weights, self._cache, None, self._mixture.suggested(known)
        )
        return hidden_STD.flatten(0, 1), known.contexts_RC

    def _receipt(
        self,
        tokens_ST: NDArray[np.int64],
        mixture_R: NDArray[np.float64],
        network_R: NDArray[np.float64],
        memory_R: NDArray[np.float64],
        order_R: NDArray[np.int32],
    ) -> ScoredChunk:
        shape = tokens_ST.shape
        mixture_ST, network_ST = mixture_R.reshape(shape), network_R.reshape(shape)
        if len(memory_R) == 0:
            return ScoredChunk(tokens_ST, mixture_ST, network_ST, None, None, seal=_SEAL)
        memory_ST, order_ST = memory_R.reshape(shape), order_R.reshape(shape).astype(np.int8)
        return ScoredChunk(tokens_ST, mixture_ST, network_ST, memory_ST, order_ST, seal=_SEAL)


def mixture_of(artifact: Artifact, threads: int | None = None) -> Mixture:
    """An artifact's network, memory and mixer."""
    return Mixture(artifact.network, artifact.tokenizer.bos_id, artifact.memory, artifact.mixer, threads)


def _nats(
    rows: MixtureRows, targets_R: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Nats of the targets under mixture, network and memory, and the order that matched, [R] each; without a memory
    the mixture is the network, and the others are empty."""
    network_R = _chosen(torch.log_softmax(rows.network_RV, -1), targets_R)
    if rows.memory is None:
        return network_R, network_R, np.empty(0), np.empty(0, np.int32)
    mixture_R = _chosen(torch.log_softmax(rows.mixture_RV, -1), targets_R)
    return mixture_R, network_R, _chosen(rows.memory.log_probs_RV, targets_R), rows.memory.order_R


def _chosen(log_probs_RV: Tensor, targets_R: Tensor) -> NDArray[np.float64]:
    """Nats of the targets; 0 for IGNORED."""
    chosen = -log_probs_RV.gather(1, targets_R.clamp(min=0)[:, None])[:, 0].double()
    nats: NDArray[np.float64] = torch.where(targets_R == IGNORED, 0.0, chosen).cpu().numpy()
    return nats
