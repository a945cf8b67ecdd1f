"""What the network's kernels take: weights, the rings of keys and values, scratch, and which rows to compute.

Legend: as in `network`; R slots of a ring.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.core.jit import I32x1, I32x2, I64x1, I64x2
from regrow.predict.exact.arrays import I8x2, I8x5, I16x2, U8x2


class Layers(NamedTuple):
    """All blocks' weights, one behind the other. Packed matrices, their rows' multipliers and 128 times their rows'
    sums (activations are stored plus 128, which this takes off again; 0 for `down`, whose activations are not
    negative); `gain` [L, H]; `exponent` [L, 4] of v, out, up, down. `embedding` [V, D]: what the residual stream
    starts with, or where the network reads more than tokens nothing, and the entries int8 [V, D] with their rows'
    steps [V] in 2^-24 of tokens that are read, `own_entries` and `own_step`, and suggested, `entries` and `step`.
    `memory_input`: how many tokens it reads of the memory, and the gain in 2^-24;
    `recent_input`: how many of the text's own past, and how far back, `recent_gain` [LENGTHS, D]. `exp2`: the table;
    `sizes`: H, K, E, W, and whether four entries of a state are kept apart."""

    qkv: I8x5
    out: I8x5
    up: I8x5
    down: I8x5
    qkv_multiplier: I32x2
    out_multiplier: I32x2
    up_multiplier: I32x2
    down_multiplier: I32x2
    qkv_offset: I32x2
    out_offset: I32x2
    up_offset: I32x2
    down_offset: I32x2
    gain: I64x2
    exponent: I64x2
    embedding: I32x2
    own_entries: I8x2
    own_step: I64x1
    entries: I8x2
    step: I64x1
    memory_input: I64x1
    recent_input: I64x1
    recent_gain: I64x2
    exp2: I32x1
    sizes: I64x1


class Rings(NamedTuple):
    """Keys and values of the last R positions of S streams, a row for each layer, stream and key/value head. `key`
    int8 packed by 64 slots, `value` int8 packed by 64 of its E entries; `key_sum`, 128 times the sum of a key,
    `key_norm`, its inverse norm, and `value_scale`, the largest entry of a value."""

    key: I32x2
    value: I8x2
    key_sum: I32x2
    key_norm: I32x2
    value_scale: I32x2


class Apart(NamedTuple):
    """Of quantised states what is kept apart of their low bytes: `four` [R], which four entries (-1: none), and
    `high` [R, 4], what stands above their seven lowest bits."""

    four: I32x1
    high: I16x2

    @classmethod
    def empty(cls, rows: int) -> Apart:
        """Room for so many states."""
        return cls(np.full(rows, -1, np.int32), np.zeros((rows, 4), np.int16))


class Work(NamedTuple):
    """Scratch of one thread, for M rows. `state` [M, D], `state_apart` and `state_norm` [M] are the result: the final
    quantised states, plus 128, and their inverse norms."""

    x: I32x2
    entries: I64x1
    queries: U8x2
    query_scale: I64x2
    mixed: I64x2
    left: U8x2
    apart: Apart
    norm: I64x1
    mantissa: I64x1
    shift: I64x1
    factor: I64x1
    sums: I32x2
    z: I32x1
    scores: I32x2
    looked_up: I32x1
    weights: I64x1
    high: U8x2
    low: U8x2
    numerators: I32x2
    state: U8x2
    state_apart: Apart
    state_norm: I64x1


class Span(NamedTuple):
    """Which rows: streams `first` to `last`, whose next position is `position`; `slots` [R], the position each slot
    of the ring holds, `cos`, `sin` [T, rope_dims / 2] of the new positions. `suggested`, `suggested_weights` [rows,
    K]: what the network reads of the memory, `recent`, `recent_weights` [rows, LENGTHS * N] of the text's past."""

    tokens: I32x2
    suggested: I32x2
    suggested_weights: I32x2
    recent: I32x2
    recent_weights: I32x2
    slots: I64x1
    cos: I32x2
    sin: I32x2
    first: int
    last: int
    position: int
