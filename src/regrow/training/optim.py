"""Optimisers: Muon for matrices, AdamW for embeddings and vectors, one learning-rate shape for both.

Source: Muon (Jordan et al. 2024): momentum, then the nearest semi-orthogonal matrix by a quintic
Newton-Schulz iteration. Matrices of one shape are orthogonalised as one batch, which on small matrices is
most of the speed. Several processes each orthogonalise their share of the matrices and exchange the results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from regrow.core.config.schema import TrainConfig

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.: steepest at zero while singular values stay near 1
_ITERATIONS = 5


class Processes(Protocol):
    """The processes that share the work (`regrow.core.dist.ProcessGroup` is one such)."""

    @property
    def rank(self) -> int:
        """This process's place."""

    @property
    def world_size(self) -> int:
        """How many there are."""

    def start_gather(self, mine: Tensor) -> tuple[list[Tensor], Any]:
        """Begin to collect the tensors of all, of one size."""

    def finish(self, work: Any) -> None:
        """Wait for what was begun."""


class OneProcess:
    """One process, which shares with no other."""

    rank, world_size = 0, 1

    def start_gather(self, mine: Tensor) -> tuple[list[Tensor], Any]:
        """See `Processes.start_gather`."""
        return [mine], None

    def finish(self, work: Any) -> None:
        """See `Processes.finish`."""


def orthogonalise(g_NRC: Tensor, dtype: torch.dtype) -> Tensor:
    """About U V^T of each matrix's singular value decomposition U S V^T; [N, R, C] in, the same out, in `dtype`."""
    a, b, c = _QUINTIC
    x = g_NRC.to(dtype)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.transpose(1, 2).contiguous()
    for _ in range(_ITERATIONS):
        xxt = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(xxt, xxt, xxt, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates for 2-D parameters.

    Each update has the spectral norm lr * sqrt(max(1, rows / columns)). `start` computes this process's share of the
    updates and sends it, `finish` applies those of all; `step` is both. Raises ValueError for a parameter that is
    no matrix.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
        processes: Processes | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype, self._processes = dtype, processes or OneProcess()
        if any(p.dim() != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon takes matrices alone; give vectors to AdamW")
        self._under_way: _Updates | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        self.start()
        self.finish()

    @torch.no_grad()
    def start(self) -> None:
        """Move every momentum on, orthogonalise this process's share, and begin to send it."""
        (group,) = self.param_groups
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        gradients: list[Tensor] = [p.grad for p in parameters]
        averages = [self._average(p) for p in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        shares = shares_of([tuple(p.shape) for p in parameters], self._processes.world_size)
        mine = [torch.empty(0, dtype=self.dtype, device=parameters[0].device)]
        for batch in shares[self._processes.rank]:
            g, average = [gradients[i] for i in batch], [averages[i] for i in batch]
            nesterov = torch._foreach_lerp(g, average, group["momentum"])
            mine.append(orthogonalise(torch.stack(list(nesterov)), self.dtype).reshape(-1))
        flat = torch.cat(mine)
        if len(shares) > 1:  # messages are of one size: the smaller shares are filled up
            longest = max(sum(parameters[i].numel() for batch in share for i in batch) for share in shares)
            flat = nn.functional.pad(flat, (0, longest - len(flat)))
        self._under_way = _Updates(parameters, shares, *self._processes.start_gather(flat))

    @torch.no_grad()
    def finish(self) -> None:
        """Apply the updates of all processes."""
        if self._under_way is None:
            return
        updates, self._under_way = self._under_way, None
        self._processes.finish(updates.work)
        (group,) = self.param_groups
        torch._foreach_mul_(updates.parameters, 1 - group["lr"] * group["weight_decay"])
        for flat, share in zip(updates.flats, updates.shares, strict=True):
            at = 0
            for batch in share:
                members = [updates.parameters[i] for i in batch]
                rows, columns = members[0].shape
                size = len(members) * rows * columns
                update = flat[at : at + size].view(-1, rows, columns).float()
                scale = -group["lr"] * max(1.0, rows / columns) ** 0.5
                torch._foreach_add_(members, list(update.unbind()), alpha=scale)
                at += size

    def _average(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "average" not in state:
            state["average"] = torch.zeros_like(p)
        average: Tensor = state["average"]
        return average


@dataclass(frozen=True)
class _Updates:
    """Updates on their way: `flats[r]` will hold process r's share, one matrix of `shares[r]` after the other."""

    parameters: list[Tensor]
    shares: list[list[list[int]]]
    flats: list[Tensor]
    work: Any


def shares_of(shapes: list[tuple[int, ...]], world_size: int) -> list[list[list[int]]]:
    """The matrices that each process orthogonalises: batches of one shape, as indices of `shapes`.

    Work (rows * columns * the lesser) is divided evenly: the largest first, each to the process with the least.
    """
    work = [rows * columns * min(rows, columns) for rows, columns in shapes]
    load = [0] * world_size
    batches: list[dict[tuple[int, ...], list[int]]] = [defaultdict(list) for _ in range(world_size)]
    for i in sorted(range(len(shapes)), key=lambda i: -work[i]):
        rank = load.index(min(load))
        batches[rank][shapes[i]].append(i)
        load[rank] += work[i]
    return [list(share.values()) for share in batches]


class Optimiser:
    """The pair of optimisers of a network, and the schedule of their rates."""

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        dtype: torch.dtype,
        processes: Processes | None = None,
    ) -> None:
        named = list(network.named_parameters())
        embeddings = [p for name, p in named if "embedding" in name]
        vectors = [p for _, p in named if _is_vector(p)]
        matrices = [p for name, p in named if "embedding" not in name and not _is_vector(p)]
        self.parameters = [*matrices, *vectors, *embeddings]
        self.muon = Muon(matrices, config.lr_matrix, config.momentum, config.weight_decay, dtype, processes)
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
        self.muon.start()
        self.adamw.step()
        self.muon.finish()
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
