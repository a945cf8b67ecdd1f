"""What one sees inside a network: its residual stream by layer, its bases, and how much its adapters moved.

Legend: B sequences, T tokens, D width, L layers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype
from regrow.network.lora import SeededLinear
from regrow.network.transformer import Transformer, block_forward
from regrow.predict.mixture import network_inputs


def residual_rms(network: Transformer, data: Dataset, sequences: int, seq_len: int) -> list[float]:
    """Root mean square of the residual stream over held-out tokens and channels, after embedding and blocks.

    L + 1 numbers. The stream is read where the next block reads it, before that block's own normalisation.
    """
    tokens = np.asarray(data.val_tokens[: sequences * seq_len], np.int64)
    rows = max(1, len(tokens) // seq_len)
    length = min(len(tokens), seq_len) // network.window * network.window or len(tokens)
    inputs_BT = network_inputs(tokens[: rows * length].reshape(rows, length), data.tokenizer.bos_id)
    streams: list[float] = []

    def watched(x_BTD: Tensor, *rest: Any) -> Any:
        if not streams:
            streams.append(_rms(x_BTD))
        out = block_forward(x_BTD, *rest)
        streams.append(_rms(out[0]))
        return out

    with torch.inference_mode():
        device = network.embedding.device
        weights = network.weights(compute_dtype(device))
        network.hidden(torch.from_numpy(inputs_BT).to(device), weights, watched)
    return streams


def adapter_share(network: Transformer) -> float | None:
    """Mean over the seeded matrices of |lora_b @ lora_a| / |base| (Frobenius); None where none is seeded."""
    shares = []
    for layer in _seeded(network):
        if layer.lora_a is not None and layer.lora_b is not None:
            with torch.inference_mode():
                shares.append(float((layer.lora_b @ layer.lora_a).norm() / layer.base.norm()))
    return math.fsum(shares) / len(shares) if shares else None


def base_facts(network: Transformer) -> dict[str, dict[str, float]]:
    """Of the first block's bases: root mean square of the entries, least and greatest singular value."""
    facts = {}
    for name, layer in network.blocks[0].named_children():
        if isinstance(layer, SeededLinear):
            base = layer.base.detach().double().cpu()
            values = torch.linalg.svdvals(base)
            facts[f"{name} [{base.size(0)}, {base.size(1)}]"] = {
                "entry_rms": float(base.square().mean().sqrt()),
                "least": float(values[-1]),
                "greatest": float(values[0]),
            }
    return facts


def scale_bases(network: Transformer, rule: str) -> None:
    """Give every base another gain than the config's 1, in place.

    "1": none. "fan in": entries of variance 1 / in, the usual Gaussian start; ours have 1 / larger side, so
    this differs for matrices with more rows than columns. "1 / sqrt(in)": the published orthogonal bases,
    which were divided once more than their text says. Raises ValueError for another rule.
    """
    for layer in _seeded(network):
        fan_in, fan_out = layer.in_features, layer.out_features
        gains = {"1": 1.0, "fan in": math.sqrt(max(fan_in, fan_out) / fan_in), "1 / sqrt(in)": fan_in**-0.5}
        if rule not in gains:
            raise ValueError(f"no gain rule {rule!r}; there is {', '.join(gains)}")
        if gains[rule] != 1.0:
            layer.base.mul_(gains[rule])


def _seeded(network: Transformer) -> list[SeededLinear]:
    return [m for m in network.modules() if isinstance(m, SeededLinear)]


def _rms(x_BTD: Tensor) -> float:
    return float(x_BTD.double().square().mean().sqrt())
