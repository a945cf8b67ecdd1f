"""What `regrow bench bases` compares, and how large its networks are: arms and sizes as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regrow.core.config.schema import ModelConfig, TrainConfig
from regrow.network.bases import BaseKind


@dataclass(frozen=True)
class DepthArm:
    """A base to compare; `gain` is a rule of `scale_bases`. Run at all depths, or only at the deepest."""

    name: str
    base: BaseKind
    gain: str = "1"
    everywhere: bool = True


@dataclass(frozen=True)
class BytesArm:
    """A choice of seeded matrices and a width; its r follows from the bytes."""

    name: str
    seeded: Literal["all", "mlp", "none"]
    d_model: int
    n_head: int
    n_kv_head: int


@dataclass(frozen=True)
class Size:
    """How large a run of the bench is.

    `model` and `depth_train` are of part "depth", `flat` (width and r come from the arms) and `bytes_train`
    of part "bytes", whose first arm sets the bytes. `scored_tokens`: held-out tokens a network is scored on.
    """

    name: str
    vocab_size: int
    model: ModelConfig
    depths: tuple[int, ...]
    seeds: int
    depth_train: TrainConfig
    flat: ModelConfig
    bytes_train: TrainConfig
    bytes_arms: tuple[BytesArm, ...]
    scored_tokens: int
    compiled: bool


DEPTH_ARMS = (
    DepthArm("Hadamard", "hadamard"),
    DepthArm("QR", "qr"),
    DepthArm("Gaussian", "gaussian"),
    DepthArm("Gaussian, fan in", "gaussian", "fan in", everywhere=False),
    DepthArm("Hadamard, published gain", "hadamard", "1 / sqrt(in)", everywhere=False),
)


def _train(batch_tokens: int, seq_len: int, *, steps: int = 0, seconds: float = 0.0) -> TrainConfig:
    return TrainConfig(
        batch_tokens=batch_tokens,
        seq_len=seq_len,
        max_steps=steps,
        max_seconds=seconds,
        lr_matrix=0.01,
        lr_embed=0.02,
        lr_scalar=0.02,
    )


# About seven minutes on two cores: 24 networks at equal steps, 9 at equal time.
FULL = Size(
    name="full",
    vocab_size=1024,
    model=ModelConfig(d_model=192, n_head=6, n_kv_head=2, seeded="all", r=64, window=128),
    depths=(5, 11),
    seeds=3,
    depth_train=_train(2048, 512, steps=64),
    flat=ModelConfig(n_layer=4, window=128),
    bytes_train=_train(2048, 512, seconds=10.0),
    bytes_arms=(
        BytesArm("none", "none", 192, 6, 2),
        BytesArm("mlp", "mlp", 256, 8, 2),
        BytesArm("all", "all", 256, 8, 2),
    ),
    scored_tokens=32_768,
    compiled=True,
)

# Seconds, for tests.
QUICK = Size(
    name="quick",
    vocab_size=320,
    model=ModelConfig(
        d_model=64, n_head=2, n_kv_head=2, mlp_ratio=2.0, seeded="all", r=16, window=64, rope_dims=8
    ),
    depths=(2, 3),
    seeds=2,
    depth_train=_train(512, 128, steps=4),
    flat=ModelConfig(n_layer=1, mlp_ratio=2.0, window=64, rope_dims=8),
    bytes_train=_train(512, 128, seconds=0.2),
    bytes_arms=(
        BytesArm("none", "none", 64, 2, 2),
        BytesArm("mlp", "mlp", 64, 2, 2),
        BytesArm("all", "all", 64, 2, 2),
    ),
    scored_tokens=2048,
    compiled=False,
)
