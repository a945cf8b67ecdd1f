"""The exact model: an artifact's numbers, made ready once, and the streams that are predicted with them.

Legend: S streams, T tokens, R rows, V vocabulary, D width, H heads, K key/value heads, C context tokens.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.container import FORMAT_VERSION
from regrow.artifact.weights import STEP_BITS, StoredWeight, read_weights
from regrow.core.config.schema import Config, ModelConfig
from regrow.core.errors import ArtifactError
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.rows import Memory
from regrow.ngram.recent import LENGTHS, WEIGHT_BITS
from regrow.predict.exact import rows
from regrow.predict.exact.merge import Matrix, block_matrices, multipliers
from regrow.predict.exact.product import pack_columns
from regrow.predict.exact.records import Layers
from regrow.predict.exact.rows import MAX_ORDER, Head, MemoryTables
from regrow.predict.exact.tables import packed_tanh, rotary_turns, tables

MAX_SCORE = 60  # of attention, as the network has it
LOG2_E = 94548  # 2^16 log2 e
_FACTS, _HIDDEN = MAX_ORDER + 3 + 4, 24
_GATE_LIMIT = 1 << 15
# Of each of Layers' packed matrices, then multipliers, then offsets but one.
_NO_LAYERS = [
    *(np.zeros((0, 1, 1, 1, 1), np.int8) for _ in range(4)), *(np.zeros((0, 1), np.int32) for _ in range(7)),
]  # fmt: skip


class ExactModel(NamedTuple):
    """What `Streams` predict with: read-only, and the same for all of them."""

    layers: Layers
    head: Head
    memory: MemoryTables
    asked: Memory | None  # a memory without a trie, which is asked for its rows
    turns: NDArray[np.uint64]
    bos_id: int
    vocab_size: int
    width: int  # context tokens of the memory

    @classmethod
    def of(
        cls,
        config: Config,
        payloads: dict[str, bytes],
        memory: Memory | None,
        *,
        vocab_size: int,
        seed: int,
        bos_id: int,
        source: str,
        format_version: int = FORMAT_VERSION,
    ) -> ExactModel:
        """From an artifact's payloads, and its memory where it has one. `format_version`: the artifact's; from 2 on
        four entries of a state are kept apart.

        Raises ArtifactError, naming the tensor, for numbers that leave the range in which exact inference is exact.
        """
        weights = read_weights(payloads["weights"], config.model, vocab_size, source)
        if (
            not config.model.n_layer
        ):  # no network: embeddings of zero make all tokens equal, and the exponent 0 ignores them
            zeros = np.zeros((vocab_size, config.model.d_model), np.int64)
            weights["embedding"] = StoredWeight(zeros, np.full(vocab_size, 1 << STEP_BITS - 4, np.int64))
        layers = _layers(weights, config, seed, source, apart=format_version > 1)
        kind = 0 if memory is None else 2 if config.mixer.kind == "gate" else 1
        head = _head(weights["embedding"], payloads["mixer"], config, kind, source)
        width = memory.max_order - 1 if memory is not None else 0
        return cls(
            layers,
            head,
            _memory_tables(memory),
            None if isinstance(memory, NgramModel) else memory,
            rotary_turns(config.model.rope_dims),
            bos_id,
            vocab_size,
            width,
        )


def _layers(
    weights: dict[str, StoredWeight], config: Config, seed: int, source: str, *, apart: bool
) -> Layers:
    m = config.model
    E = m.d_model // m.n_head
    packed: dict[str, list[Any]] = {name: [] for name in ("qkv", "out", "up", "down")}
    gains, exponents = [], []
    for layer in range(m.n_layer):
        b = block_matrices(weights, m, layer, seed, source)
        qkv = Matrix(
            np.concatenate([b[n].q_OI for n in ("q", "k", "v")]),
            np.concatenate([b[n].multiplier_O for n in ("q", "k", "v")]),
            0,
        )
        for name, matrix in (("qkv", qkv), ("out", b["out"]), ("up", b["up"]), ("down", b["down"])):
            packed[name].append(_packed(matrix))
        exponents.append([b[n].exponent for n in ("v", "out", "up", "down")])
        gains.append([_score_gain(int(g), E) for g in weights[f"blocks.{layer}.q_gain"].q.reshape(-1)])
    # Every matrix of all layers, then every multiplier, then every offset but that of `down`, which has none.
    stacked: Any = (
        _NO_LAYERS
        if not m.n_layer
        else [np.stack([layer[part] for layer in packed[n]]) for part in range(3) for n in packed][:-1]
    )
    fields = [
        *stacked, np.zeros((m.n_layer, m.d_model), np.int32), np.array(gains, np.int64).reshape(m.n_layer, m.n_head),
        np.array(exponents, np.int64).reshape(m.n_layer, 4),
        *_input(weights, m, source), tables().exp2,
        np.array([m.n_head, m.n_kv_head, E, m.window or config.train.seq_len, apart], np.int64),
    ]  # fmt: skip
    return Layers(*fields)


def _packed(matrix: Matrix) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A matrix for `multiply`, with multiplier and offset (128 times its sum) of each row."""
    offset = 128 * matrix.q_OI.sum(axis=1, dtype=np.int64)
    return pack_columns(matrix.q_OI), matrix.multiplier_O, offset.astype(np.int32)


def _input(weights: dict[str, StoredWeight], config: ModelConfig, source: str) -> list[NDArray[Any]]:
    """What a token's first state is made of: `embedding` of `Layers` and what follows it."""
    q, step = weights["embedding"].q, weights["embedding"].step_R
    own = weights.get("input_embedding", weights["embedding"])
    D = q.shape[1]
    memory, recent = np.zeros(2, np.int64), np.zeros(2, np.int64)
    recent_gain = np.zeros((LENGTHS, D), np.int64)
    if "memory_gain" in weights:
        memory[:] = config.memory_input, weights["memory_gain"].q[0]
    if "recent_gain" in weights:
        recent[:] = config.recent_input, config.recent_reach
        recent_gain[:] = weights["recent_gain"].q.reshape(LENGTHS, D)
    if not memory[0] and not recent[0]:
        entries, steps = np.zeros((0, D), np.int8), np.zeros(0, np.int64)
        return [_first_states(own.q), entries, steps, entries, steps, memory, recent, recent_gain]
    largest = {"memory_gain": (int(memory[0]), abs(int(memory[1])))}
    largest |= {"recent_gain": (LENGTHS * int(recent[0]), LENGTHS * int(np.abs(recent_gain).max()))}
    shares, most = 1 << WEIGHT_BITS, 127 * max(int(step.max()), int(own.step_R.max()))
    for name, (count, gain) in largest.items():
        shares += (gain * ((1 << WEIGHT_BITS) + count) >> 24) + count
        if most * shares >= 1 << 62:
            raise ArtifactError(
                f"{source}: weight {name} leaves the exact range; train again with a lower rate."
            )
    rows: list[NDArray[Any]] = [own.q.astype(np.int8), own.step_R, q.astype(np.int8), step]
    return [np.zeros((0, D), np.int32), *rows, memory, recent, recent_gain]


def _first_states(q_VD: NDArray[np.int64]) -> NDArray[np.int32]:
    """Every token's embedding, normalised, in 2^-16: int32 [V, D]."""
    D = q_VD.shape[1]
    norm_V = [isqrt((D << 40) // max(int(n), 1)) for n in (q_VD * q_VD).sum(axis=1)]
    states: NDArray[np.int64] = (q_VD * np.array(norm_V)[:, None] + 8) >> 4
    return states.astype(np.int32)


def _score_gain(gain: int, head_width: int) -> int:
    """gain * sqrt(E) in bits, at most MAX_SCORE nats either way, in 2^-12; `gain` in 2^-24."""
    nats = gain * isqrt(head_width << 32)  # in 2^-40
    limit = MAX_SCORE << 40
    return (min(max(nats, -limit), limit) * LOG2_E + (1 << 43)) >> 44


def _head(embedding: StoredWeight, mixer: bytes, config: Config, kind: int, source: str) -> Head:
    cap = Fraction(config.model.softcap)
    cap_bits = int((cap * LOG2_E / 64 + Fraction(1, 2)) // 1)
    factor = 1 / cap if cap else Fraction(LOG2_E, 1 << 16)
    steps = [Fraction(int(s), 1 << STEP_BITS) * factor for s in embedding.step_R]
    q = embedding.q.astype(np.int8)
    matrix = Matrix(q, *multipliers(steps, f"{source}: weight embedding"))
    packed, multiplier, offset = _packed(matrix)
    gate: Any = _gate(mixer, config.mixer.kind == "gate", source)
    numbers = np.array([matrix.exponent, cap > 0, cap_bits, kind, len(q)], np.int64)
    t = tables()
    fields = [packed, multiplier, offset, numbers, *gate, t.exp2, t.log2, packed_tanh()]
    return Head(*fields)


def _gate(payload: bytes, gated: bool, source: str) -> list[NDArray[np.int64]]:
    """The mixer's parameters in 2^-16: exponents [2], gate_in [23, J], gate_bias [J], gate_out [2, J]."""
    shapes: dict[str, tuple[int, ...]] = {"exponents": (2,)}
    if gated:
        shapes |= {"gate_bias": (_HIDDEN,), "gate_in": (_HIDDEN, _FACTS), "gate_out": (2, _HIDDEN)}
    flat = np.frombuffer(payload, "<f4").astype(np.float64) if len(payload) % 4 == 0 else np.empty(0)
    if flat.size != sum(int(np.prod(s)) for s in shapes.values()):
        raise ArtifactError(f"{source}: the mixer does not fit its config; pack the run again.")
    if not (np.abs(flat) < _GATE_LIMIT).all():
        raise ArtifactError(f"{source}: the mixer has numbers beyond the exact range; train it again.")
    fixed = np.floor(flat * 65536 + 0.5).astype(np.int64)  # powers of two, halves: exact
    parts = {"gate_bias": np.zeros(0, np.int64), "gate_in": np.zeros((_FACTS, 0), np.int64)}
    parts["gate_out"] = np.zeros((2, 0), np.int64)
    at = 0
    for name, shape in shapes.items():  # in the order of the payload: by name
        size = int(np.prod(shape))
        parts[name] = np.ascontiguousarray(fixed[at : at + size].reshape(shape))
        at += size
    if gated:
        parts["gate_in"] = np.ascontiguousarray(parts["gate_in"].T)
    return [parts[n] for n in ("exponents", "gate_in", "gate_bias", "gate_out")]


def _memory_tables(memory: Memory | None) -> MemoryTables:
    if not isinstance(memory, NgramModel):
        i32, f32, u16 = np.zeros(1, np.int32), np.zeros(1, np.float32), np.zeros(1, np.uint16)
        return MemoryTables(0, i32, u16, i32, u16, f32, f32, u16, f32[None], np.zeros((1, 1), np.int16))
    t = memory.trie
    bits = np.empty(memory.base_BV.shape, np.int16)
    rows.base_bits(memory.base_BV, tables().log2, bits)
    return MemoryTables(
        t.max_order, t.child_start_P1, t.child_token_M, t.succ_start_M1, t.succ_token_E, t.succ_mass_E, t.gamma_M,
        t.total_M, memory.base_BV, bits,
    )  # fmt: skip
