"""What a run needs, reckoned from its config: said, or refused, before any of it is built. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from regrow.core.config.schema import Config, TrainConfig
from regrow.core.errors import ConfigError, EnvironmentProblem
from regrow.network.shapes import is_matrix, is_seeded, matrix_shapes, parameter_shapes

MICRO_TOKENS = {"cpu": 8192, "cuda": 65536}  # tokens of one forward pass: on a CPU they should fit its cache
MANIFEST_BYTES = 6000
_MATRIX_BYTES = 0.9  # entropy-coded int8, bytes per entry: what weights trained here came to, rounded up
_LEAST_MEMORY = 1024  # bytes that a memory needs to be of any use
_MAX_MATRIX_BYTES = 1.1  # of weights that have hardly learned, with the scale of every row
_OTHER_BYTES = 4096  # the mixer and the vectors: more than they come to


def check_start(config: Config, train_tokens: int, processes: int) -> None:
    """Refuse what cannot be trained on a text of so many tokens by so many processes. Raises ConfigError."""
    t = config.train
    if not config.model.n_layer:
        raise ConfigError("model.n_layer = 0: there is no network to train; choose 1 or more.")
    if config.memory.kind == "hashed" and processes > 1:
        raise ConfigError(
            'memory.kind = "hashed": is counted in one process; start without torchrun or use "exact".'
        )
    sequences = t.batch_tokens // t.seq_len
    if sequences % processes:
        fitting = [n for n in range(1, sequences + 1) if sequences % n == 0]
        near = [*[n for n in fitting if n < processes][-1:], *[n for n in fitting if n > processes][:1]]
        raise ConfigError(
            f"train.batch_tokens = {t.batch_tokens}: its {sequences} sequences of train.seq_len cannot be divided "
            f"evenly among {processes} processes; start {' or '.join(map(str, near))}, or choose a multiple of "
            f"{t.seq_len * processes} tokens."
        )
    if train_tokens < 2 * t.seq_len:
        raise ConfigError(
            f"train.seq_len = {t.seq_len}: the training text has {train_tokens} tokens, too few for two sequences; "
            "lower it or give more text."
        )


def check_budget(config: Config, vocab_size: int, tokenizer_bytes: int) -> None:
    """Refuse a budget that cannot hold even the network. Raises ConfigError saying what takes the bytes."""
    entries = {"lora": 0, "embedding": 0, "dense": 0}
    for name, n in _matrix_entries(config, vocab_size).items():
        entries[next(kind for kind in entries if kind in name)] += n
    adapters, embeddings, others = (round(_MATRIX_BYTES * n) for n in entries.values())
    needed = adapters + embeddings + others + tokenizer_bytes + MANIFEST_BYTES
    if needed > config.pack.budget_bytes:
        raise ConfigError(
            f"pack.budget_bytes = {config.pack.budget_bytes:,}: is too small for this network, which needs "
            f"about {needed:,} (adapters {adapters:,}, embeddings {embeddings:,}, trained matrices {others:,}, "
            f"tokenizer {tokenizer_bytes:,}, manifest {MANIFEST_BYTES:,}); set it to at least "
            f"{least_budget(config, vocab_size, tokenizer_bytes)} or lower model.d_model, model.n_layer or model.r."
        )


def least_budget(config: Config, vocab_size: int, tokenizer_bytes: int) -> int:
    """Bytes that hold the network whatever it learns, and some memory beside it."""
    matrices = round(_MAX_MATRIX_BYTES * sum(_matrix_entries(config, vocab_size).values()))
    memory = _LEAST_MEMORY if config.memory.kind != "none" else 0
    return matrices + tokenizer_bytes + MANIFEST_BYTES + _OTHER_BYTES + memory


def check_memory(
    config: Config, vocab_size: int, device: str, world_size: int, available: int, log: Callable[[str], None]
) -> None:
    """Log the bytes that training takes, and refuse if they are more than the `available` ones: EnvironmentProblem."""
    needed = memory_needed(config, vocab_size, device, world_size)
    log(
        f"memory: training takes at least {_size(needed)} beside its text and counts, {_size(available)} are free"
    )
    if needed > available:
        raise EnvironmentProblem(
            f"training takes at least {_size(needed)} of memory, and {_size(available)} are free; lower model.d_model, "
            "model.n_layer, train.seq_len or train.batch_tokens."
        )


def memory_needed(config: Config, vocab_size: int, device: str, world_size: int = 1) -> int:
    """Bytes that training holds at once, reckoned low: weights with their gradients, averages and optimisers, and what
    a forward pass keeps for its backward pass. Text and counts come on top."""
    m, t = config.model, config.train
    trained = sum(_matrix_entries(config, vocab_size).values())
    matrices = matrix_shapes(m)
    frozen = m.n_layer * sum(rows * cols for name, (rows, cols) in matrices.items() if is_seeded(m, name))
    merged = m.n_layer * sum(rows * cols for rows, cols in matrices.values())
    copies = 2 if t.ema else 1
    weights = 4 * (copies * (trained + frozen) + 2 * trained) + 2 * merged
    tokens = min(max(MICRO_TOKENS[device], t.seq_len), t.batch_tokens // world_size)
    per_layer = 2 * (8 * m.d_model + 3 * matrices["up"][0])
    return weights + tokens * (m.n_layer * per_layer + 4 * vocab_size)


def rows_at_once(train: TrainConfig, device: str, world_size: int) -> int:
    """Tokens of one forward pass, whole sequences."""
    most = max(1, MICRO_TOKENS[device] // train.seq_len) * train.seq_len
    return min(most, train.batch_tokens // world_size)


def _matrix_entries(config: Config, vocab_size: int) -> dict[str, int]:
    """Entries of every trained matrix, of all layers together under the first one's names: there may be a million."""
    layers = config.model.n_layer
    first = msgspec.structs.replace(config.model, n_layer=min(layers, 1))
    return {
        name: shape[0] * shape[1] * (layers if name.startswith("blocks.") else 1)
        for name, shape in parameter_shapes(first, vocab_size).items()
        if is_matrix(shape)
    }


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
