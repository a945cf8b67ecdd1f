"""Gradients averaged over the processes, in buckets that travel while the rest of the backward pass runs.

Every bucket is one flat tensor of which the gradients are views, so nothing is copied to send it. A bucket leaves as
soon as the last of its gradients is there; buckets leave in one order in every process, as the backends demand.

Source: the bucketed all-reduce of PyTorch's DistributedDataParallel (Li et al. 2020).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from regrow.core.dist import ProcessGroup

_BUCKET_BYTES = 4 << 20


class GradientSum:
    """The gradients of `parameters`, summed over the processes of `group`.

    A step: `clear`, then backward passes of which the last is announced with `last_pass`, then `finish`. Each process
    divides its loss by what the whole group has, so the sum is the gradient of the mean. Alone it does nothing.
    """

    def __init__(self, group: ProcessGroup, parameters: Iterable[nn.Parameter]) -> None:
        self._group = group
        self._parameters = list(parameters)
        self._buckets: list[_Bucket] = []
        self._watching = False
        self._sent = 0
        if group.world_size == 1:
            return
        # The last layers' gradients come first.
        for members in _grouped(self._parameters[::-1]):
            bucket = _Bucket(members)
            self._buckets.append(bucket)
            for p in members:
                hook = functools.partial(self._arrived, bucket)
                p.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]

    def clear(self) -> None:
        """Before a step's first backward pass."""
        self._watching, self._sent = False, 0
        if not self._buckets:
            for p in self._parameters:
                p.grad = None
        for bucket in self._buckets:
            bucket.clear()

    def last_pass(self) -> None:
        """The next backward pass is the step's last: what it completes may leave."""
        self._watching = True

    def finish(self) -> None:
        """Every gradient is the sum over the processes."""
        self._watching = False
        self._send(len(self._buckets))
        for bucket in self._buckets:
            self._group.finish(bucket.work)

    def _arrived(self, bucket: _Bucket, parameter: Tensor) -> None:
        if not self._watching:
            return
        bucket.missing -= 1
        ready = self._sent
        while ready < len(self._buckets) and self._buckets[ready].missing == 0:
            ready += 1
        self._send(ready)

    def _send(self, stop: int) -> None:
        for bucket in self._buckets[self._sent : stop]:
            bucket.work = self._group.start_sum(bucket.flat)
        self._sent = max(self._sent, stop)


class _Bucket:
    """Some parameters' gradients as one flat tensor. `missing`: gradients that the last pass still owes."""

    def __init__(self, members: list[nn.Parameter]) -> None:
        self._members = members
        self.flat = torch.zeros(sum(p.numel() for p in members), device=members[0].device)
        sizes = [p.numel() for p in members]
        self._views = [v.view_as(p) for v, p in zip(torch.split(self.flat, sizes), members, strict=True)]
        self.missing = 0
        self.work: torch.distributed.Work | None = None

    def clear(self) -> None:
        self.flat.zero_()
        for p, view in zip(self._members, self._views, strict=True):
            p.grad = view
        self.missing = len(self._members)
        self.work = None


def _grouped(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    groups: list[list[nn.Parameter]] = []
    bytes_left = 0
    for p in parameters:
        size = _bytes(p)
        if size > bytes_left or not groups:
            groups.append([])
            bytes_left = _BUCKET_BYTES
        groups[-1].append(p)
        bytes_left -= size
    return groups


def _bytes(t: Tensor) -> int:
    return t.numel() * t.element_size()
