"""Cross entropy whose gradient is formed in the forward pass, of the network alone or of the mixture.

What costs in a loss over a large vocabulary is how often its rows [R, V] pass through memory. Here they pass once for
the sums and once for the gradient, in code that torch.compile makes one loop of; the gradient of the final states and
of the embeddings follows at once, and backward only scales it.

Legend: R rows, V vocabulary, D width. `cap`: the soft cap, 0 for none. Rows whose target is IGNORED cost nothing.
Source: softmax and cross entropy fused as in Liger Kernel (Hsu et al. 2024); the mixture's gradient is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from regrow.network.mixer import Favourites
from regrow.predict.lockstep import IGNORED

_LARGEST = 80.0  # of an exponential's argument: float32 ends at 88


Kernel: TypeAlias = Callable[..., Any]


class RowKernels(NamedTuple):
    """The three loops over whole rows; compiled, each is one pass."""

    network: Kernel
    favourites: Kernel
    mixture: Kernel


class MixtureInputs(NamedTuple):
    """What the mixture's loss needs beside network and exponents: the memory's log probabilities [R, V], targets [R],
    favourites."""

    memory: Tensor
    targets: Tensor
    best: Favourites


class _NetworkNats(torch.autograd.Function):
    """Sum over the scored rows of -log softmax(capped logits) at the target, float32."""

    @staticmethod
    def forward(
        ctx: Any, hidden_RD: Tensor, embedding_VD: Tensor, targets_R: Tensor, cap: float, kernels: RowKernels
    ) -> Tensor:
        """The sum; the gradients are formed here."""
        logits_RV = F.linear(hidden_RD, embedding_VD)
        kept_R1, target_R1 = _targets(targets_R)
        total_R1, gradient_RV = kernels.network(logits_RV, kept_R1, cap)
        at_target_R1, slope_R1 = _capped(logits_RV.gather(1, target_R1).float(), cap)
        miss_R1 = ((at_target_R1 - total_R1).exp() - 1) * slope_R1 * kept_R1
        _put(gradient_RV, target_R1, miss_R1)
        ctx.save_for_backward(gradient_RV @ embedding_VD, gradient_RV.T @ hidden_RD)
        nats: Tensor = ((total_R1 - at_target_R1) * kept_R1).sum()
        return nats

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Scale what `forward` formed."""
        hidden_RD, embedding_VD = ctx.saved_tensors
        return hidden_RD * gradients[0], embedding_VD * gradients[0], None, None, None


class _MixtureNats(torch.autograd.Function):
    """Sum over the scored rows of -log softmax(a * capped logits + b * memory) at the target, float32.

    The logits come along, since the exponents a, b [R, 1] were formed from them; they are taken as constant there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_RD: Tensor,
        embedding_VD: Tensor,
        exponents_R2: Tensor,
        logits_RV: Tensor,
        rows: MixtureInputs,
        cap: float,
        kernels: RowKernels,
    ) -> Tensor:
        """The sum; the gradients are formed here."""
        memory_RV, targets_R, best = rows
        a_R1, b_R1 = exponents_R2[:, :1], exponents_R2[:, 1:]
        kept_R1, target_R1 = _targets(targets_R)
        top_R1 = torch.maximum(
            a_R1 * best.network_top + b_R1 * best.memory_at_network_best,
            a_R1 * best.network_at_memory_best + b_R1 * best.memory_top,
        )
        log_sum_R1, of_a_R1, of_b_R1, gradient_RV = kernels.mixture(
            logits_RV, memory_RV, torch.cat((a_R1, b_R1, top_R1, kept_R1), 1), cap
        )
        network_R1, slope_R1 = _capped(logits_RV.gather(1, target_R1).float(), cap)
        memory_R1 = memory_RV.gather(1, target_R1)
        nats_R1 = (log_sum_R1 + top_R1 - a_R1 * network_R1 - b_R1 * memory_R1) * kept_R1
        miss_R1 = ((-nats_R1).exp() - 1) * a_R1 * slope_R1 * kept_R1
        _put(gradient_RV, target_R1, miss_R1)
        of_exponents_R2 = torch.cat((of_a_R1 - network_R1 * kept_R1, of_b_R1 - memory_R1 * kept_R1), 1)
        ctx.save_for_backward(gradient_RV @ embedding_VD, gradient_RV.T @ hidden_RD, of_exponents_R2)
        nats: Tensor = nats_R1.sum()
        return nats

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Scale what `forward` formed."""
        hidden_RD, embedding_VD, exponents_R2 = (x * gradients[0] for x in ctx.saved_tensors)
        return hidden_RD, embedding_VD, exponents_R2, None, None, None, None


def network_loss(
    hidden_RD: Tensor, embedding_VD: Tensor, targets_R: Tensor, cap: float, kernels: RowKernels
) -> Tensor:
    """Sum over the scored rows of -log softmax(capped logits) at the target, float32, ready for `backward`."""
    nats: Tensor = _NetworkNats.apply(hidden_RD, embedding_VD, targets_R, cap, kernels)  # type: ignore[no-untyped-call]
    return nats


def mixture_loss(
    hidden_RD: Tensor,
    embedding_VD: Tensor,
    exponents_R2: Tensor,
    logits_RV: Tensor,
    rows: MixtureInputs,
    cap: float,
    kernels: RowKernels,
) -> Tensor:
    """Sum over the scored rows of -log softmax(a * capped logits + b * memory) at the target, float32, ready for
    `backward`. `logits_RV`: the product of states and embeddings, from which the exponents came."""
    nats: Tensor = _MixtureNats.apply(  # type: ignore[no-untyped-call]
        hidden_RD, embedding_VD, exponents_R2, logits_RV, rows, cap, kernels
    )
    return nats


def network_nats(logits_RV: Tensor, targets_R: Tensor, total_R1: Tensor, cap: float) -> float:
    """What `network_loss` would be of these logits, whose log of the sum is known."""
    kept_R1, target_R1 = _targets(targets_R)
    return float(((total_R1 - _capped(logits_RV.gather(1, target_R1).float(), cap)[0]) * kept_R1).sum())


def network_rows(logits_RV: Tensor, kept_R1: Tensor, cap: float) -> tuple[Tensor, Tensor]:
    """Log of the sum of exponentials [R, 1], and the gradient [R, V] but for the targets' own entries."""
    capped_RV, slope_RV = _capped(logits_RV.float(), cap)
    top_R1 = 0.0 if 0 < cap <= _LARGEST else capped_RV.amax(-1, keepdim=True)
    exp_RV = torch.exp(capped_RV - top_R1)
    sum_R1 = exp_RV.sum(-1, keepdim=True)
    gradient_RV = exp_RV * (kept_R1 / sum_R1) * slope_RV
    return sum_R1.log() + top_R1, gradient_RV.to(logits_RV.dtype)


def favourite_rows(logits_RV: Tensor, memory_RV: Tensor, cap: float) -> tuple[Tensor, ...]:
    """What `Favourites` holds; of equally good favourites, what the other likes best."""
    capped_RV, _ = _capped(logits_RV.float(), cap)
    top_R1 = 0.0 if 0 < cap <= _LARGEST else capped_RV.amax(-1, keepdim=True)
    total_R1 = torch.exp(capped_RV - top_R1).sum(-1, keepdim=True).log() + top_R1
    network_R1 = logits_RV.amax(-1, keepdim=True)
    memory_R1 = memory_RV.amax(-1, keepdim=True)
    other_R1 = torch.where(memory_RV == memory_R1, logits_RV, -torch.inf).amax(-1, keepdim=True)
    memory_at_R1 = torch.where(logits_RV == network_R1, memory_RV, -torch.inf).amax(-1, keepdim=True)
    return (
        total_R1,
        _capped(network_R1.float(), cap)[0],
        memory_R1,
        _capped(other_R1.float(), cap)[0],
        memory_at_R1,
    )


def mixture_rows(logits_RV: Tensor, memory_RV: Tensor, facts_R4: Tensor, cap: float) -> tuple[Tensor, ...]:
    """Log of the sum of exponentials less their top [R, 1], expectations of both parts under the mixture [R, 1], and
    the gradient [R, V] of the logits but for the targets' own entries. `facts_R4`: a, b, top, 1 if the row counts."""
    a_R1, b_R1, top_R1, kept_R1 = (facts_R4[:, i : i + 1] for i in range(4))
    capped_RV, slope_RV = _capped(logits_RV.float(), cap)
    exp_RV = torch.exp((a_R1 * capped_RV + b_R1 * memory_RV - top_R1).clamp(max=_LARGEST))
    sum_R1 = exp_RV.sum(-1, keepdim=True)
    share_R1 = kept_R1 / sum_R1
    of_a_R1 = (exp_RV * capped_RV).sum(-1, keepdim=True) * share_R1
    of_b_R1 = (exp_RV * memory_RV).sum(-1, keepdim=True) * share_R1
    gradient_RV = exp_RV * slope_RV * (share_R1 * a_R1)
    return sum_R1.log(), of_a_R1, of_b_R1, gradient_RV.to(logits_RV.dtype)


ROW_KERNELS = RowKernels(network_rows, favourite_rows, mixture_rows)


def _capped(logits: Tensor, cap: float) -> tuple[Tensor, Tensor]:
    """cap * tanh(logits / cap) and its slope. tanh by one exponential: half the time of the library's, and its error
    of 1e-7 of the cap is far below that of bfloat16 logits."""
    if cap == 0:
        return logits, torch.ones_like(logits)
    tanh = 1 - 2 / (torch.exp(logits * (2 / cap)) + 1)
    return cap * tanh, 1 - tanh * tanh


def _put(gradient_RV: Tensor, target_R1: Tensor, miss_R1: Tensor) -> None:
    """Set the targets' own entries."""
    rows = torch.arange(len(gradient_RV), device=gradient_RV.device)
    gradient_RV[rows, target_R1[:, 0]] = miss_R1[:, 0].to(gradient_RV.dtype)


def _targets(targets_R: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each row counts, 1.0 or 0.0, and where its target lies, both [R, 1]."""
    kept_R1 = (targets_R != IGNORED)[:, None]
    return kept_R1.float(), targets_R[:, None].clamp(min=0)
