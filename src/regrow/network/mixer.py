"""The mixer: network and memory become one distribution, normalised over the vocabulary.

log p = log_softmax(a * network logits + b * log p_memory), a product of experts (Hinton 2002) whose two exponents come
from a small gate. The gate sees facts of the prefix alone: how long a context the memory matched, how often and how
variously it was continued, how sure each expert is, and how far they agree. No target enters, and the sum runs over the
whole vocabulary, so whatever exponents the gate gives the result is a distribution.

Legend: R rows (positions), V vocabulary, C facts, H hidden units of the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regrow.core.config.schema import MixerConfig
from regrow.ngram.model.rows import NgramRows

MAX_ORDER = 16
FACTS = MAX_ORDER + 3 + 4  # matched order, counts and escape, agreement
_HIDDEN = 24


@dataclass(frozen=True)
class MemoryRows:
    """The memory's rows at R positions: `log_probs_RV` float32, the facts `facts_RC` about its contexts, and
    `order_R` int32, the order that matched."""

    log_probs_RV: Tensor
    facts_RC: Tensor
    order_R: NDArray[np.int32]

    @classmethod
    def of(cls, rows: NgramRows, device: torch.device | str = "cpu") -> MemoryRows:
        """From the n-gram model's rows; log in place, so the rows' array is used up."""
        log_probs_RV = torch.from_numpy(rows.probs_RV).to(device).log_()
        orders = torch.from_numpy(rows.matched_order_R.astype(np.int64)) - 1
        facts = torch.stack(
            (
                torch.from_numpy(rows.context_total_R).float().log1p() / 8,
                torch.from_numpy(rows.distinct_R).float().log1p() / 4,
                torch.from_numpy(np.ascontiguousarray(rows.escape_R)),
            ),
            dim=1,
        )
        one_hot = nn.functional.one_hot(orders, MAX_ORDER).float()
        facts_RC = torch.cat((one_hot, facts), dim=1).to(device)
        return cls(log_probs_RV, facts_RC, rows.matched_order_R.astype(np.int32))


class Mixer(nn.Module):
    """`kind` "gate": exponents by position; "fixed": one pair for all; "none": the network alone."""

    def __init__(self, config: MixerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = config.kind
        self.exponents = nn.Parameter(torch.tensor([0.5, 0.55]))
        if self.kind == "gate":
            self.gate_in = nn.Parameter(torch.randn(_HIDDEN, FACTS, generator=generator) * FACTS**-0.5)
            self.gate_bias = nn.Parameter(torch.zeros(_HIDDEN))
            self.gate_out = nn.Parameter(torch.zeros(2, _HIDDEN))

    def forward(self, logits_RV: Tensor, log_probs_RV: Tensor, facts_RC: Tensor) -> Tensor:
        """Unnormalised log probabilities [R, V] of the mixture; softmax over V makes them one distribution."""
        exponents_R2 = self.exponents_at(logits_RV, log_probs_RV, facts_RC)
        a_R1, b_R1 = exponents_R2[:, :1], exponents_R2[:, 1:]
        return a_R1 * logits_RV + b_R1 * log_probs_RV

    def exponents_at(self, logits_RV: Tensor, log_probs_RV: Tensor, facts_RC: Tensor) -> Tensor:
        """The exponents of network and memory in each row [R, 2]."""
        certainty_RC = agreement(logits_RV.detach(), log_probs_RV) if self.kind == "gate" else facts_RC
        return self.exponents_of(facts_RC, certainty_RC)

    def exponents_of(self, facts_RC: Tensor, certainty_RC: Tensor) -> Tensor:
        """The exponents of network and memory [R, 2], from facts about the contexts and what `agreement` gives."""
        exponents_R2 = self.exponents.expand(facts_RC.size(0), 2)
        if self.kind == "gate":
            hidden_RH = torch.tanh(torch.cat((facts_RC, certainty_RC), 1) @ self.gate_in.T + self.gate_bias)
            exponents_R2 = exponents_R2 + hidden_RH @ self.gate_out.T
        return exponents_R2


def agreement(logits_RV: Tensor, memory_RV: Tensor) -> Tensor:
    """Four facts [R, 4]: how sure network and memory are, and what each gives the other's favourite, in log
    probability."""
    total_R1 = logits_RV.logsumexp(-1, keepdim=True)
    network_top, network_best = logits_RV.max(-1, keepdim=True)
    memory_top, memory_best = memory_RV.max(-1, keepdim=True)
    favourites = logits_RV.gather(-1, memory_best), memory_RV.gather(-1, network_best)
    return certainty(Favourites(total_R1, network_top, memory_top, *favourites))


class Favourites(NamedTuple):
    """Facts [R, 1] of rows: the log of the sum of the network's exponentials, its largest logit, the memory's largest
    log probability, and what each gives the other's favourite."""

    total: Tensor
    network_top: Tensor
    memory_top: Tensor
    network_at_memory_best: Tensor
    memory_at_network_best: Tensor


def certainty(best: Favourites) -> Tensor:
    """The gate's facts [R, 4] of favourites."""
    total, network, memory, network_at_memory, memory_at_network = best
    return torch.cat((network - total, memory, network_at_memory - total, memory_at_network), dim=-1) / 4
