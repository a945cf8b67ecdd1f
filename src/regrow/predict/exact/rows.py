"""From final states to what a token weighs: logits, memory, gate and mixture.

All over the vocabulary is in bits times 1024 (logits, log probabilities) or in 2^-22 (weights). A row's weights say
where every token's interval of 2^24 begins and ends; see `interval` and `find`. docs/exact.md, "Rows".

Legend: R rows, V vocabulary, C context tokens, J hidden units of the gate.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, misc"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import F32x1, F32x2, I32x1, I32x2, I64x1, I64x2, U16x1, lean_kernel
from regrow.ngram.model.rows import NgramRows, base_row, walk, weight_of_base
from regrow.predict.exact.arrays import I8x4, I16x2, U8x2
from regrow.predict.exact.functions import log2_fixed, tanh_packed
from regrow.predict.exact.intervals import STRIPE, interval
from regrow.predict.exact.product import COLUMNS, multiply, multiply_apart
from regrow.predict.exact.records import Apart

LEAST = -65535  # of a log probability, in bits times 1024
LIMIT = 65535  # of a logit
MAX_ORDER = 16  # of a memory
Z_BITS = 12  # cut off a sum times its multiplier, which then fits 31 bits
LN2 = 45426  # 2^16 ln 2


class Head(NamedTuple):
    """The output matrix, packed; `multiplier` and `offset` of its rows; `numbers`: exponent, whether logits are capped,
    the cap in bits times 1024, mixture kind (0: network alone, 1: fixed exponents, 2: gate), tokens; the gate's
    parameters in 2^-16: `exponents` [2], `gate_in` [23, J], `gate_bias` [J], `gate_out` [2, J]; tables."""

    matrix: I8x4
    multiplier: I32x1
    offset: I32x1
    numbers: I64x1
    exponents: I64x1
    gate_in: I64x2
    gate_bias: I64x1
    gate_out: I64x2
    exp2: I32x1
    log2: I32x1
    tanh: I32x1


class MemoryTables(NamedTuple):
    """The backoff trie's arrays (see `Trie`), `base` float32 [B, V], the distributions rows start from, and `base_bits`
    int16 [B, V], their logarithms; `max_order` is 0 without a memory."""

    max_order: int
    child_start: I32x1
    child_token: U16x1
    succ_start: I32x1
    succ_token: U16x1
    succ_mass: F32x1
    gamma: F32x1
    total: U16x1
    base: F32x2
    base_bits: I16x2


class RowWork(NamedTuple):
    """Scratch of one thread: `sums` of a block of rows; of one row its logits, log probabilities, touched tokens, their
    probabilities, and `facts` [8]; `weights`, the result."""

    sums: I32x2
    logits: I32x1
    memory: I32x1
    weights: I32x1
    stamp: I32x1
    touched: I32x1
    probs: F32x1
    facts: I64x1
    hidden: I64x1
    path: I64x1


class States(NamedTuple):
    """Rows to predict: final states plus 128 and what is kept apart of them, inverse norms, and the memory's contexts
    int32 [R, C], -1 where none; `found`: what a memory without a trie says of them, else nothing."""

    state: U8x2
    apart: Apart
    norm: I64x1
    contexts: I32x2
    found: NgramRows


class Parts(NamedTuple):
    """R rows in bits times 1024, int32 [R, V]: mixture and network unnormalised, the memory's log probabilities (0
    without one)."""

    mixture: I32x2
    network: I32x2
    memory: I32x2


@register_jitable
def log2_of_probability(p, log2):
    """1024 * log2(p) of a float32 above 0, rounded, at least LEAST; LEAST of 0."""
    bits = np.int64(np.float32(p).view(np.int32))
    exponent, mantissa = bits >> 23, bits & 0x7FFFFF
    if bits == 0:
        return np.int64(LEAST)
    if exponent > 0:
        mantissa |= 0x800000
    else:
        exponent = np.int64(1)
    return max((log2_fixed(mantissa, log2) + ((exponent - 150) << 16) + 32) >> 6, np.int64(LEAST))


@register_jitable
def look_up(table, index_V):
    """Every index of a row gives way to its entry of the table. Alone in its loop: the compiler, which cannot know that
    the table is not being written, makes vectors of the loops before and after."""
    for v in range(len(index_V)):
        index_V[v] = table[np.uint32(index_V[v])]


@register_jitable
def largest(row_V):
    """The largest entry."""
    top = row_V[0]
    for v in range(len(row_V)):
        top = max(top, row_V[v])
    return top


@register_jitable
def first_of(row_V, value):
    """Where a value that is there stands first."""
    at = np.int64(0)
    while at + STRIPE < len(row_V):
        found = np.int32(0)
        for j in range(STRIPE):
            found |= np.int32(row_V[np.uint64(at + j)] == value)
        if found != 0:
            break
        at += STRIPE
    while row_V[at] != value:
        at += 1
    return at


@register_jitable
def logits_row(head, sums_V, norm, logits_V, index_V):
    """Soft-capped logits of one row."""
    capped = head.numbers[1] > 0
    shift = head.numbers[0] + (4 if capped else 10) - Z_BITS
    half, norm = (np.int64(1) << shift) >> 1, np.int64(np.int32(norm))
    limit = np.int64(0x7FFFF) if capped else np.int64(LIMIT)
    for v in range(len(logits_V)):
        dot = np.int64(np.int32(sums_V[v] - head.offset[v])) * np.int64(head.multiplier[v])
        t = (np.int64(np.int32(dot >> Z_BITS)) * norm + half) >> shift
        logits_V[v] = np.int32(min(max(t, -limit), limit))
    if not capped:
        return
    for v in range(len(logits_V)):
        index_V[v] = abs(logits_V[v]) >> 9
    look_up(head.tanh, index_V)
    cap = np.int32(head.numbers[2])
    for v in range(len(logits_V)):
        t, entry = logits_V[v], index_V[v]
        part = np.int32(abs(t)) & np.int32(511)
        y = np.int32((entry >> 9) + (np.int32(np.int32((entry & 511) * part) + 256) >> 9))
        y = np.int32(-y) if t < 0 else y
        logits_V[v] = np.int32(np.int32(y * cap) + 16384) >> 15


@register_jitable
def weights_row(top, row_V, index_V, exp2):
    """The row's weights 2^22 * 2^((entry - top) / 1024) into index_V; returns their sum."""
    total = np.int64(0)
    for v in range(len(row_V)):
        index_V[v] = np.int32(top - row_V[v]) & np.int32(1023)
    look_up(exp2, index_V)
    for v in range(len(row_V)):
        y = np.int32(top - row_V[v])
        w = index_V[v] >> min(y >> 10, np.int32(31))
        index_V[v] = w
        total += w
    return total


@register_jitable
def set_facts(facts, order, total, distinct, escape, log2):
    """What the gate may know of a context: the order, then ln(1 + total) / 8, ln(1 + distinct) / 4, escape in 2^-16."""
    facts[0] = order
    facts[1] = (log2_fixed(1 + total, log2) * LN2) >> 19
    facts[2] = (log2_fixed(1 + distinct, log2) * LN2) >> 18
    facts[3] = np.int64(np.float64(escape) * 65536.0)


@register_jitable
def memory_row(memory, context_C, work, log2):
    """Log probabilities of one row into work.memory; the first facts of the gate into work.facts."""
    vocab, path = len(work.memory), work.path
    base_order = 2 if memory.base.shape[0] > 1 else 1
    order = walk(context_C, memory.max_order, memory.succ_start, memory.child_start, memory.child_token, path)
    weight = weight_of_base(memory.gamma, path, base_order, order)
    row = base_row(memory.base, path, order)
    bits = np.int32(log2_of_probability(weight, log2))
    for v in range(vocab):
        work.memory[v] = max(np.int32(memory.base_bits[row, v] + bits), np.int32(LEAST))
    touched = np.int64(0)
    outer = 1.0
    for n in range(order, base_order, -1):
        node = path[n]
        scale = np.float32(outer)
        for e in range(memory.succ_start[node], memory.succ_start[node + 1]):
            v = np.int64(memory.succ_token[e])
            if work.stamp[v] == 0:
                work.stamp[v] = 1
                work.touched[touched] = v
                touched += 1
                work.probs[v] = memory.base[row, v] * weight
            work.probs[v] += memory.succ_mass[e] * scale
        outer *= memory.gamma[node]
    for i in range(touched):
        v = work.touched[i]
        work.stamp[v] = 0
        work.memory[v] = np.int32(log2_of_probability(work.probs[v], log2))
    if order > 1:
        node = path[order]
        distinct = np.int64(memory.succ_start[node + 1]) - np.int64(memory.succ_start[node])
        set_facts(work.facts, order, np.int64(memory.total[node]), distinct, memory.gamma[node], log2)
    else:
        set_facts(work.facts, order, np.int64(0), np.int64(0), np.float32(1), log2)


@register_jitable
def found_row(found, r, work, log2):
    """The same from a row of probabilities."""
    for v in range(len(work.memory)):
        work.memory[v] = np.int32(log2_of_probability(found.probs_RV[r, v], log2))
    set_facts(
        work.facts, np.int64(found.matched_order_R[r]), np.int64(found.context_total_R[r]),
        np.int64(found.distinct_R[r]), found.escape_R[r], log2,
    )  # fmt: skip


@register_jitable
def exponent_of(x):
    """A mixture exponent from 2^-16 to 2^-12, within +-4."""
    return np.int32(min(max((x + 8) >> 4, np.int64(-16383)), np.int64(16383)))


@register_jitable
def gate(head, facts, hidden_J):
    """The exponents of network and memory in 2^-12, from `facts`: matched order, then seven in 2^-16."""
    a, b = head.exponents[0] << 15, head.exponents[1] << 15
    if head.numbers[3] == 2:
        for j in range(len(hidden_J)):
            hidden_J[j] = head.gate_in[facts[0] - 1, j] << 16
        for c in range(1, 8):
            for j in range(len(hidden_J)):
                hidden_J[j] += head.gate_in[MAX_ORDER - 1 + c, j] * facts[c]
        for j in range(len(hidden_J)):
            hidden = tanh_packed((hidden_J[j] >> 16) + head.gate_bias[j], head.tanh)
            a += hidden * head.gate_out[0, j]
            b += hidden * head.gate_out[1, j]
    return exponent_of(a >> 15), exponent_of(b >> 15)


@register_jitable
def quarter_nats(bits):
    """Bits times 1024 as nats / 4 in 2^-16."""
    return (np.int64(bits) * LN2) >> 12


@register_jitable
def exponents_row(head, memory, states, r, sums_V, work):
    """Logits and log probabilities of one row into `work`; returns the exponents of network and memory in 2^-12."""
    logits_V, memory_V = work.logits, work.memory
    logits_row(head, sums_V, states.norm[r], logits_V, work.weights)
    if head.numbers[3] == 0:
        return np.int32(4096), np.int32(0)
    if len(states.found.probs_RV) > 0:
        found_row(states.found, r, work, head.log2)
    else:
        memory_row(memory, states.contexts[r], work, head.log2)
    if head.numbers[3] == 2:
        top, memory_top = largest(logits_V), largest(memory_V)
        best, memory_best = first_of(logits_V, top), first_of(memory_V, memory_top)
        total = weights_row(top, logits_V, work.weights, head.exp2)
        rest = (log2_fixed(total, head.log2) - (22 << 16) + 32) >> 6
        work.facts[4] = quarter_nats(-rest)
        work.facts[5] = quarter_nats(memory_top)
        work.facts[6] = quarter_nats(np.int64(logits_V[memory_best]) - top - rest)
        work.facts[7] = quarter_nats(memory_V[best])
    return gate(head, work.facts, work.hidden)


@register_jitable
def mix(a, b, logits_V, memory_V, result_V):
    """The mixture's entries in bits times 1024; `result_V` may be one of the others."""
    for v in range(len(logits_V)):
        both = np.int32(np.int32(a * logits_V[v]) + np.int32(b * memory_V[v]))
        result_V[v] = np.int32(both + 2048) >> 12


@register_jitable
def mixture_row(head, memory, states, r, sums_V, work):
    """The weights of one row into work.weights; returns their sum."""
    a, b = exponents_row(head, memory, states, r, sums_V, work)
    mix(a, b, work.logits, work.memory, work.logits)
    return weights_row(largest(work.logits), work.logits, work.weights, head.exp2)


@register_jitable
def output_sums(head, states, work, start, stop):
    """Products of rows start..stop with the output matrix into work.sums."""
    terms = head.matrix.shape[1] * 4
    for tile in range(head.matrix.shape[0]):
        b = head.matrix.ctypes.data + tile * terms * COLUMNS
        a, c = states.state.ctypes.data + start * terms, work.sums.ctypes.data + tile * COLUMNS * 4
        multiply(a, terms, b, c, work.sums.shape[1], stop - start, terms)
    for r in range(start, stop):
        multiply_apart(states.apart, r, head.matrix, work.sums[r - start])


@lean_kernel
def weigh(
    head: Head, memory: MemoryTables, states: States, work: RowWork, tokens: I32x1, intervals: I64x2,
    weights: I32x2, totals: I64x1,
) -> None:  # fmt: skip
    """Of known tokens [R], start and length [R, 2] of their intervals (below 0: 0, 0); without any, every row's weights
    [R, V] and their sums [R]. One kernel for both uses, since compiling it takes seconds."""
    block, known = work.sums.shape[0], len(tokens) > 0
    rows = len(tokens) if known else len(totals)
    for first in range(0, rows, block):
        last = min(first + block, rows)
        output_sums(head, states, work, first, last)
        for r in range(first, last):
            if known and tokens[r] < 0:
                intervals[r, 0] = intervals[r, 1] = 0
                continue
            total = mixture_row(head, memory, states, r, work.sums[r - first], work)
            if known:
                intervals[r, 0], intervals[r, 1] = interval(work.weights, total, tokens[r])
                continue
            totals[r] = total
            for v in range(len(work.weights)):
                weights[r, v] = work.weights[v]


@lean_kernel
def parts(
    head: Head, memory: MemoryTables, states: States, work: RowWork, result: Parts, orders: I32x1
) -> None:  # fmt: skip
    """What mixture, network and memory say of every row, and the order that matched (0 without a memory)."""
    for first in range(0, len(orders), work.sums.shape[0]):
        last = min(first + work.sums.shape[0], len(orders))
        output_sums(head, states, work, first, last)
        for r in range(first, last):
            a, b = exponents_row(head, memory, states, r, work.sums[r - first], work)
            mix(a, b, work.logits, work.memory, result.mixture[r])
            for v in range(len(work.logits)):
                result.network[r, v] = work.logits[v]
                result.memory[r, v] = work.memory[v]
            orders[r] = work.facts[0]


@lean_kernel
def base_bits(base: F32x2, log2: I32x1, result: I16x2) -> None:
    """1024 * log2 of a table of probabilities, at least -32768."""
    for b in range(base.shape[0]):
        for v in range(base.shape[1]):
            result[b, v] = max(log2_of_probability(base[b, v], log2), np.int64(-32768))
