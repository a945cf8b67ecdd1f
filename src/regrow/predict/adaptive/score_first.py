"""Score first, then train: the network learns from a chunk of text once that chunk has been scored, never before.

The order of parameter-golf's legal test-time training: score a chunk without gradients, add its cost to the total, and
then, unless it is the last, train on it (some epochs; SGD with momentum or AdamW; the rate falls along a cosine over
the chunks; gradients clipped). The loss is the mixture's, so the network learns what the memory lacks. What may be
trained on is a `ScoredChunk`, which a predictor alone can make.

Legend: S streams, T tokens, C context tokens of the memory, R rows, V vocabulary.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from regrow.core.config.schema import EvalConfig
from regrow.network.mixer import MemoryRows, Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory
from regrow.predict.predictor import IGNORED, ScoredChunk

_ROWS_AT_ONCE = 2048  # rows of the vocabulary's width that a backward pass holds
_MOMENTUM, _BETAS = 0.9, (0.9, 0.99)


class ScoreFirst:
    """Trains `network` in place on scored chunks of one shape, at most `chunks - 1` of them.

    `config.ttt` says which parameters: "adapters" (`lora_a`, `lora_b`) or "all". Memory and mixer stay as they are.
    """

    def __init__(
        self,
        network: Transformer,
        memory: Memory | None,
        mixer: Mixer,
        config: EvalConfig,
        *,
        chunks: int,
        streams: int,
        bos_id: int,
        dtype: torch.dtype,
        threads: int | None,
    ) -> None:
        self._network, self._memory, self._mixer = network, memory, mixer
        self._config, self._dtype, self._threads, self._bos_id = config, dtype, threads, bos_id
        self.chunks, self.trained = chunks, 0
        self._width = max(1, memory.max_order - 1 if memory else 1)
        self._tail_SC = np.full((streams, self._width), -1, np.int64)  # what stood before the chunk
        self._tail_SC[:, -1] = bos_id
        for p in [*network.parameters(), *mixer.parameters()]:
            p.requires_grad_(False)
        self.parameters = [
            p for name, p in network.named_parameters() if config.ttt == "all" or "lora" in name
        ]
        for p in self.parameters:
            p.requires_grad_(True)
        self._optimiser: torch.optim.Optimizer | None = None
        if self.parameters and config.ttt_optimiser == "sgd":
            self._optimiser = torch.optim.SGD(self.parameters, lr=config.ttt_rate, momentum=_MOMENTUM)
        elif self.parameters:
            self._optimiser = torch.optim.AdamW(
                self.parameters, lr=config.ttt_rate, betas=_BETAS, weight_decay=0.0
            )

    def learn(self, chunk: ScoredChunk) -> None:
        """Train on a chunk that has been scored. Raises TypeError for anything that is not the receipt of a score,
        RuntimeError once every chunk but the last has been learned from."""
        if not isinstance(chunk, ScoredChunk):
            raise TypeError(f"test-time training takes a ScoredChunk, not {type(chunk).__name__}")
        if self.trained >= self.chunks - 1:
            raise RuntimeError("nothing is left to score after this chunk, so there is nothing to train for")
        rate = self._config.ttt_rate * 0.5 * (1 + math.cos(math.pi * self.trained / max(1, self.chunks - 1)))
        self.trained += 1
        tokens_ST = np.where(chunk.tokens_ST == IGNORED, self._bos_id, chunk.tokens_ST)
        whole = np.concatenate((self._tail_SC, tokens_ST), axis=1)
        self._tail_SC = whole[:, -self._width :].copy()
        if self._optimiser is None:
            return
        for options in self._optimiser.param_groups:
            options["lr"] = rate
        window = self._network.window
        for _ in range(self._config.ttt_epochs):
            counted = max(1, int((chunk.tokens_ST != IGNORED).sum()))
            step = max(1, _ROWS_AT_ONCE // len(tokens_ST) // window) * window
            for at in range(0, tokens_ST.shape[1], step):
                self._backward(whole, chunk.tokens_ST, at, min(at + step, tokens_ST.shape[1]), counted)
            if self._config.ttt_clip:
                torch.nn.utils.clip_grad_norm_(self.parameters, self._config.ttt_clip)
            self._optimiser.step()
            self._optimiser.zero_grad()

    def _backward(
        self, whole: NDArray[np.int64], targets_ST: NDArray[np.int64], start: int, stop: int, counted: int
    ) -> None:
        """Gradients of the chunk's tokens start..stop, from a cold start, of the mean loss of `counted` tokens."""
        C = self._width
        inputs = torch.from_numpy(np.maximum(whole[:, C - 1 + start : C - 1 + stop], 0).copy())
        device = self._network.embedding.device
        with torch.enable_grad():
            hidden = self._network.hidden(inputs.to(device), self._network.weights(self._dtype))
            mixed_RV = self._network.logits(hidden).flatten(0, 1)
            if self._memory is not None:
                back = self._memory.max_order - 1
                spans = np.lib.stride_tricks.sliding_window_view(whole[:, start : C + stop - 1], C, axis=1)
                contexts = spans[:, : stop - start, C - back :].reshape(-1, back).astype(np.int32)
                rows = MemoryRows.of(self._memory.rows(contexts, threads=self._threads), device)
                mixed_RV = self._mixer(mixed_RV, rows.log_probs_RV, rows.facts_RC)
            targets = torch.from_numpy(targets_ST[:, start:stop].reshape(-1).copy()).to(device)
            loss = F.cross_entropy(mixed_RV, targets, reduction="sum", ignore_index=IGNORED)
            (loss / counted).backward()  # type: ignore[no-untyped-call]
