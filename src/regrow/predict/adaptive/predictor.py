"""The adaptive predictor: the fixed one, and what can be learned from text it has already predicted.

Three things are learned, each from tokens whose cost is already fixed: counts of recent text, the weights that
mix them with what the artifact says (`online_mixer`), and the network's adapters, chunk by chunk
(`score_first`). A decoder that has decoded so far knows all that an encoder knew at that place, so it repeats
every update in the same order and at the same shapes, and an adaptive score is proven like any other.

Fewer streams than the fixed predictor's: each starts cold, and all learn from each other.

Legend: S streams, T tokens, V vocabulary.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from regrow.artifact.artifact import Artifact
from regrow.core.config.load import apply_overrides
from regrow.core.config.schema import Config, EvalConfig
from regrow.core.errors import ConfigError, DataError, RegrowError
from regrow.predict.adaptive.first_stage import StepInputs
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.adaptive.score_first import ScoreFirst
from regrow.predict.adaptive.settings import eval_overrides
from regrow.predict.lockstep import stream_count
from regrow.predict.mixture import MixtureRows
from regrow.predict.predictor import _SEAL, Predictor, ScoredChunk, mixture_of


class Adaptation(msgspec.Struct, frozen=True, array_like=True):
    """How a predictor adapts: what a stream made with it says. Written as an array: field order is the format."""

    streams: int
    orders: int
    tokens: int
    ttt: str
    chunk_tokens: int
    epochs: int
    optimiser: str
    rate: float
    clip: float

    @classmethod
    def of(cls, config: Config) -> Adaptation:
        """From the keys of [eval]. Raises ConfigError where they do not fit the network."""
        e = config.eval
        window = config.model.window or config.train.seq_len
        unit = e.adapt_streams * window
        if e.ttt != "none" and e.ttt_chunk_tokens % unit:
            raise ConfigError(
                f"eval.ttt_chunk_tokens is {e.ttt_chunk_tokens}, choose a multiple of {unit}: {e.adapt_streams} "
                f"streams (eval.adapt_streams) times the model's window of {window}."
            )
        if e.ttt == "none":
            return cls(e.adapt_streams, e.adapt_orders, e.adapt_tokens, "none", 0, 0, "", 0.0, 0.0)
        return cls(
            e.adapt_streams, e.adapt_orders, e.adapt_tokens, e.ttt, e.ttt_chunk_tokens, e.ttt_epochs, e.ttt_optimiser,
            e.ttt_rate, e.ttt_clip,
        )  # fmt: skip

    def check(self, tokens: int, source: str) -> None:
        """Raise DataError if a chunk is longer than a text of so many tokens: nothing would be trained."""
        if self.chunk_tokens > tokens:
            raise DataError(
                f"{source}: has {tokens} tokens, fewer than one chunk of {self.chunk_tokens}; give it more text, or "
                'set eval.ttt = "none".'
            )

    def sentence(self) -> str:
        """The settings in words."""
        text = f"{self.streams} streams, contexts of {self.orders} tokens, the last {self.tokens} tokens"
        if self.ttt == "none":
            return f"{text}, no training"
        return (
            f"{text}, {self.ttt} trained on chunks of {self.chunk_tokens} tokens ({self.epochs} epochs, "
            f"{self.optimiser} {self.rate:g}, clip {self.clip:g})"
        )


class AdaptivePredictor:
    """S streams in lock-step, like `Predictor`, which it asks for what the artifact says.

    `predict` (or `probabilities`), then `update` (or `advance`): a distribution is fixed before its token is
    known, and every learning follows. `score` does the same for known text, the network in parallel.
    """

    def __init__(
        self, base: Predictor, pieces: Sequence[bytes], settings: Adaptation, trainer: ScoreFirst | None
    ) -> None:
        """`pieces`: the bytes of each token."""
        self._base, self._trainer = base, trainer
        self.streams, self.vocab_size, self.dtype = base.streams, base.vocab_size, base.dtype
        self._mixer = OnlineMixer(base.streams, pieces, settings.orders, settings.tokens)
        self._chunk_steps = settings.chunk_tokens // settings.streams
        self._left = trainer.chunks - 1 if trainer else 0  # chunks still to train on
        self._inputs: StepInputs | None = None
        self._tokens: list[NDArray[np.int64]] = []  # of the chunk under way: [S, T] pieces
        self._nats: list[NDArray[np.float64]] = []
        # Seconds spent: on the artifact's own predictions, on learning and mixing, on training.
        self.seconds = {"artifact": 0.0, "memory": 0.0, "training": 0.0}

    @property
    def nbytes(self) -> int:
        """Bytes of what is remembered of the text."""
        return self._mixer.nbytes

    def probabilities(self) -> NDArray[np.float64]:
        """The distribution of each stream's next token, float64 [S, V]. Changes nothing one can see."""
        self._fix()
        return self._mixer.rows()

    def predict(self) -> torch.Tensor:
        """Its logarithm, as `Predictor.predict` gives it."""
        return torch.from_numpy(np.log(self.probabilities()))

    def update(self, tokens_S: NDArray[np.int64]) -> None:
        """The streams' next tokens are known. Raises ValueError for a wrong shape or an unknown token."""
        tokens = np.asarray(tokens_S, np.int64)
        if tokens.shape != (self.streams,) or not 0 <= tokens.min() <= tokens.max() < self.vocab_size:
            raise ValueError(f"update needs {self.streams} tokens below {self.vocab_size}, one a stream")
        self.advance(tokens)

    def advance(self, tokens_S: NDArray[np.int64]) -> None:
        """`update` for streams of which some have ended: their tokens are IGNORED, and nothing is learned of them."""
        tokens_S = np.asarray(tokens_S, np.int64)
        inputs = self._fix()
        nats_S = self._mixer.learn(inputs, 0, tokens_S)
        self._inputs = None
        self._base.advance(tokens_S)
        self._keep(tokens_S[:, None], nats_S[:, None])

    def score(self, tokens_ST: NDArray[np.int64]) -> ScoredChunk:
        """Score the next T known tokens of every stream, learning as it goes; T is a multiple of the window, and stays
        within one chunk of training.

        `adapted_ST` of the result is the cost; `mixture_ST` is what the mixture alone would have cost. Raises
        RegrowError for another T.
        """
        S, T = tokens_ST.shape
        if self._left and sum(piece.shape[1] for piece in self._tokens) + T > self._chunk_steps:
            raise RegrowError(
                f"score: {T} tokens a stream reach past the end of the chunk; score them in two."
            )
        started = time.perf_counter()
        scored, rows = self._base.score_rows(tokens_ST)
        inputs = _inputs_of(rows, S, T)
        predicted = time.perf_counter()
        adapted_ST = self._mixer.score(inputs, tokens_ST)
        self.seconds["artifact"] += predicted - started
        self.seconds["memory"] += time.perf_counter() - predicted
        self._keep(tokens_ST, adapted_ST)
        return ScoredChunk(
            tokens_ST, scored.mixture_ST, scored.network_ST, scored.memory_ST, scored.matched_order_ST, adapted_ST,
            seal=_SEAL,
        )  # fmt: skip

    def _fix(self) -> StepInputs:
        if self._inputs is None:
            self._inputs = _inputs_of(self._base.rows(), self.streams, 1)
            self._mixer.predict(self._inputs, 0)
        return self._inputs

    def _keep(self, tokens_ST: NDArray[np.int64], nats_ST: NDArray[np.float64]) -> None:
        """Tokens are scored; at the end of a chunk that is not the last, train on it."""
        if self._trainer is None or self._left == 0:
            return
        self._tokens.append(tokens_ST)
        self._nats.append(nats_ST)
        if sum(piece.shape[1] for piece in self._tokens) < self._chunk_steps:
            return
        tokens, nats = np.concatenate(self._tokens, axis=1), np.concatenate(self._nats, axis=1)
        self._tokens, self._nats = [], []
        self._left -= 1
        started = time.perf_counter()
        self._trainer.learn(ScoredChunk(tokens, nats, nats, None, None, nats, seal=_SEAL))
        self._base.reread()
        self.seconds["training"] += time.perf_counter() - started


def adaptation_of(config: Config, adapt: bool | Sequence[str] = True) -> Adaptation:
    """The adaptation that [eval] of `config` describes, or that with overrides such as ["eval.ttt=none"].

    Raises ConfigError for an override of another section: an artifact's network and memory are what they are.
    """
    overrides = eval_overrides(adapt)
    return Adaptation.of(apply_overrides(config, overrides) if overrides else config)


def adaptive_predictor(
    artifact: Artifact,
    settings: Adaptation,
    tokens: int,
    *,
    dtype: torch.dtype | None = None,
    threads: int | None = None,
) -> AdaptivePredictor:
    """An adaptive predictor for a text of so many tokens. The artifact's own network is left as it is."""
    streams = stream_count(tokens, settings.streams)
    fixed = artifact.predictor(streams, dtype=dtype, threads=threads)
    steps = -(-tokens // streams)
    chunk_steps = settings.chunk_tokens // settings.streams
    chunks = -(-steps // chunk_steps) if chunk_steps else 0
    # A text too short for all streams has other shapes, and is too short to learn from.
    pieces = artifact.tokenizer.token_bytes
    if chunks < 2 or streams != settings.streams:
        return AdaptivePredictor(fixed, pieces, settings, None)
    mixture = dataclasses.replace(mixture_of(artifact, threads), network=copy.deepcopy(artifact.network))
    base = Predictor(mixture, streams=streams, dtype=fixed.dtype)
    config = EvalConfig(
        ttt=settings.ttt, ttt_epochs=settings.epochs, ttt_optimiser=settings.optimiser,  # type: ignore[arg-type]
        ttt_rate=settings.rate, ttt_clip=settings.clip,
    )  # fmt: skip
    trainer = ScoreFirst(mixture, config, chunks=chunks, streams=streams, dtype=fixed.dtype)
    return AdaptivePredictor(base, pieces, settings, trainer)


def _inputs_of(rows: MixtureRows, S: int, T: int) -> StepInputs:
    """What the online mixer takes, on the host."""

    def host(x: torch.Tensor) -> NDArray[np.float32]:
        return np.ascontiguousarray(x.float().cpu().numpy()).reshape(S, T, -1)

    mixture, network = host(rows.mixture_RV), host(rows.network_RV)
    if rows.memory is None:
        return StepInputs(mixture, network, np.zeros_like(mixture), np.zeros((S, T), np.int32))
    order_ST = np.ascontiguousarray(rows.memory.order_R).reshape(S, T)
    return StepInputs(mixture, network, host(rows.memory.log_probs_RV), order_ST)
