"""A linear layer of a frozen random orthogonal matrix, regenerated from a seed, and a trained low-rank adapter.

The adapter is LoRA's (Hu et al. 2021), without its alpha: the weight is base + lora_b @ lora_a. Training,
evaluation and decoding all multiply by that one merged matrix, so no two of them can differ by the order of
a sum.
"""

from __future__ import annotations

import json
import math

import torch
from torch import nn
from torch.nn import functional

from regrow.core.errors import ConfigError
from regrow.network.bases import BaseKind, seeded_base, seeded_uniform
from regrow.network.hadamard import checked_seed, derive_seed


class SeededLinear(nn.Module):
    """Takes the place of `nn.Linear(in_features, out_features, bias=False)`.

    `base` [out, in] is a buffer that stays out of the state dict: a checkpoint holds `lora_a` [r, in], `lora_b`
    [out, r], and as extra state what the base grows from. `lora_b` starts at zero, so the layer starts as its base;
    `lora_a` starts uniform within 1 / sqrt(in), from the seed as well. With r = 0 both are None.

    Raises ConfigError for a base that cannot be made (see `regrow.network.bases`), ValueError for a negative r. Loading
    the state of a layer of another seed, kind of base or gain is a ConfigError: an adapter fits its own base alone.
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
        seed = checked_seed(seed)
        self.seed, self.base_kind, self.gain = seed, base, float(gain)
        matrix = seeded_base(base, seed, out_features, in_features, gain)
        self.register_buffer("base", matrix.to(device=device, dtype=dtype), persistent=False)
        if r == 0:
            self.register_parameter("lora_a", None)
            self.register_parameter("lora_b", None)
            return
        lora_a = seeded_uniform(derive_seed(seed, "lora_a"), r, in_features, 1.0 / math.sqrt(in_features))
        self.lora_a = nn.Parameter(lora_a.to(device=device, dtype=dtype))
        self.lora_b = nn.Parameter(torch.zeros(out_features, r, device=device, dtype=dtype))

    def get_extra_state(self) -> torch.Tensor:
        """Seed, kind of base and gain as JSON in bytes: a tensor, so that any format holds it."""
        text = json.dumps({"base": self.base_kind, "gain": self.gain, "seed": self.seed})
        return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Check what `get_extra_state` gave. Raises ConfigError if it is of another base."""
        theirs, ours = (json.loads(bytes(s.cpu().tolist())) for s in (state, self.get_extra_state()))
        if theirs != ours:
            differing = [
                f"{key} {theirs.get(key)} there, {ours[key]} here"
                for key in ours
                if theirs.get(key) != ours[key]
            ]
            raise ConfigError(
                f"a SeededLinear's state is of another base ({'; '.join(differing)}); make the layer with what the "
                "state was made with."
            )

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
