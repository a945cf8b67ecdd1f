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
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import Known, Mixture, Prefix
from regrow.predict.predictor import ScoredChunk

_ROWS_AT_ONCE = 2048  # rows of the vocabulary's width that a backward pass holds
_MOMENTUM, _BETAS = 0.9, (0.9, 0.99)


class ScoreFirst:
    """Trains the network of `mixture` in place on scored chunks of one shape, at most `chunks - 1` of them.

    `config.ttt` says which parameters: "adapters" (`lora_a`, `lora_b`) or "all". Memory and mixer stay as they are.
    """

    def __init__(
        self, mixture: Mixture, config: EvalConfig, *, chunks: int, streams: int, dtype: torch.dtype
    ) -> None:
        self._mixture, self._config, self._dtype = mixture, config, dtype
        self.chunks, self.trained = chunks, 0
        self._prefix = Prefix.of(mixture, streams)  # what stood before the chunk
        network, mixer = mixture.network, mixture.mixer
        for p in [*network.parameters(), *(mixer.parameters() if mixer else ())]:
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
        known = self._prefix.read(chunk.tokens_ST)
        if self._optimiser is None:
            return
        for options in self._optimiser.param_groups:
            options["lr"] = rate
        S, T = chunk.tokens_ST.shape
        counted = max(1, int((chunk.tokens_ST != IGNORED).sum()))
        window = self._mixture.network.window
        step = max(1, _ROWS_AT_ONCE // S // window) * window
        for _ in range(self._config.ttt_epochs):
            for at in range(0, T, step):
                piece = known.piece(at, at + step)
                self._backward(piece, chunk.tokens_ST[:, at : at + step], counted)
            if self._config.ttt_clip:
                torch.nn.utils.clip_grad_norm_(self.parameters, self._config.ttt_clip)
            self._optimiser.step()
            self._optimiser.zero_grad()

    def _backward(self, known: Known, targets_ST: NDArray[np.int64], counted: int) -> None:
        """Gradients of a piece of the chunk, from a cold start, of the mean loss of `counted` tokens."""
        network, device = self._mixture.network, self._mixture.device
        with torch.enable_grad():
            inputs = torch.from_numpy(known.inputs_ST.copy()).to(device)
            suggested = self._mixture.suggested(known)
            hidden_STD = network.hidden(inputs, network.weights(self._dtype), suggested=suggested)
            mixture_RV = self._mixture.rows(hidden_STD.flatten(0, 1), known.contexts_RC).mixture_RV
            targets = torch.from_numpy(targets_ST.reshape(-1).copy()).to(device)
            loss = F.cross_entropy(mixture_RV, targets, reduction="sum", ignore_index=IGNORED)
            (loss / counted).backward()  # type: ignore[no-untyped-call]
