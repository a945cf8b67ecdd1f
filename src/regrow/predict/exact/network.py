"""The network in integers: tokens in, the final quantised states out, for many positions of many streams at once.

One kernel serves both uses: the encoder gives it many tokens of a stream, the decoder one. What it computes of a
position depends on that position's window alone. docs/exact.md, "Network".

Legend: S streams, T tokens, M = S * T rows, D width, H heads, K key/value heads, G = H / K, E head width, F hidden
width, W window, R slots of a ring, L layers.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import lean_kernel
from regrow.predict.exact.attention import attend, write_key, write_value
from regrow.predict.exact.functions import root
from regrow.predict.exact.product import COLUMNS, ROWS, multiply, multiply_apart
from regrow.predict.exact.quantise import half_of, peak_of, quantise, quantise_state, shift_for
from regrow.predict.exact.records import Layers, Rings, Span, Work
from regrow.predict.exact.suggestions import first_state

X_LIMIT = 1 << 30  # the residual stream, in 2^-16, saturates there
Z_BITS = 12  # cut off a sum times its multiplier, which then fits 31 bits
BLOCK = 8 * ROWS  # rows of one product


@register_jitable
def product(work, matrix, rows):
    """work.sums[:rows] = work.left[:rows] times a packed matrix."""
    terms = matrix.shape[1] * 4
    for tile in range(matrix.shape[0]):
        b = matrix.ctypes.data + tile * terms * COLUMNS
        c = work.sums.ctypes.data + tile * COLUMNS * 4
        multiply(work.left.ctypes.data, work.left.shape[1], b, c, work.sums.shape[1], rows, terms)


@register_jitable
def read_state(layers, x, left, row, apart, kept):
    """A residual stream quantised into left[row] and apart's row `kept`. Returns the sum of squares."""
    if layers.sizes[4] != 0:
        return quantise_state(x, left, row, apart, kept)
    squares, _, _ = quantise(x, 0, len(x), left, row)
    return squares


@register_jitable
def state_product(work, matrix, rows):
    """`product` of states."""
    product(work, matrix, rows)
    for i in range(rows):
        multiply_apart(work.apart, i, matrix, work.sums[i])


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
def read_rows(layers, layer, rings, work, span, start, stop):
    """Queries, keys and values of rows start..stop: norm, product, rotation, quantisation."""
    heads, kv_heads, width = layers.sizes[0], layers.sizes[1], layers.sizes[2]
    tokens = span.tokens.shape[1]
    group = heads // kv_heads
    model = work.x.shape[1]
    streams = rings.key.shape[0] // (layers.gain.shape[0] * kv_heads)
    for i in range(stop - start):
        squares = read_state(layers, work.x[start + i], work.left, i, work.apart, i)
        work.norm[i] = root((np.int64(model) << 40) // max(squares, np.int64(1)))
    state_product(work, layers.qkv[layer], stop - start)
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
    mantissa, shift = work.mantissa, work.shift
    for i in range(stop - start):
        _, mantissa[i], shift[i] = quantise(work.mixed[start + i], 0, model, work.left, i)
    product(work, layers.out[layer], stop - start)
    for i in range(stop - start):
        x = work.x[start + i]
        add_scaled(
            x, work.sums[i], layers.out_offset[layer], layers.out_multiplier[layer], mantissa[i],
            layers.exponent[layer, 1] + 16 - shift[i],
        )  # fmt: skip
        work.norm[i] = read_state(layers, x, work.left, i, work.apart, i)
    state_product(work, layers.up[layer], stop - start)
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


@lean_kernel
def forward(layers: Layers, rings: Rings, work: Work, span: Span) -> None:
    """Read the next T tokens of streams first..last; their final states into `work`."""
    tokens = span.tokens.shape[1]
    rows = (span.last - span.first) * tokens
    model = work.x.shape[1]
    for m in range(rows):
        token = span.tokens[span.first + m // tokens, m % tokens]
        if len(layers.step) > 0:
            first_state(layers, span, m, token, work)
            continue
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
        squares = read_state(layers, work.x[m], work.state, m, work.state_apart, m)
        work.state_norm[m] = root((np.int64(model) << 40) // max(squares, np.int64(1)))
