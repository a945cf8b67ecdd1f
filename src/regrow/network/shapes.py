"""Names and shapes of the network's trained parameters, without torch: what a reader of weights must know."""

from __future__ import annotations

from typing import NamedTuple

from regrow.core.config.schema import ModelConfig
from regrow.network.hadamard import derive_seed
from regrow.ngram.recent import LENGTHS


class SeededMatrix(NamedTuple):
    """What a frozen base grows from, beside its kind and gain."""

    seed: int
    rows: int
    cols: int


def hidden_width(config: ModelConfig) -> int:
    """Width of the MLP's hidden layer: d_model * mlp_ratio, in the multiples of 64 a seeded base needs."""
    return max(64, round(config.d_model * config.mlp_ratio / 64) * 64)


def matrix_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """[out, in] of every matrix of a block, by name."""
    d, kv, hidden = config.d_model, config.n_kv_head * (config.d_model // config.n_head), hidden_width(config)
    return {"q": (d, d), "k": (kv, d), "v": (kv, d), "out": (d, d), "up": (hidden, d), "down": (d, hidden)}


def is_seeded(config: ModelConfig, name: str) -> bool:
    """Whether a block's matrix of that name is a frozen base with an adapter."""
    return config.seeded == "all" or (config.seeded == "mlp" and name in ("up", "down"))


def parameter_shapes(config: ModelConfig, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Every trained parameter of the network, in the order of the weights payload: by name; none without layers."""
    if not config.n_layer:
        return {}
    shapes: dict[str, tuple[int, ...]] = {"embedding": (vocab_size, config.d_model)}
    if not config.tied:
        shapes["input_embedding"] = (vocab_size, config.d_model)
    if config.memory_input:
        shapes["memory_gain"] = (1,)
    if config.recent_input:
        shapes["recent_gain"] = (LENGTHS * config.d_model,)
    for layer in range(config.n_layer):
        block = f"blocks.{layer}"
        shapes[f"{block}.q_gain"] = (config.n_head, 1)
        shapes[f"{block}.attention_gain"] = shapes[f"{block}.mlp_gain"] = (config.d_model,)
        for name, (rows, cols) in matrix_shapes(config).items():
            if not is_seeded(config, name):
                shapes[f"{block}.{name}.dense"] = (rows, cols)
            elif config.r:
                shapes[f"{block}.{name}.lora_a"] = (config.r, cols)
                shapes[f"{block}.{name}.lora_b"] = (rows, config.r)
    return dict(sorted(shapes.items()))


def seeded_matrices(config: ModelConfig, root_seed: int) -> dict[str, SeededMatrix]:
    """Every frozen base of the network, by the name of its layer."""
    return {
        f"blocks.{layer}.{name}": SeededMatrix(derive_seed(root_seed, f"layers.{layer}.{name}"), rows, cols)
        for layer in range(config.n_layer)
        for name, (rows, cols) in matrix_shapes(config).items()
        if is_seeded(config, name)
    }


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether a parameter is stored as a matrix (int8 by row) and not as a vector (float16)."""
    return len(shape) == 2 and 1 not in shape
