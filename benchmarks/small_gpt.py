"""A small GPT as nanoGPT's model.py and train.py have it: what a plain network learns in the same seconds.

Pre-norm blocks, GELU, learned positions, no biases, the head tied to the embedding; windows at random places, AdamW,
gradients clipped, warm-up and cosine. nanoGPT ends by steps, this by seconds, so its cosine follows their share.

Legend: B windows, T tokens of one, D width, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from regrow.core.config.schema import Config
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype
from regrow.predict.mixture import network_inputs
from regrow.training.compiled import compile_step

_WARM_STEPS = 2  # before the clock runs, as in our own training: compilation, first allocations
_RATE, _LEAST = 2e-3, 0.1  # the highest rate, and the share of it at the end
_RISING = 100  # steps
_SCORED_AT_ONCE = 32  # windows


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.attended, self.down = (nn.Linear(n * width, width, bias=False) for n in (1, 4))

    def forward(self, x_BTD: Tensor) -> Tensor:
        qkv = self.qkv(self.norms[0](x_BTD)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        x_BTD = x_BTD + self.attended(seen.transpose(1, 2).flatten(2))
        added: Tensor = self.down(functional.gelu(self.up(self.norms[1](x_BTD))))
        return x_BTD + added


class SmallGPT(nn.Module):
    """Layers, width and heads of the preset's own network, and its `train.seq_len` as the context."""

    def __init__(self, config: Config, vocab_size: int) -> None:
        super().__init__()
        m, self.context = config.model, config.train.seq_len
        self.tokens, self.positions = (nn.Embedding(n, m.d_model) for n in (vocab_size, self.context))
        self.blocks = nn.ModuleList(_Block(m.d_model, m.n_head) for _ in range(m.n_layer))
        self.norm = nn.LayerNorm(m.d_model, bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                onto_stream = name.endswith(("attended.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * m.n_layer) if onto_stream else 0.02)

    def losses(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Nats of every target, [B, T]."""
        x_BTD = self.tokens(inputs_BT) + self.positions.weight[: inputs_BT.size(1)]
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits_BTV = functional.linear(self.norm(x_BTD), self.tokens.weight)
        return functional.cross_entropy(
            logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none"
        ).view_as(targets_BT)


@dataclass(frozen=True)
class Trained:
    """The network, its weights rounded to bfloat16; the `tokens` it was trained on in `seconds`."""

    network: SmallGPT
    tokens: int
    seconds: float

    @property
    def stored_bytes(self) -> int:
        """Of its weights, two each."""
        return 2 * sum(p.numel() for p in self.network.parameters())


def train_small_gpt(config: Config, data: Dataset, seconds: float, log: Callable[[str], None]) -> Trained:
    """Train on the tokens, batch and context of `config`; its step is compiled where that of our own training is."""
    t, device = config.train, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(t.seed)
    network = SmallGPT(config, data.vocab_size).to(device)
    decayed = [p for p in network.parameters() if p.dim() == 2]
    others = [p for p in network.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=_RATE, betas=(0.9, 0.99), fused=True)
    (step_losses,) = compile_step([network.losses], t, device, log)
    tokens, places = torch.from_numpy(np.asarray(data.train_tokens, np.int64)), np.random.default_rng(t.seed)
    began, spent = 0.0, 0.0
    for step in itertools.count():
        share = min(1.0, spent / seconds)
        rate = _RATE * (_LEAST + (1 - _LEAST) * (1 + math.cos(math.pi * share)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / _RISING)
        first_B = torch.from_numpy(places.integers(0, len(tokens) - t.seq_len, t.batch_tokens // t.seq_len))
        window_BT = tokens[first_B[:, None] + torch.arange(t.seq_len + 1)].to(device)
        with _precision(device):
            loss = step_losses(window_BT[:, :-1], window_BT[:, 1:]).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss.item()  # a GPU has then done its work
        if step + 1 == _WARM_STEPS:
            began = time.perf_counter()
        spent = time.perf_counter() - began if step + 1 > _WARM_STEPS else 0.0
        if spent >= seconds:
            break
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(p.bfloat16())
    return Trained(network, (step + 1) * t.batch_tokens, spent)


def gpt_nats(network: SmallGPT, tokens: NDArray[np.integer], bos_id: int) -> float:
    """Nats of a text: windows that overlap by three quarters, so that every token sees at least so much of a context
    (at the text's begin all there is), and is scored once."""
    inputs_T, targets_T = network_inputs(tokens[None].astype(np.int64), bos_id)[0], tokens.astype(np.int64)
    length, device = min(network.context, len(tokens)), network.tokens.weight.device
    starts = [*range(0, len(tokens) - length, max(1, length // 4)), len(tokens) - length]
    window_T, nats, scored = np.arange(length), 0.0, 0
    for at in range(0, len(starts), _SCORED_AT_ONCE):
        index_BT = np.array(starts[at : at + _SCORED_AT_ONCE])[:, None] + window_T
        given = (torch.from_numpy(side[index_BT]).to(device) for side in (inputs_T, targets_T))
        with torch.inference_mode(), _precision(device):
            losses_BT = network.losses(*given).double().cpu().numpy()
        for index_T, losses_T in zip(index_BT, losses_BT, strict=True):
            nats += float(losses_T[index_T >= scored].sum())
            scored = int(index_T[-1]) + 1
    return nats


def _precision(device: torch.device) -> torch.autocast:
    dtype = compute_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
