"""Artifacts made of integers that are the same everywhere and for ever: what golden intervals are made from."""

from __future__ import annotations

import functools
import struct

import msgspec
import numpy as np
from numpy.typing import NDArray

from regrow.artifact.int_coder import encode_ints
from regrow.core.config.schema import Config, MemoryConfig, MixerConfig, ModelConfig, TrainConfig
from regrow.network.hadamard import random_words
from regrow.network.shapes import is_matrix, parameter_shapes
from regrow.ngram.memory import Memory, model_of, new_counts
from regrow.predict.exact.model import ExactModel

V, BOS, SEED = 300, 1, 5
MODEL = ModelConfig(n_layer=2, d_model=64, n_head=4, n_kv_head=2, rope_dims=8, r=8, window=20)
CONFIGS = {
    "gate": Config(model=MODEL),
    "all seeded, fixed": Config(
        model=msgspec.structs.replace(MODEL, seeded="all", n_head=1, n_kv_head=1, r=1),
        mixer=MixerConfig(kind="fixed"),
    ),
    "nothing seeded, no cap": Config(model=msgspec.structs.replace(MODEL, seeded="none", r=0, softcap=0.0)),
    "hashed": Config(model=MODEL, memory=MemoryConfig(kind="hashed", max_order=3, buckets=[512, 512])),
    "memory in the input": Config(model=msgspec.structs.replace(MODEL, memory_input=8)),
    "recent text in the input": Config(model=msgspec.structs.replace(MODEL, recent_input=2, recent_reach=15)),
    "both in the input": Config(
        model=msgspec.structs.replace(MODEL, memory_input=3, recent_input=3, recent_reach=70)
    ),
    "not tied": Config(model=msgspec.structs.replace(MODEL, tied=False)),
    "not tied, both in the input": Config(
        model=msgspec.structs.replace(MODEL, tied=False, memory_input=2, recent_input=2, recent_reach=30)
    ),
    "hashed, in the input": Config(
        model=msgspec.structs.replace(MODEL, memory_input=3),
        memory=MemoryConfig(kind="hashed", max_order=3, buckets=[512, 512]),
    ),
    "network alone": Config(model=MODEL, memory=MemoryConfig(kind="none"), mixer=MixerConfig(kind="none")),
}


def integers(stream: int, low: int, high: int, *shape: int) -> NDArray[np.int64]:
    """Numbers from low to high - 1 that are the same everywhere and for ever."""
    words = random_words(SEED, stream, int(np.prod(shape))) >> np.uint64(33)
    return (words.astype(np.int64) % (high - low) + low).reshape(shape)


def weights_payload(config: ModelConfig) -> bytes:
    records = []
    for i, (name, shape) in enumerate(parameter_shapes(config, V).items()):
        if is_matrix(shape):
            step = integers(2 * i, 40, 120, shape[0]) / 65536
            q = integers(2 * i + 1, -127, 128, *shape).astype(np.int8)
            record = step.astype("<f2").tobytes() + encode_ints(q)
        else:
            low = -300 if name.endswith("attention_gain") else 300
            record = (integers(2 * i, low, 2000, *shape) / 1024).astype("<f2").tobytes()
        records.append(struct.pack("<I", len(record)) + record)
    return b"".join(records)


def text(stream: int, length: int) -> list[int]:
    follow, tokens = integers(1000, 2, V, V, 4), [BOS]
    for choice in integers(stream, 0, 4, length).tolist():
        tokens.append(int(follow[tokens[-1], choice]))
    return tokens


@functools.cache
def artifact(name: str) -> tuple[Config, dict[str, bytes], Memory | None]:
    config = msgspec.structs.replace(CONFIGS[name], train=TrainConfig(seq_len=40))
    gated = config.mixer.kind == "gate"
    mixer = (integers(1001, -500, 500, 2 + (24 + 24 * 23 + 48 if gated else 0)) / 1024).astype("<f4")
    mixer[:2] += np.float32(0.75)
    memory = None
    if config.memory.kind != "none":
        counts = new_counts(config.memory, V, bos_id=BOS)
        counts.add(np.array(text(1002, 3000)))
        memory = model_of(counts)
    return config, {"weights": weights_payload(config.model), "mixer": mixer.tobytes()}, memory


def exact_model(name: str, version: int = 2) -> ExactModel:
    config, payloads, memory = artifact(name)
    return ExactModel.of(
        config, payloads, memory, vocab_size=V, seed=SEED, bos_id=BOS, source="here", format_version=version
    )
