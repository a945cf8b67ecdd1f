"""The process group a run belongs to: one process, or those torchrun started. The only reader of the environment.

Rank here always means a process's place in the group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """This process's `rank` of `world_size`, and the `device` it computes on."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one message."""
        if self.world_size == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.world_size
        offset = 0
        for t in tensors:
            t.copy_(flat[offset : offset + t.numel()].view_as(t))
            offset += t.numel()

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            torch.distributed.barrier()

    def agree(self, value: float) -> float:
        """The first process's `value`, so that all take the same decision."""
        if self.world_size == 1:
            return value
        box = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(box, src=0)
        return float(box)


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Join the group that torchrun describes in the environment, or be a group of one; leaves it at the end."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if world_size == 1:
        yield ProcessGroup(0, 1, device)
        return
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield ProcessGroup(rank, world_size, device)
    finally:
        torch.distributed.destroy_process_group()
