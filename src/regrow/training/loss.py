"""The loss of a training step and its gradients: the network alone, or network and memory as one mixture.

Legend: B sequences, T tokens, R = B * T rows, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from regrow.core.config.schema import TrainConfig
from regrow.network.mixer import Favourites, Mixer, certainty
from regrow.network.transformer import RunBlock, Transformer, block_forward
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import network_inputs, suggested_of
from regrow.training.batches import Part
from regrow.training.compiled import compile_step
from regrow.training.memory import Reading
from regrow.training.row_loss import (
    ROW_KERNELS,
    MixtureInputs,
    RowKernels,
    mixture_loss,
    network_loss,
    network_nats,
)


@dataclass(frozen=True)
class Nats:
    """Sums over the scored tokens: the network's nats, the mixture's (0 where there was none), the tokens."""

    network: float = 0.0
    mixture: float = 0.0
    scored: float = 0.0

    def __add__(self, other: Nats) -> Nats:
        return Nats(self.network + other.network, self.mixture + other.mixture, self.scored + other.scored)


class ReadsMemory(Protocol):
    """What a step asks of the memory (`TrainingMemory` is one such)."""

    def read(self, part: Part, index_B: NDArray[np.int64], network: Transformer, *, joint: bool) -> Reading:
        """What it predicts of these windows without having counted them."""


class StepLoss:
    """Forward and backward passes of `network`, and of `mixer` where the memory takes part."""

    def __init__(
        self,
        network: Transformer,
        mixer: Mixer,
        memory: ReadsMemory | None,
        bos_id: int,
        dtype: torch.dtype,
    ) -> None:
        self._network, self._mixer, self._memory = network, mixer, memory
        self._bos_id, self._dtype = bos_id, dtype
        self._kernels = ROW_KERNELS
        self._run_block: RunBlock = block_forward
        self._joint_rows = 0

    def backward(self, part: Part, index_B: NDArray[np.int64], batch_tokens: int, *, joint: bool) -> Nats:
        """Add to the gradients those of the nats of these windows over `batch_tokens`, the tokens of the whole step."""
        device = self._network.embedding.device
        targets_BT = part.targets(index_B)
        targets = torch.from_numpy(targets_BT).to(device)
        inputs = torch.from_numpy(network_inputs(targets_BT, self._bos_id)).to(device)
        weights = self._network.weights(self._dtype)
        read = self._memory.read(part, index_B, self._network, joint=joint) if self._memory else Reading()
        followed = part.recent(index_B, self._network.past(self._bos_id), torch.get_num_threads())
        suggested = suggested_of(read.likeliest, followed, len(index_B), device)
        hidden_RD = self._network.hidden(inputs, weights, self._run_block, suggested).flatten(0, 1)
        embedding_VD, targets_R = self._network.embedding.to(self._dtype), targets.flatten()
        cap = self._network.config.softcap
        if (memory := read.rows) is None:
            loss = network_loss(hidden_RD, embedding_VD, targets_R, cap, self._kernels)
            network, mixture = float(loss.detach()), 0.0
        else:
            with torch.no_grad():
                logits_RV = F.linear(hidden_RD, embedding_VD)
                best = Favourites(*self._kernels.favourites(logits_RV, memory.log_probs_RV, cap))
            exponents_R2 = self._mixer.exponents_of(memory.facts_RC, certainty(best))
            rows = MixtureInputs(memory.log_probs_RV, targets_R, best)
            loss = mixture_loss(hidden_RD, embedding_VD, exponents_R2, logits_RV, rows, cap, self._kernels)
            network, mixture = network_nats(logits_RV, targets_R, best.total, cap), float(loss.detach())
        torch.autograd.backward(loss / batch_tokens)
        self._warm_joint()
        return Nats(network, mixture, float((targets_BT != IGNORED).sum()))

    def compile(self, config: TrainConfig, rows: int, log: Callable[[str], None]) -> None:
        """Have block and loss compiled in the first step, for so many rows at once; see `compile_step`."""
        device = self._network.embedding.device
        self._run_block, *kernels = compile_step([block_forward, *ROW_KERNELS], config, device, log)
        self._kernels = RowKernels(*kernels)
        self._joint_rows = rows if self._memory and config.closing else 0

    def _warm_joint(self) -> None:
        """Compile the loops of the joint phase now: it begins while the clock runs."""
        rows, self._joint_rows = self._joint_rows, 0
        if not rows or self._kernels.mixture is ROW_KERNELS.mixture:
            return
        memory_RV = torch.zeros(rows, self._network.vocab_size, device=self._network.embedding.device)
        logits_RV, cap = memory_RV.to(self._dtype), self._network.config.softcap
        with torch.no_grad():
            self._kernels.favourites(logits_RV, memory_RV, cap)
            self._kernels.mixture(logits_RV, memory_RV, torch.zeros(rows, 4, device=memory_RV.device), cap)
