"""The network in integers: tokens in, the final quantised states out, for many positions of many streams at once.

One kernel serves both uses: the encoder gives it many tokens of a stream, the decoder one. What it computes of a
position depends on that position's window alone. docs/exact.md, "Network".

Legend: S streams, T tokens, M = S * T rows, D width, H heads, K key/value heads, G = H / K, E head width, F hidden
width, W window, R slots of a ring, L layers.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

# An index that is a sum is made unsigned: numba then need not ask whether it is negative, and loops become vectors.
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import I32x1, I32x2, I64x1, I64x2, kernel
from regrow.predict.exact.arrays import I8x2, I8x5, U8x2
from regrow.predict.exact.functions import bit_length, root
from regrow.predict.exact.product import COLUMNS, ROWS, multiply

X_BITS = 16  # the residual stream counts in 2^-16
X_LIMIT = 1 << 30  # and saturates there
Z_BITS = 12  # cut off a sum times its multiplier, which then fits 31 bits
BLOCK = 8 * ROWS  # rows of one product


class Layers(NamedTuple):
    """All blocks' weights, one behind the other. Packed matrices, their rows' multipliers and 128 times their rows'
    sums (activations are stored plus 128, which this takes off again; 0 for `down`, whose activations are not
    negative); `gain` [L, H]; `exponent` [L, 4] of v, out, up, down. `embedding` [V, D]: what the residual stream
    starts with. `exp2`: the table; `sizes`: H, K, E, W."""

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


class Work(NamedTuple):
    """Scratch of one thread, for M rows. `state` [M, D] and `state_norm` [M] are the result: the final quantised
    states, plus 128, and their inverse norms."""

    x: I32x2
    queries: U8x2
    query_scale: I64x2
    mixed: I64x2
    left: U8x2
    norm: I64x1
    sums: I32x2
    z: I32x1
    scores: I32x2
    index: I32x1
    weights: I64x1
    high: U8x2
    low: U8x2
    numerators: I32x2
    state: U8x2
    state_norm: I64x1


class Span(NamedTuple):
    """Which rows: streams `first` to `last`, whose next position is `position`; `slots` [R], the position each slot
    of the ring holds, `cos`, `sin` [T, rope_dims / 2] of the new positions."""

    tokens: I32x2
    slots: I64x1
    cos: I32x2
    sin: I32x2
    first: int
    last: int
    position: int


@register_jitable
def shift_for(peak, bits):
    """How far to shift numbers up to `peak` right so that they fit in so many bits."""
    return max(bit_length(peak) - bits, np.int64(0))


@register_jitable
def half_of(shift):
    return (np.int64(1) << shift) >> 1


@register_jitable
def peak_of(z, at, n):
    """The largest |z| of n numbers from `at` on."""
    peak = abs(z[at])
    for j in range(n):
        peak = max(peak, abs(z[np.uint64(at + j)]))
    return np.int64(peak)


@register_jitable
def quantise(z, at, n, left, row):
    """Round n numbers of z from `at` on to +-127 of the largest, plus 128, into left[row]. Returns the sum of
    squares, and the largest as mantissa (at most 2^15) and shift."""
    peak = peak_of(z, at, n)
    shift = shift_for(peak, 15)
    half = half_of(shift)
    mantissa = (peak + half) >> shift
    factor = np.int32((np.int64(127) << 22) // max(mantissa, np.int64(1)))
    cut, start = z.dtype.type(shift), z.dtype.type(half)
    squares = np.int32(0)
    for j in range(n):
        part = np.int32(z.dtype.type(z[np.uint64(at + j)] + start) >> cut)
        q = np.int32(np.int32(np.int32(part * factor) + (1 << 21)) >> 22)
        left[row, j] = np.uint8(q + 128)
        squares += np.int32(q * q)
    return np.int64(squares), mantissa, shift


@register_jitable
def product(work, matrix, rows):
    """work.sums[:rows] = work.left[:rows] times a packed matrix."""
    terms = matrix.shape[1] * 4
    for tile in range(matrix.shape[0]):
        b = matrix.ctypes.data + tile * terms * COLUMNS
        for i in range(0, rows, ROWS):
            a = work.left.ctypes.data + i * work.left.shape[1]
            c = work.sums.ctypes.data + (i * work.sums.shape[1] + tile * COLUMNS) * 4
            multiply(a, work.left.shape[1], b, c, work.sums.shape[1], terms)


@register_jitable
def add_scaled(x, sums, offset, multiplier, mantissa, shift):
    """x += (sums - offset) * multiplier * mantissa / 2^shift, rounded; both the summand and the sum saturate."""
    s = min(max(shift, np.int64(1)), np.int64(62))
    half = np.int64(1) << (s - 1)
    limit = np.int64(X_LIMIT)
    for j in range(len(x)):
        scale = np.int32(multiplier[j] * mantissa)  # 15 bits by 16
        y = (np.int64(np.int32(sums[j] - offset[j])) * np.int64(scale) + half) >> s
        y = min(max(y, -limit), limit) + np.int64(x[j])
        x[j] = np.int32(min(max(y, -limit), limit))


@register_jitable
def head_row(z, at, width, cos_T, sin_T, t, left, row):
    """One head's query or key: shift to 15 bits, rotate, quantise plus 128 into left[row]. Returns 2^24 over its
    norm."""
    shift = shift_for(peak_of(z, at, width), 15)
    cut, half = np.int32(shift), np.int32(half_of(shift))
    for e in range(width):
        z[np.uint64(at + e)] = np.int32(np.int32(z[np.uint64(at + e)] + half) >> cut)
    pairs = cos_T.shape[1]
    for i in range(pairs):
        a, b = z[np.uint64(at + i)], z[np.uint64(at + pairs + i)]
        c, s = cos_T[t, i], sin_T[t, i]
        z[np.uint64(at + i)] = np.int32(np.int32(np.int32(a * c) - np.int32(b * s)) + 8192) >> 14
        z[np.uint64(at + pairs + i)] = np.int32(np.int32(np.int32(a * s) + np.int32(b * c)) + 8192) >> 14
    squares, _, _ = quantise(z, at, width, left, row)
    return root((np.int64(1) << 48) // max(squares, np.int64(1)))


@register_jitable
def write_key(rings, ring, slot, lanes, width, norm):
    """A quantised key, plus 128 in the last row of `lanes`, into its slot, four entries at a time."""
    steps = (width + 3) // 4
    total = np.int64(0)
    for e in range(width):
        total += np.int64(lanes[ROWS, e])
    for e in range(width, 4 * steps):
        lanes[ROWS, e] = 128
    fours = lanes[ROWS].view(np.int32)
    base = (slot // COLUMNS) * steps * COLUMNS + slot % COLUMNS
    for e in range(steps):
        # Taking 128 from a byte is turning its highest bit.
        rings.key[ring, np.uint64(base + e * COLUMNS)] = fours[e] ^ np.int32(-0x7F7F7F80)
    rings.key_sum[ring, slot] = 128 * (total - 128 * width)
    rings.key_norm[ring, slot] = norm


@register_jitable
def write_value(rings, ring, slot, lanes, width, scale):
    """The same of a value, whose entries stand four slots together."""
    slots = rings.key_sum.shape[1]
    for first in range(0, width, COLUMNS):
        base = (first // COLUMNS) * slots * COLUMNS + (slot >> 2) * COLUMNS * 4 + (slot & 3)
        for e in range(min(np.int64(COLUMNS), width - first)):
            value = np.int8(np.int32(lanes[ROWS, np.uint64(first + e)]) - 128)
            rings.value[ring, np.uint64(base + 4 * e)] = value
    rings.value_scale[ring, slot] = min(scale, np.int64((1 << 24) - 1))


@register_jitable
def read_rows(layers, layer, rings, work, span, start, stop):
    """Queries, keys and values of rows start..stop: norm, product, rotation, quantisation."""
    heads, kv_heads, width = layers.sizes[0], layers.sizes[1], layers.sizes[2]
    tokens = span.tokens.shape[1]
    group = heads // kv_heads
    model = work.x.shape[1]
    streams = rings.key.shape[0] // (layers.gain.shape[0] * kv_heads)
    for i in range(stop - start):
        squares, _, _ = quantise(work.x[start + i], 0, model, work.left, i)
        work.norm[i] = root((np.int64(model) << 40) // max(squares, np.int64(1)))
    product(work, layers.qkv[layer], stop - start)
    z = work.z
    lanes = work.high  # scratch rows of single heads
    slots = rings.key_sum.shape[1]
    per_head = (width + 3) // 4 * 4
    for i in range(stop - start):
        m = start + i
        s, t = m // tokens, m % tokens
        for j in range((heads + 2 * kv_heads) * width):
            dot = np.int32(work.sums[i, j] - layers.qkv_offset[layer, j])
            z[j] = np.int32((np.int64(dot) * np.int64(layers.qkv_multiplier[layer, j])) >> Z_BITS)
        for h in range(heads):
            norm = head_row(z, h * width, width, span.cos, span.sin, t, lanes, ROWS)
            work.query_scale[m, h] = (norm * layers.gain[layer, h]) >> 10
            row = (t * group + h % group) * per_head
            for e in range(width):
                work.queries[s * kv_heads + h // group, np.uint64(row + e)] = lanes[ROWS, e]
        slot = (span.position + t) % slots
        for k in range(kv_heads):
            ring = (layer * streams + span.first + s) * kv_heads + k
            norm = head_row(z, (heads + k) * width, width, span.cos, span.sin, t, lanes, ROWS)
            write_key(rings, ring, slot, lanes, width, norm)
            at = (heads + kv_heads + k) * width
            peak = peak_of(z, at, width)
            quantise(z, at, width, lanes, ROWS)
            scale = (peak * work.norm[i]) >> (layers.exponent[layer, 0] + 4 - Z_BITS)
            write_value(rings, ring, slot, lanes, width, scale)


@register_jitable
def weigh(layers, rings, ring, work, span, row, position, scale):
    """The weights of one query: scores to exponentials to two bytes a slot. Returns 2^(shift + 30) over their sum."""
    window = layers.sizes[3]
    score_R, index_R, weight_R = work.scores[row], work.index, work.weights
    sum_R, norm_R, value_R = rings.key_sum[ring], rings.key_norm[ring], rings.value_scale[ring]
    slots = len(weight_R)
    for j in range(slots):
        dot = np.int64(np.int32(score_R[j] - sum_R[j])) * np.int64(norm_R[j])
        score_R[j] = np.int32((dot * scale + (np.int64(1) << 39)) >> 40)
    top = np.int32(-(1 << 30))
    for j in range(slots):
        seen = np.uint32(position - span.slots[j]) < np.uint32(window)
        score_R[j] = score_R[j] if seen else np.int32(-(1 << 30))
        top = max(top, score_R[j])
    for j in range(slots):
        index_R[j] = np.int32(top - score_R[j]) & np.int32(1023)
    for j in range(slots):  # alone in its loop, as `look_up` of rows.py
        index_R[j] = layers.exp2[np.uint32(index_R[j])]
    total, peak = np.int64(0), np.int64(0)
    for j in range(slots):
        w = np.int32(
            index_R[j] >> np.int32(min(np.int32(top - score_R[j]) >> 10, np.int32(31)))
        )  # 0 where not seen
        total += w
        scaled = np.int64(w) * np.int64(value_R[j])
        weight_R[j] = scaled
        peak = max(peak, scaled)
    shift = shift_for(peak, 16)
    for j in range(slots):
        p = np.int32(weight_R[j] >> shift)
        work.high[row, j] = np.uint8(p >> 8)
        work.low[row, j] = np.uint8(p & 255)
    return (np.int64(1) << (shift + 30)) // total


@register_jitable
def attend(layers, layer, rings, work, span, s, k):
    """Attention of one stream's new queries of one key/value head into work.mixed."""
    heads, kv_heads, width = layers.sizes[0], layers.sizes[1], layers.sizes[2]
    tokens = span.tokens.shape[1]
    group = heads // kv_heads
    streams = rings.key.shape[0] // (layers.gain.shape[0] * kv_heads)
    ring = (layer * streams + span.first + s) * kv_heads + k
    slots = rings.key_sum.shape[1]
    terms = (width + 3) // 4 * 4
    key, value = rings.key[ring].ctypes.data, rings.value[ring].ctypes.data
    queries = work.queries[s * kv_heads + k].ctypes.data
    tiles = (width + COLUMNS - 1) // COLUMNS
    factor = np.empty(ROWS, np.int64)
    for first in range(0, tokens * group, ROWS):
        rows = min(np.int64(ROWS), tokens * group - first)
        for tile in range(slots // COLUMNS):
            c = work.scores.ctypes.data + tile * COLUMNS * 4
            multiply(queries + first * terms, terms, key + tile * terms * COLUMNS, c, slots, terms)
        for i in range(rows):
            t, g = (first + i) // group, (first + i) % group
            scale = work.query_scale[s * tokens + t, k * group + g]
            factor[i] = weigh(layers, rings, ring, work, span, i, span.position + t, scale)
        stride = work.numerators.shape[1]
        for tile in range(tiles):
            b = value + tile * slots * COLUMNS
            c = work.numerators.ctypes.data + tile * COLUMNS * 4
            multiply(work.high.ctypes.data, work.high.shape[1], b, c, stride, slots)
            multiply(work.low.ctypes.data, work.low.shape[1], b, c + ROWS * stride * 4, stride, slots)
        for i in range(rows):
            t, h = (first + i) // group, k * group + (first + i) % group
            for e in range(width):
                numerator = (np.int64(work.numerators[i, e]) << 8) + np.int64(work.numerators[ROWS + i, e])
                work.mixed[s * tokens + t, np.uint64(h * width + e)] = (numerator * factor[i]) >> 14


@register_jitable
def square_hidden(sums, offset, multiplier, z, left, row):
    """The hidden layer of one row: leaky, squared, quantised to 0..255 into left[row]. Returns the square's mantissa
    and the shift of what was squared."""
    n = len(offset)
    for j in range(n):
        dot = np.int64(np.int32(sums[j] - offset[j]))
        u = np.int32((dot * np.int64(multiplier[j])) >> Z_BITS)
        z[j] = max(u, np.int32(np.int32(-u) >> 1))
    top = np.int32(0)
    for j in range(n):
        top = max(top, z[j])
    peak = np.int64(top)
    shift = shift_for(peak, 15)
    half, cut = np.int32(half_of(shift)), np.int32(shift)
    top = (peak + half) >> shift
    top = (top * top + 16384) >> 15
    factor = (np.int64(255) << 22) // max(top, np.int64(1))
    factor32 = np.int32(factor)
    for j in range(n):  # everything below fits 31 bits: a is at most 2^15, and so is its square's upper half
        a = np.int32(np.int32(z[j] + half) >> cut)
        square = np.int32(np.int32(a * a) + 16384) >> 15
        left[row, j] = np.uint8(np.int32(np.int32(square * factor32) + (1 << 21)) >> 22)
    return top, shift


@register_jitable
def finish_rows(layers, layer, work, start, stop):
    """The rest of a block for rows start..stop: attention's output matrix, then the MLP."""
    model = work.x.shape[1]
    mantissa, shift = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    for i in range(stop - start):
        _, mantissa[i], shift[i] = quantise(work.mixed[start + i], 0, model, work.left, i)
    product(work, layers.out[layer], stop - start)
    for i in range(stop - start):
        x = work.x[start + i]
        add_scaled(
            x, work.sums[i], layers.out_offset[layer], layers.out_multiplier[layer], mantissa[i],
            layers.exponent[layer, 1] + 16 - shift[i],
        )  # fmt: skip
        work.norm[i], _, _ = quantise(x, 0, model, work.left, i)
    product(work, layers.up[layer], stop - start)
    for i in range(stop - start):
        top, doubled = square_hidden(
            work.sums[i], layers.up_offset[layer], layers.up_multiplier[layer], work.z, work.left, i
        )
        scale = top * ((np.int64(model) << 24) // max(work.norm[i], np.int64(1)))
        cut = shift_for(scale, 16)
        mantissa[i] = scale >> cut
        shift[i] = (
            layers.exponent[layer, 3] + 2 * (layers.exponent[layer, 2] - Z_BITS) - 7 - 2 * doubled - cut
        )
    product(work, layers.down[layer], stop - start)
    for i in range(stop - start):
        add_scaled(
            work.x[start + i], work.sums[i], layers.down_offset[layer], layers.down_multiplier[layer], mantissa[i],
            shift[i],
        )  # fmt: skip


@kernel
def forward(layers: Layers, rings: Rings, work: Work, span: Span) -> None:
    """Read the next T tokens of streams first..last; their final states into `work`."""
    tokens = span.tokens.shape[1]
    rows = (span.last - span.first) * tokens
    model = work.x.shape[1]
    for m in range(rows):
        token = span.tokens[span.first + m // tokens, m % tokens]
        for d in range(model):
            work.x[m, d] = layers.embedding[token, d]
    for layer in range(layers.gain.shape[0]):
        for start in range(0, rows, BLOCK):
            read_rows(layers, layer, rings, work, span, start, min(start + BLOCK, rows))
        for s in range(span.last - span.first):
            for k in range(layers.sizes[1]):
                attend(layers, layer, rings, work, span, s, k)
        for start in range(0, rows, BLOCK):
            finish_rows(layers, layer, work, start, min(start + BLOCK, rows))
    for m in range(rows):
        squares, _, _ = quantise(work.x[m], 0, model, work.state, m)
        work.state_norm[m] = root((np.int64(model) << 40) // max(squares, np.int64(1)))
