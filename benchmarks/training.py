"""One network trained for a bench: the trainer's own pieces, without memory, mixer, log or checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.core.config.schema import TrainConfig
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype, has_compiler
from regrow.network.transformer import Transformer, block_forward
from regrow.training.batches import Plan, network_inputs, shuffled_batches
from regrow.training.loss import network_nats
from regrow.training.optim import Optimiser, learning_rate

_WARM_PASSES = 2  # forward and backward passes before the clock starts: compilation, first allocations
_ORDER_SEED = 20  # of the order of batches, the same for every network of a bench


@dataclass(frozen=True)
class Kernels:
    """The two functions that are compiled where it pays, shared by all networks of a bench."""

    block: Callable[..., tuple[Tensor, Tensor, Tensor]]
    nats: Callable[..., Tensor]
    compiled: bool


@dataclass(frozen=True)
class Trained:
    """What training took. `train_nats`: mean nats a token of the last tenth of the steps; None: diverged."""

    steps: int
    tokens: int
    seconds: float
    train_nats: float | None

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite, which ends training."""
        return self.train_nats is None


def make_kernels(device: torch.device, *, compiled: bool) -> Kernels:
    """Compiled kernels where they are wanted and there is what it takes, else plain ones.

    Each width is compiled for itself (`dynamic=False`): a kernel for any width would be slower.
    """
    if compiled and (device.type == "cuda" or has_compiler()):
        block, nats = torch.compile(block_forward, dynamic=False), torch.compile(network_nats, dynamic=False)
        return Kernels(block, nats, compiled=True)
    return Kernels(block_forward, network_nats, compiled=False)


def train_network(
    network: Transformer, data: Dataset, config: TrainConfig, kernels: Kernels, progress: Progress, label: str
) -> Trained:
    """Train `network` in place until the first limit of `config` (steps, tokens, seconds).

    The clock starts warm. Every network sees the same batches in the same order. Rates follow the share of
    the limit that is used up. A loss that is not finite ends training: see `Trained.diverged`.
    """
    device = network.embedding.device
    dtype, bos_id = compute_dtype(device), data.tokenizer.bos_id
    part = Plan.of(data, config.seq_len, 0.0, 1, config.seed).opening
    batches = shuffled_batches(
        part, config.batch_tokens // config.seq_len, np.random.Generator(np.random.PCG64(_ORDER_SEED))
    )
    optimiser = Optimiser(network, config, dtype)
    softcap = network.config.softcap

    def loss_of(index_B: np.ndarray) -> Tensor:
        """Backward of the mean loss a token; returns the sum of nats."""
        targets_BT = part.targets(index_B)
        targets = torch.from_numpy(targets_BT).to(device)
        inputs = torch.from_numpy(network_inputs(targets_BT, bos_id)).to(device)
        hidden_BTD = network.hidden(inputs, network.weights(dtype))
        nats: Tensor = kernels.nats(hidden_BTD, network.embedding.to(dtype), targets, softcap)
        torch.autograd.backward(nats / targets.numel())
        return nats.detach()

    network.run_block = kernels.block
    for _ in range(_WARM_PASSES):
        loss_of(np.arange(config.batch_tokens // config.seq_len) % part.windows)
        network.zero_grad(set_to_none=True)
    losses: list[float] = []
    seconds = done = 0.0
    started = time.perf_counter()
    limit = config.max_seconds or config.max_steps * config.batch_tokens or config.max_tokens
    with progress.task(label, limit, "s" if config.max_seconds else "tokens") as task:
        while done < 1:
            losses.append(float(loss_of(next(batches))) / config.batch_tokens)
            if not math.isfinite(losses[-1]):
                break
            optimiser.step(learning_rate(done, len(losses) - 1, config.warmup_steps, config.warmdown))
            before, seconds = seconds, time.perf_counter() - started
            task.advance(seconds - before if config.max_seconds else config.batch_tokens, nats=losses[-1])
            done = share_used(config, len(losses), seconds)
    network.run_block = block_forward  # scoring has other shapes, which are not worth a compilation
    last = losses[-max(1, len(losses) // 10) :]
    mean = math.fsum(last) / len(last)
    return Trained(
        len(losses), len(losses) * config.batch_tokens, seconds, mean if math.isfinite(mean) else None
    )


def share_used(config: TrainConfig, steps: int, seconds: float) -> float:
    """Share of the first limit of `config` that is used up; limits of 0 are none."""
    return max(
        steps / config.max_steps if config.max_steps else 0.0,
        steps * config.batch_tokens / config.max_tokens if config.max_tokens else 0.0,
        seconds / config.max_seconds if config.max_seconds else 0.0,
    )
