"""Attention in integers, of new queries to the ring of keys and values. docs/exact.md, "Network", 2 to 4.

Legend: as in `network`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from regrow.predict.exact.product import COLUMNS, ROWS, multiply
from regrow.predict.exact.quantise import shift_for


@register_jitable
def write_key(rings, ring, slot, lanes, width, norm):
    """A quantised key, plus 128 in the last row of `lanes`, into its slot, four entries at a time."""
    steps = (width + 3) // 4
    total = np.int64(0)
    for e in range(width):
        total += np.int64(lanes[ROWS, e])
    for e in range(width, 4 * steps):
        lanes[ROWS, e] = 128
    base = (slot // COLUMNS) * steps * COLUMNS + slot % COLUMNS
    for e in range(steps):
        four = np.uint32(0)
        for i in range(4):
            four |= np.uint32(np.uint32(lanes[ROWS, np.uint64(4 * e + i)]) << np.uint32(8 * i))
        # Taking 128 from a byte is turning its highest bit.
        rings.key[ring, np.uint64(base + e * COLUMNS)] = np.int32(four) ^ np.int32(-0x7F7F7F80)
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
def weigh(layers, rings, ring, work, span, row, position, scale):
    """The weights of one query: scores to exponentials to two bytes a slot. Returns 2^(shift + 30) over their sum."""
    window = layers.sizes[3]
    score_R, index_R, weight_R = work.scores[row], work.looked_up, work.weights
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
    factor = work.factor
    for first in range(0, tokens * group, ROWS):
        rows = min(np.int64(ROWS), tokens * group - first)
        for tile in range(slots // COLUMNS):
            c = work.scores.ctypes.data + tile * COLUMNS * 4
            multiply(queries + first * terms, terms, key + tile * terms * COLUMNS, c, slots, rows, terms)
        for i in range(rows):
            t, g = (first + i) // group, (first + i) % group
            scale = work.query_scale[s * tokens + t, k * group + g]
            factor[i] = weigh(layers, rings, ring, work, span, i, span.position + t, scale)
        stride = work.numerators.shape[1]
        for tile in range(tiles):
            b = value + tile * slots * COLUMNS
            c = work.numerators.ctypes.data + tile * COLUMNS * 4
            multiply(work.high.ctypes.data, work.high.shape[1], b, c, stride, rows, slots)
            multiply(work.low.ctypes.data, work.low.shape[1], b, c + ROWS * stride * 4, stride, rows, slots)
        for i in range(rows):
            t, h = (first + i) // group, k * group + (first + i) % group
            for e in range(width):
                numerator = (np.int64(work.numerators[i, e]) << 8) + np.int64(work.numerators[ROWS + i, e])
                work.mixed[s * tokens + t, np.uint64(h * width + e)] = (numerator * factor[i]) >> 14
