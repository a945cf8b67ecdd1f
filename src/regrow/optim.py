"""Optimisers: Muon for matrices, AdamW for embeddings and vectors, one learning-rate shape for both.

Source: Muon (Jordan et al. 2024): momentum, then the nearest semi-orthogonal matrix by a quintic
Newton-Schulz iteration. Matrices of one shape are orthogonalised as one batch, which on small matrices is
most of the speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from regrow.config import TrainConfig

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.: steepest at zero while singular values stay near 1
_ITERATIONS = 5


def orthogonalise(g_NRC: Tensor, dtype: torch.dtype) -> Tensor:
    """About U V^T of each matrix's singular value decomposition U S V^T; [N, R, C] in, the same shape out, float32."""
    a, b, c = _QUINTIC
    x = g_NRC.to(dtype)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.transpose(1, 2).contiguous()
    for _ in range(_ITERATIONS):
        xxt = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(xxt, xxt, xxt, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates for 2-D parameters.

    Each update has the spectral norm lr * sqrt(max(1, rows / columns)). Raises ValueError for a parameter
    that is no matrix.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype
        if any(p.dim() != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon takes matrices alone; give vectors to AdamW")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, parameters in by_shape.items():
                gradients = [p.grad for p in parameters if p.grad is not None]
                averages = [self._average(p) for p in parameters]
                torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
                nesterov = torch._foreach_lerp(gradients, averages, group["momentum"])
                update = orthogonalise(torch.stack(list(nesterov)), self.dtype)
                scale = -group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(update.unbind()), alpha=scale)

    def _average(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "average" not in state:
            state["average"] = torch.zeros_like(p)
        average: Tensor = state["average"]
        return average


class Optimiser:
    """The pair of optimisers of a network, and the schedule that moves their rates together."""

    def __init__(self, network: nn.Module, config: TrainConfig, dtype: torch.dtype) -> None:
        named = list(network.named_parameters())
        embeddings = [p for name, p in named if "embedding" in name]
        vectors = [p for _, p in named if _is_vector(p)]
        matrices = [p for name, p in named if "embedding" not in name and not _is_vector(p)]
        self.parameters = [*matrices, *vectors, *embeddings]
        self.muon = Muon(matrices, config.lr_matrix, config.momentum, config.weight_decay, dtype)
        groups: list[dict[str, Any]] = [
            {"params": embeddings, "lr": config.lr_embed},
            {"params": vectors, "lr": config.lr_scalar},
        ]
        self.adamw = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self._peaks = [[group["lr"] for group in part.param_groups] for part in (self.muon, self.adamw)]
        self._clip = config.grad_clip

    def step(self, rate: float) -> float:
        """Clip, update at `rate` times the peak learning rates, clear gradients; returns the norm before clipping."""
        limit = self._clip if self._clip > 0 else float("inf")
        norm = float(nn.utils.clip_grad_norm_(self.parameters, limit))
        for part, peaks in zip((self.muon, self.adamw), self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
            part.step()
        for p in self.parameters:
            p.grad = None
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Both optimisers' states."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])


def learning_rate(done: float, step: int, warmup_steps: int, warmdown: float) -> float:
    """Share of the peak rate: up in a line over `warmup_steps`, down in a line over the last `warmdown` of the run.

    `done` in [0, 1] is the share of the run's limit (wall clock, tokens or steps) that is used up.
    """
    up = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    down = min(1.0, (1.0 - done) / warmdown) if warmdown > 0 else 1.0
    return max(0.0, min(up, down))


def _is_vector(p: Tensor) -> bool:
    return p.dim() < 2 or 1 in p.shape
