"""A linear layer whose big matrix regrows from a seed and whose trained part is a low-rank adapter.

The adapter is LoRA's (Hu et al. 2021), without its alpha: the weight is base + lora_b @ lora_a. Training,
evaluation and decoding all multiply by that one merged matrix, so no two of them can differ by the order of
a sum.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from regrow.network.bases import BaseKind, seeded_base, seeded_uniform
from regrow.network.hadamard import derive_seed


class SeededLinear(nn.Module):
    """Takes the place of `nn.Linear(in_features, out_features, bias=False)`.

    `base` [out, in] is a buffer that stays out of the state dict: a checkpoint holds `lora_a` [r, in] and
    `lora_b` [out, r] alone. `lora_b` starts at zero, so the layer starts as its base; `lora_a` starts
    uniform within 1 / sqrt(in), from the seed as well. With r = 0 there is no adapter and both are None.

    Raises ConfigError for a base that cannot be made (see `regrow.network.bases`), ValueError for a negative r.
    """

    base: torch.Tensor
    lora_a: nn.Parameter | None
    lora_b: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        r: int,
        *,
        seed: int,
        base: BaseKind = "hadamard",
        gain: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if r < 0:
            raise ValueError(f"r must be 0 or more, got {r}")
        self.in_features, self.out_features, self.r = in_features, out_features, r
        self.seed, self.base_kind, self.gain = seed, base, gain
        matrix = seeded_base(base, seed, out_features, in_features, gain)
        self.register_buffer("base", matrix.to(device=device, dtype=dtype), persistent=False)
        if r == 0:
            self.register_parameter("lora_a", None)
            self.register_parameter("lora_b", None)
            return
        lora_a = seeded_uniform(derive_seed(seed, "lora_a"), r, in_features, 1.0 / math.sqrt(in_features))
        self.lora_a = nn.Parameter(lora_a.to(device=device, dtype=dtype))
        self.lora_b = nn.Parameter(torch.zeros(out_features, r, device=device, dtype=dtype))

    def weight(self) -> torch.Tensor:
        """The matrix [out, in] the layer multiplies by, in the parameters' own precision.

        Autocast is off inside: otherwise training would see an adapter rounded to bfloat16 and evaluation
        another.
        """
        if self.lora_a is None or self.lora_b is None:
            return self.base
        with torch.autocast(device_type=self.base.device.type, enabled=False):
            return torch.addmm(self.base, self.lora_b, self.lora_a)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., in] -> [..., out]."""
        return functional.linear(x, self.weight().to(x.dtype))

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, r={self.r}, "
            f"seed={self.seed:#018x}, base={self.base_kind!r}, gain={self.gain}"
        )
