"""The config of `regrow fit`: a network, its batches and its vocabulary in proportion to text, budget and time.

What proportions cannot know, how long to train and whether the network is worth its bytes, held-out text decides while
it runs (docs/fit.md).
"""

from __future__ import annotations

import math

from regrow.core.config.schema import (
    Config,
    DataConfig,
    EvalConfig,
    MemoryConfig,
    ModelConfig,
    PackConfig,
    TrainConfig,
)

_NETWORK_SHARE = 0.4  # most of the budget that the network's matrices may take, at a byte an entry
_JOINT_STEPS = 32  # the mixer learns from text that is met once: in at least so many steps
_RECENT, _REACH = 4, 4096  # of recent text, most of all in source code, which repeats itself nearby
_EVAL_SHARE, _EVAL_COST = 0.05, 1 / 3  # of the time; a token that is scored, beside one that is trained on
_ADAPT_ORDERS = (
    6  # of recent text: prose hardly minds, and source code repeats itself over more than four tokens
)
_ADAPTIVE_SHARE, _ADAPTIVE_SPEED = 0.1, 5000  # of the time; bytes a second, encoded and decoded
_BYTES_PER_TOKEN = 3.0
# Most that is worth training, so that learning rates fall before a short text is known by heart: passes, or steps.
_PASSES, _STEPS = 12, 400
# Text from which it pays: layers, width, adapters. The last that fits the budget is taken.
_NETWORKS = [(0, 2, 64, 16), (0, 3, 128, 48), (2_000_000, 4, 256, 96), (60_000_000, 6, 384, 128)]
_VOCABULARIES = [(0, 384), (100_000, 512), (1_000_000, 1024), (3_000_000, 2048), (60_000_000, 4096)]
# Long n-grams pay where text repeats itself, as source code does, and cost time.
_ORDERS = [(0, 12), (3_000_000, 7)]


def fit_config(text_bytes: int, budget_bytes: int, seconds: float) -> Config:
    """For text of so many bytes, an artifact within the budget, and so many seconds in all."""
    rows = budget_bytes / 4 / _NETWORKS[0][2]  # of the narrowest embedding, in a quarter of the budget
    vocab = [size for least, size in _VOCABULARIES if text_bytes >= least and (not least or size <= rows)][-1]
    order = [order for least, order in _ORDERS if text_bytes >= least][-1]
    layers, width, r = _network(text_bytes, budget_bytes, vocab)
    tokens = text_bytes / _BYTES_PER_TOKEN
    closing = 0.25
    batch = 1 << max(9, min(12, int(math.log2(max(1.0, closing * tokens / _JOINT_STEPS)))))
    seq_len = 64 if text_bytes < 20_000 else min(512, batch // 2)
    looked_at = min(8192, 0.1 * tokens)
    return Config(
        preset="fit",
        data=DataConfig(vocab_size=vocab),
        model=ModelConfig(
            n_layer=layers, d_model=width, n_head=4, n_kv_head=2, mlp_ratio=3.0, r=r, window=min(128, seq_len),
            recent_input=_RECENT, recent_reach=_REACH,
        ),
        memory=MemoryConfig(max_order=order, folds=4),
        train=TrainConfig(
            batch_tokens=batch, seq_len=seq_len, max_seconds=_training_seconds(text_bytes, seconds),
            max_tokens=max(math.ceil(_PASSES * tokens), _STEPS * batch), closing=closing,
            lr_matrix=0.01, lr_embed=0.02, lr_scalar=0.02, compile="auto" if seconds >= 240 else "off",
            eval_every=max(10, math.ceil(looked_at * _EVAL_COST / _EVAL_SHARE / batch)), patience=4,
        ),
        pack=PackConfig(budget_bytes=budget_bytes, keep="best"),
        eval=EvalConfig(adapt_orders=_ADAPT_ORDERS),
    )  # fmt: skip


def adaptive_bytes(seconds: float) -> int:
    """Held-out text that the adaptive predictor can prove too in a tenth of so many seconds."""
    return int(_ADAPTIVE_SHARE * seconds * _ADAPTIVE_SPEED)


def _network(text_bytes: int, budget_bytes: int, vocab: int) -> tuple[int, int, int]:
    """The largest network that the text can teach and the budget can hold; the smallest where it holds none."""
    fitting = _NETWORKS[0][1:]
    for least, layers, width, r in _NETWORKS:
        entries = vocab * width + layers * (3 * width * width + 8 * r * width)
        if text_bytes >= least and entries <= _NETWORK_SHARE * budget_bytes:
            fitting = (layers, width, r)
    return fitting


def _training_seconds(text_bytes: int, seconds: float) -> float:
    """What reading, packing, evaluation, proof and starting leave of the time, at least a third."""
    held_out = DataConfig().val_fraction * text_bytes
    adaptive = held_out / _ADAPTIVE_SPEED if held_out <= adaptive_bytes(seconds) else 0.0
    return max(seconds / 3, 0.9 * seconds - 20 - 3e-6 * text_bytes - adaptive)
