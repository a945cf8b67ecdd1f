"""The configuration of a run: every key, typed and frozen. What a key means stands in the comment beside it.

A limit of 0 means none.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Positive: TypeAlias = Annotated[int, Meta(ge=1)]
Rate: TypeAlias = Annotated[float, Meta(ge=0)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
PositiveFloat: TypeAlias = Annotated[float, Meta(gt=0)]

# Exact inference (docs/exact.md) holds its sums and products within its integers up to these.
MAX_WIDTH, MAX_HIDDEN, MAX_WINDOW, MAX_SOFTCAP = 4096, 66_304, 1 << 16, 44
SIDE = 64  # a frozen base is built from blocks of this side, so every side of one is a multiple of it
MIN_VOCAB, MAX_VOCAB = 257, 1 << 16


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the TOML file."""


class DataConfig(Section, frozen=True):
    """How text becomes tokens."""

    # tokens: 256 bytes, one that begins a document, and what is learned; each has 16 bits
    vocab_size: Annotated[int, Meta(ge=MIN_VOCAB, le=MAX_VOCAB)] = 1024
    val_fraction: Annotated[float, Meta(gt=0, lt=1)] = (
        0.1  # part of the bytes held out, whole documents as far as possible; `sotu` has its own held-out years
    )


class ModelConfig(Section, frozen=True):
    """The network."""

    n_layer: Count = 4  # 0 = no network: the memory predicts alone
    d_model: Annotated[int, Meta(ge=SIDE, le=MAX_WIDTH, multiple_of=SIDE)] = 256  # width
    n_head: Positive = 4
    n_kv_head: Positive = 2  # key/value heads, each shared by n_head / n_kv_head query heads
    mlp_ratio: PositiveFloat = 3.0  # width of the MLP's hidden layer over d_model
    rope_dims: Count = 16  # dimensions of each head that are rotated; 0 = no positions
    seeded: Literal["all", "mlp", "none"] = "mlp"  # which matrices are frozen bases with adapters
    r: int = 64  # adapter width of a seeded matrix
    base: Literal["hadamard", "qr", "gaussian"] = "hadamard"  # qr and gaussian are for comparison only
    base_gain: float = 1.0  # singular values of a frozen base
    softcap: Annotated[float, Meta(ge=0, le=MAX_SOFTCAP)] = (
        30.0  # logits are softcap * tanh(logits / softcap); 0 = as they are
    )
    qk_gain: PositiveFloat = 1.5  # initial scale of the normalised queries
    window: Count = 0  # attention reaches this many tokens back; 0 = seq_len
    # likeliest next tokens by the memory, weighted by probability, that the network reads with each token; 0 = none
    memory_input: Annotated[int, Meta(ge=0, le=64)] = 0
    # tokens that followed, in the text before, the newest occurrences of its last token, so many, as many of its last
    # two and of its last three, that the network reads too; 0 = none
    recent_input: Annotated[int, Meta(ge=0, le=16)] = 0
    recent_reach: Annotated[int, Meta(ge=1, le=65_536)] = 2048  # tokens that are looked back for them
    tied: bool = True  # false = a token that is read has a row of its own, beside the one that predicts it


class MemoryConfig(Section, frozen=True):
    """The n-gram memory."""

    kind: Literal["exact", "hashed", "none"] = "exact"
    max_order: Annotated[int, Meta(ge=1, le=16)] = 6  # longest n-gram, its last token included
    # hashed alone: buckets of orders 2, 3, ... up to max_order; [] = as published
    buckets: list[Annotated[int, Meta(ge=2, le=1 << 26)]] = []
    cap_bytes: Count = 0  # bytes the memory may take in the artifact; 0 = what the budget leaves
    # counts, or the text they are counted from; auto = whichever predicts better in its bytes
    stored: Literal["table", "text", "auto"] = "auto"
    # ahead = the whole training text is counted first; prequential = each batch once it has been trained on
    fill: Literal["ahead", "prequential"] = "ahead"
    # fitted = to documents left out (needs fill = "ahead"); estimated = Chen and Goodman's, from the counts alone
    discounts: Literal["fitted", "estimated"] = "fitted"
    folds: Count = 0  # parts left out in turn when text counted ahead is predicted; 0 = each group by itself


class MixerConfig(Section, frozen=True):
    """How network and memory become one distribution; without a memory there is nothing to mix."""

    kind: Literal["gate", "fixed", "none"] = "gate"


class TrainConfig(Section, frozen=True):
    """The training loop; it stops at the first limit it meets."""

    batch_tokens: int = 8192  # tokens a step over all processes, a multiple of seq_len
    seq_len: Positive = 512  # tokens a sequence
    max_steps: Count = 0
    max_tokens: Count = 0
    max_seconds: Rate = 150.0
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # decay of the averaged weights a step; 0 = off
    seed: Count = 1  # of the bases, the initial weights and the order of batches; below 2**63
    lr_matrix: Rate = 0.02  # Muon: matrices and adapters
    lr_embed: Rate = 0.01  # AdamW: embeddings
    lr_scalar: Rate = 0.01  # AdamW: gains and other vectors
    lr_mixer: Rate = 0.015  # AdamW: the mixer's gate
    weight_decay: Rate = 0.0
    warmup_steps: Count = 10
    warmdown: Share = 0.5  # last part of the run in which the rates fall to zero in a line
    # last part of the run, on text kept for it (less where that would come twice): network and mixer learn as a mixture
    closing: Share = 0.15
    grad_clip: Rate = 1.0  # largest gradient norm; 0 = none
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.95  # Muon
    compile: Literal["auto", "on", "off"] = "auto"  # auto = where there is a compiler and time to gain
    log_every: Positive = 10  # steps
    eval_every: Count = 0  # steps between two looks at the held-out text; 0 = none
    patience: Count = (
        0  # looks without a new best that end the main phase, which goes back to the best; 0 = never
    )
    log_lines: Literal["jsonl", "official"] = (
        "jsonl"  # official = also train.log, as parameter-golf's root script
    )
    checkpoint_seconds: Rate = 0.0  # time between checkpoints; 0 = only when interrupted


class PackConfig(Section, frozen=True):
    """What the artifact may cost."""

    budget_bytes: Positive = 16_000_000  # decimal bytes, everything counted
    load_seconds: Rate = 5.0  # time that loading the artifact may take; 0 = any
    # best = the network or the memory alone where the held-out text shows that to be no worse
    keep: Literal["mixture", "best"] = "mixture"


class EvalConfig(Section, frozen=True):
    """How held-out text is scored and coded."""

    stride: Count = 0  # tokens scored a window; 0 = the whole window
    chunk_tokens: Positive = 8_192  # tokens a chunk handed to `score`
    streams: Positive = 64  # unused since streams of version 3: their number follows from the text's length
    window: Count = 0  # tokens a window; 0 = train.seq_len
    # The adaptive predictor (--ttt).
    adapt_streams: Positive = 16  # streams side by side, at most; fewer start cold less often
    adapt_orders: Annotated[int, Meta(ge=0, le=8)] = 4  # longest context, in tokens, of recent text; 0 = none
    adapt_tokens: Positive = 1_048_576  # recent tokens remembered; past that, the newer half is kept
    # what trains on a chunk once it is scored; float arithmetic, so evaluated only: streams leave it out
    ttt: Literal["none", "adapters", "all"] = "none"
    ttt_chunk_tokens: Positive = 2_048  # over all streams, a multiple of adapt_streams * window
    ttt_epochs: Positive = 1  # passes over a chunk
    ttt_optimiser: Literal["sgd", "adamw"] = "adamw"
    ttt_rate: Rate = 0.001  # at first; a cosine over the chunks brings it to zero
    ttt_clip: Rate = 1.0  # largest gradient norm; 0 = none


class Config(Section, frozen=True):
    """Everything a run is made from. `preset` is the name it goes by in results."""

    preset: str = "custom"
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    memory: MemoryConfig = MemoryConfig()
    mixer: MixerConfig = MixerConfig()
    train: TrainConfig = TrainConfig()
    pack: PackConfig = PackConfig()
    eval: EvalConfig = EvalConfig()
