"""What must hold between the keys of a config; each failure is one sentence naming the keys and the fix."""

from __future__ import annotations

import math

import msgspec

from regrow.core.config.schema import MAX_HIDDEN, MAX_WINDOW, SIDE, Config
from regrow.core.errors import ConfigError


def check_type(config: object) -> None:
    """Raise ConfigError for what is no Config, such as the name of a preset."""
    if not isinstance(config, Config):
        raise ConfigError(
            f"config: is {config!r:.80}, no Config; give one, such as regrow.load_preset('demo')."
        )


def check(config: Config, source: str) -> None:
    """Raise ConfigError, with `source` as the place to mend, if the keys of `config` do not fit together."""
    for rule in (_finite, _model, _seeded, _memory, _train, _eval):
        sentence = rule(config)
        if sentence:
            raise ConfigError(f"{source}: {sentence}.")


def _finite(config: Config) -> str:
    for section, keys in msgspec.to_builtins(config).items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            if isinstance(value, float) and not math.isfinite(value):
                return f"{section}.{key} is {value}, choose a finite number"
            if isinstance(value, int) and value >= 2**63:
                return f"{section}.{key} is {value}, choose a number below 2**63"
    return ""


def _model(config: Config) -> str:
    model, seq_len = config.model, config.train.seq_len
    if not model.n_layer and config.memory.kind == "none":
        return 'model.n_layer is 0, no network, choose 1 or more, or memory.kind = "exact"'
    if model.d_model % model.n_head:
        return f"model.n_head is {model.n_head}, choose a divisor of model.d_model ({model.d_model})"
    if model.n_head % model.n_kv_head:
        return f"model.n_kv_head is {model.n_kv_head}, choose a divisor of model.n_head ({model.n_head})"
    head_dim = model.d_model // model.n_head
    if head_dim % 2:
        return f"model.n_head is {model.n_head}, choose one that makes heads even ({head_dim} is odd)"
    if model.rope_dims % 2 or model.rope_dims > head_dim:
        return f"model.rope_dims is {model.rope_dims}, choose an even number up to the head's {head_dim}"
    hidden = model.mlp_ratio * model.d_model
    if not math.isfinite(hidden) or hidden != int(hidden):
        return f"model.mlp_ratio is {model.mlp_ratio:g}, choose one that makes {hidden:g} hidden units whole"
    if hidden > MAX_HIDDEN:
        return f"model.mlp_ratio makes {hidden:.0f} hidden units, choose one that makes at most {MAX_HIDDEN}"
    if model.window > seq_len:
        return f"model.window is {model.window}, choose at most train.seq_len ({seq_len}), or 0 for all of it"
    if (model.window or seq_len) > MAX_WINDOW:
        key, value = ("model.window", model.window) if model.window else ("train.seq_len", seq_len)
        return f"{key} is {value} tokens, choose 1 to {MAX_WINDOW}"
    return ""


def _seeded(config: Config) -> str:
    model = config.model
    if model.seeded == "none":
        return ""
    if not 1 <= model.r <= model.d_model:
        return f'model.r is {model.r}, choose 1 to model.d_model ({model.d_model}), or model.seeded = "none"'
    if model.base_gain <= 0:
        return f"model.base_gain is {model.base_gain:g}, choose a gain above 0"
    hidden = round(model.mlp_ratio * model.d_model)
    if hidden % SIDE:
        return f"model.mlp_ratio makes {hidden} hidden units, choose one that makes a multiple of {SIDE}"
    kv_width = model.n_kv_head * model.d_model // model.n_head
    if model.seeded == "all" and kv_width % SIDE:
        return f"model.n_kv_head makes keys {kv_width} wide, choose one that makes a multiple of {SIDE}"
    return ""


def _memory(config: Config) -> str:
    memory, budget = config.memory, config.pack.budget_bytes
    if memory.kind != "none" and config.mixer.kind == "none":
        return 'mixer.kind is "none", which leaves the memory unused, choose "gate" or memory.kind = "none"'
    if config.model.memory_input and memory.kind == "none":
        return (
            'model.memory_input reads a memory and memory.kind is "none", choose 0 or memory.kind = "exact"'
        )
    if config.model.memory_input and memory.fill == "prequential":
        return 'model.memory_input reads what was counted ahead, choose 0 or memory.fill = "ahead"'
    if memory.cap_bytes > budget:
        return f"memory.cap_bytes is {memory.cap_bytes}, choose at most pack.budget_bytes ({budget})"
    if memory.kind == "hashed" and memory.max_order < 2:
        return f'memory.max_order is {memory.max_order}, choose 2 or more for memory.kind = "hashed"'
    if memory.buckets and memory.kind != "hashed":
        return (
            "memory.buckets is for the hashed memory alone, leave it out, or choose [], or memory.kind = "
            '"hashed" and a number for each order'
        )
    if memory.buckets and len(memory.buckets) != memory.max_order - 1:
        return (
            f"memory.buckets has {len(memory.buckets)} numbers, choose {memory.max_order - 1}, one for each order "
            f"from 2 to memory.max_order ({memory.max_order}), or [] for the published ones"
        )
    if memory.folds == 1:
        return (
            "memory.folds is 1, which leaves everything out, choose 2 or more, or 0 for each group by itself"
        )
    return ""


def _train(config: Config) -> str:
    batch, seq_len = config.train.batch_tokens, config.train.seq_len
    if batch < 1 or batch % seq_len:
        return f"train.batch_tokens is {batch}, choose {seq_len} (train.seq_len) or a multiple of it"
    if not (config.train.max_steps or config.train.max_tokens or config.train.max_seconds):
        return "train.max_steps, max_tokens and max_seconds are all 0, choose one, or training never ends"
    return ""


def _eval(config: Config) -> str:
    stride, window = config.eval.stride, config.eval.window or config.train.seq_len
    if stride > window:
        return f"eval.stride is {stride}, choose at most the window of {window} tokens, or 0 for all of it"
    return ""
