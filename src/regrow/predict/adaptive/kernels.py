"""The online mixer's inner loops, compiled: predict, learn, and both for a stretch of known text.

All is sums, differences, products, quotients and square roots of float32 or float64, each rounded by itself in the
order written (`regrow.core.jit`), and `portable_math`: from the same inputs every machine has the same bits, and a
stretch scored in one go those of one step after the other.

Legend: as in `online_mixer`; N contexts and E pairs of `recent_counts`; I pairs that one prediction looks at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import F32x1, F32x2, F64x1, F64x2, F64x3, I32x2, I64x1, I64x2, kernel
from regrow.predict.adaptive.first_stage import (
    ORDERS,
    RATE,
    StepInputs,
    first_stage,
    learn_bias,
    learn_powers,
    two_to,
)
from regrow.predict.adaptive.letters import CLASS, CLASSES, LENGTH, LONG, Letters
from regrow.predict.adaptive.portable_math import log_of
from regrow.predict.adaptive.recent_counts import (
    MANY,
    NODE_DISTINCT,
    NODE_HEAD,
    NODE_TOTAL,
    PAIR_COUNT,
    PAIR_MET,
    PAIR_NEXT,
    PAIR_TOKEN,
    WORDS,
    CountTables,
    add_tokens,
    context_keys,
    find_slot,
)

BUCKETS = 4  # of a context: one successor met once, one met again, few successors, many
METS = 3  # of a pair: met once, twice, more often
PLACES = ORDERS + CLASSES + LONG + 1  # rows of the weights by place, before those of the streams
_BOX_W = 2.0


class Weights(NamedTuple):
    """What is learned, each beside the sum of its squared slopes: a and b by order; a bias by token, and one of each
    stream's own. A weight w is the sum of five: of `depth_KBJ` by depth, the context's bucket with the pair's, and
    context; of `place_RBJ` four, by the memory's order, the last token's class, the letters so far and the stream (rows
    R), each by the context's bucket and context."""

    ab_O2: F64x2
    ab_square_O2: F64x2
    bias_V: F32x1
    bias_square_V: F32x1
    own_SV: F32x2
    own_square_SV: F32x2
    depth_KBJ: F64x3
    depth_square_KBJ: F64x3
    place_RBJ: F64x3
    place_square_RBJ: F64x3


class Scratch(NamedTuple):
    """One lock-step between prediction and learning.

    `x_SV`, `sums_S4`: q = x / sums[0]; sums[1], sums[2]: network and memory summed with weights x; sums[3]: what
    normalises the second stage. `touched_SV`: the tokens with a count, `used_S2[:, 0]` many, `place_SV` their places
    there (-1: none), with their x in `before_SV`, log factors `power_SV` and gained weights `gain_SV`. Their pairs,
    `used_S2[:, 1]` many: `item_SI` the token's place, `which_SI` the weight, J * METS of a stream, `fact_SI` the
    feature. `bucket_SJ`: each context's bucket (-1: none); `row_S6`: how deep the shared and the own context is known,
    and the rows of `place_RBJ`. Slopes as what they are of.
    """

    x_SV: F32x2
    bits_SV: I32x2
    sums_S4: F64x2
    lanes_3L: F64x2
    touched_SV: I32x2
    place_SV: I32x2
    before_SV: F32x2
    power_SV: F32x2
    gain_SV: F64x2
    used_S2: I64x2
    item_SI: I32x2
    which_SI: I32x2
    fact_SI: F32x2
    bucket_SJ: I32x2
    row_S6: I64x2
    nats_S: F64x1
    bias_V: F32x1
    slope_V: F32x1
    slope_KBJ: F64x3
    slope_RBJ: F64x3
    tokens_S: I64x1
    probs_SV: F64x2


@register_jitable
def _find_contexts(s: Any, tables: Any, letters: Any, scratch: Any, node_J: Any) -> None:
    """The contexts of stream s that are known and asked: nodes (-1: none), buckets, and the rows of their weights."""
    key_H, node_H, node_N4, total_N4 = tables.key_H, tables.node_H, tables.node_N4, tables.total_N4
    bucket_J, row_6 = scratch.bucket_SJ[s], scratch.row_S6[s]
    half = len(node_J) // 2
    orders = half - WORDS
    key_J = np.empty(half, np.int64)
    for own in range(2):
        context_keys(own, s, tables, letters, key_J)
        depth = 0
        for k in range(half):
            j = own * half + k
            node_J[j] = bucket_J[j] = -1
            if key_J[k] == 0 or depth < k < orders:  # what is not known is not known with one token more
                continue
            slot = find_slot(key_H, key_J[k])
            if key_H[slot] != key_J[k]:
                continue
            node = node_H[slot]
            if k < orders:
                depth = k + 1
            distinct = node_N4[node, NODE_DISTINCT]
            if distinct > MANY:
                continue
            node_J[j] = node
            once = 0 if total_N4[node, NODE_TOTAL] < np.float32(1.5) else 1
            bucket_J[j] = once if distinct == 1 else 2 if distinct < 4 else 3
        row_6[own] = depth
    row_6[3] = ORDERS + letters.state_S4[s, CLASS]
    row_6[4] = ORDERS + CLASSES + letters.state_S4[s, LENGTH]
    row_6[5] = PLACES + s


@register_jitable
def _collect_pairs(s: Any, tables: Any, scratch: Any, node_J: Any) -> None:
    """The pairs of stream s's contexts, each with 1 + c / q in `fact_SI`."""
    pair_E4, count_E4, node_N4 = tables.pair_E4, tables.count_E4, tables.node_N4
    x_V, touched_V, place_V = scratch.x_SV[s], scratch.touched_SV[s], scratch.place_SV[s]
    before_V, power_V = scratch.before_SV[s], scratch.power_SV[s]
    item_I, which_I, fact_I = scratch.item_SI[s], scratch.which_SI[s], scratch.fact_SI[s]
    for i in range(scratch.used_S2[s, 0]):
        place_V[touched_V[i]] = -1
    norm = np.float32(scratch.sums_S4[s, 0])
    touched, pairs = 0, 0
    for j in range(len(node_J)):
        if node_J[j] < 0:
            continue
        entry = node_N4[node_J[j], NODE_HEAD]
        while entry >= 0:
            v = pair_E4[entry, PAIR_TOKEN]
            i = place_V[v]
            if i < 0:
                i = touched
                place_V[v] = i
                touched_V[i] = v
                before_V[i] = x_V[v]
                power_V[i] = np.float32(0)
                touched += 1
            item_I[pairs] = i
            which_I[pairs] = j * METS + min(pair_E4[entry, PAIR_MET], METS) - 1
            # c / q in single precision is finite: q is at least 2^-100 / V.
            fact_I[pairs] = np.float32(1) + count_E4[entry, PAIR_COUNT] * norm / before_V[i]
            pairs += 1
            entry = pair_E4[entry, PAIR_NEXT]
    scratch.used_S2[s, 0], scratch.used_S2[s, 1] = touched, pairs


@register_jitable
def _take_logarithms(fact_I: Any, count: Any) -> None:
    """ln of the first `count` numbers, each 1 or more, in their place, within 4e-7 of its size: 2 artanh((m - 1) / (m +
    1)) + e ln 2, where the number is m 2^e, m near 1."""
    for i in range(count):
        bits = np.float32(fact_I[i]).view(np.int32)
        e = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
        m = np.int32(bits - (e << np.int32(23))).view(np.float32)
        r = np.divide(m - np.float32(1), m + np.float32(1))
        t = r * r
        p = np.float32(2 / 9)
        p = p * t + np.float32(2 / 7)
        p = p * t + np.float32(2 / 5)
        p = p * t + np.float32(2 / 3)
        p = p * t + np.float32(2)
        fact_I[i] = np.float32(e) * np.float32(0.6931471805599453) + r * p


@register_jitable
def _gain(before_V: Any, power_V: Any, gain_V: Any, count: Any) -> None:
    """x e^power of the first `count`, within 4e-6 of its size; a power is 0 or more, and at most 600 of it counts."""
    for i in range(count):
        y = min(power_V[i], np.float32(600)) * np.float32(1.4426950408889634)
        whole = np.int32(y + np.float32(0.5))
        f = y - np.float32(whole)
        scale = np.int64((np.int64(whole) + np.int64(1023)) << np.int64(52)).view(np.float64)
        gain_V[i] = np.float64(before_V[i]) * np.float64(two_to(f)) * scale


@register_jitable
def _second_stage(s: Any, weights: Any, scratch: Any, weight_W: Any) -> None:
    """p of stream s, from the pairs collected: gained weights, and what they all sum to."""
    depth_KBJ, place_RBJ = weights.depth_KBJ, weights.place_RBJ
    bucket_J, row_6 = scratch.bucket_SJ[s], scratch.row_S6[s]
    item_I, which_I, fact_I = scratch.item_SI[s], scratch.which_SI[s], scratch.fact_SI[s]
    before_V, power_V, gain_V = scratch.before_SV[s], scratch.power_SV[s], scratch.gain_SV[s]
    J = len(bucket_J)
    for j in range(J):
        b = bucket_J[j]
        if b < 0:
            continue
        depth = row_6[0 if 2 * j < J else 1]
        by_place = 0.0
        for i in range(2, 6):
            by_place += place_RBJ[row_6[i], b, j]
        for m in range(METS):
            w = depth_KBJ[depth, b * METS + m, j] + by_place
            weight_W[j * METS + m] = np.float32(min(max(w, 0.0), _BOX_W))
    touched, pairs = scratch.used_S2[s, 0], scratch.used_S2[s, 1]
    _take_logarithms(fact_I, pairs)
    for n in range(pairs):
        power_V[item_I[n]] += weight_W[which_I[n]] * fact_I[n]
    _gain(before_V, power_V, gain_V, touched)
    second = scratch.sums_S4[s, 0]
    for i in range(touched):
        second += gain_V[i] - np.float64(before_V[i])
    scratch.sums_S4[s, 3] = second


@register_jitable
def _predict(t: Any, inputs: Any, tables: Any, letters: Any, weights: Any, scratch: Any) -> None:
    """Both stages for every stream at time t, into `scratch`."""
    bias_V, shared_V, own_SV = scratch.bias_V, weights.bias_V, weights.own_SV
    S, V = own_SV.shape
    J = scratch.bucket_SJ.shape[1]
    node_J, weight_W = np.empty(J, np.int64), np.empty(J * METS, np.float32)
    for s in range(S):
        for v in range(V):
            bias_V[v] = shared_V[v] + own_SV[s, v]
        first_stage(s, t, inputs, bias_V, weights.ab_O2, scratch)
        scratch.row_S6[s, 2] = inputs.order_ST[s, t]
        _find_contexts(s, tables, letters, scratch, node_J)
        _collect_pairs(s, tables, scratch, node_J)
        _second_stage(s, weights, scratch, weight_W)


@register_jitable
def _slopes(s: Any, hit: Any, scratch: Any, mean_W: Any) -> None:
    """The slopes of stream s's weights, added to those of the lock-step; `hit`: the place of its token, -1 for none."""
    item_I, which_I, fact_I = scratch.item_SI[s], scratch.which_SI[s], scratch.fact_SI[s]
    gain_V, slope_KBJ, slope_RBJ = scratch.gain_SV[s], scratch.slope_KBJ, scratch.slope_RBJ
    bucket_J, row_6 = scratch.bucket_SJ[s], scratch.row_S6[s]
    J = len(bucket_J)
    share = 1.0 / scratch.sums_S4[s, 3]
    mean_W[:] = 0.0
    for n in range(scratch.used_S2[s, 1]):
        fact = np.float64(fact_I[n])
        mean_W[which_I[n]] += fact * (gain_V[item_I[n]] * share)
        if item_I[n] == hit:
            mean_W[which_I[n]] -= fact
    for j in range(J):
        b = bucket_J[j]
        if b < 0:
            continue
        depth, total = row_6[0 if 2 * j < J else 1], 0.0
        for m in range(METS):
            slope_KBJ[depth, b * METS + m, j] += mean_W[j * METS + m]
            total += mean_W[j * METS + m]
        for i in range(2, 6):
            slope_RBJ[row_6[i], b, j] += total


@register_jitable
def _move(slope_RBJ: Any, weight_RBJ: Any, square_RBJ: Any, least: Any) -> None:
    """One AdaGrad step of the weights that have a slope, between `least` and the box's width; slopes become 0."""
    R, B, J = weight_RBJ.shape
    for r in range(R):
        for b in range(B):
            for j in range(J):
                slope = slope_RBJ[r, b, j]
                if slope != 0.0:
                    slope_RBJ[r, b, j] = 0.0
                    square_RBJ[r, b, j] += slope * slope
                    moved = weight_RBJ[r, b, j] - RATE * slope / np.sqrt(square_RBJ[r, b, j])
                    weight_RBJ[r, b, j] = min(max(moved, least), _BOX_W)


@register_jitable
def _learn(t: Any, tokens_S: Any, inputs: Any, weights: Any, scratch: Any) -> None:
    """The tokens of time t are known: their cost into `nats_S` (0 for a token below 0), and one AdaGrad step."""
    x_SV, sums_S4, nats_S = scratch.x_SV, scratch.sums_S4, scratch.nats_S
    slope_V, own_slope_V = scratch.slope_V, scratch.bias_V
    S, V = x_SV.shape
    slope_O2 = np.zeros(weights.ab_O2.shape)
    mean_W = np.empty(scratch.bucket_SJ.shape[1] * METS)
    slope_V[:] = np.float32(0)
    for s in range(S):
        token = tokens_S[s]
        nats_S[s] = 0.0
        if token < 0:
            continue
        order = inputs.order_ST[s, t]
        norm = sums_S4[s, 0]
        hit = scratch.place_SV[s, token]
        got = scratch.gain_SV[s, hit] if hit >= 0 else np.float64(x_SV[s, token])
        nats_S[s] = log_of(sums_S4[s, 3]) - log_of(got)
        slope_O2[order, 0] += sums_S4[s, 1] / norm - np.float64(inputs.network_STV[s, t, token])
        slope_O2[order, 1] += sums_S4[s, 2] / norm - np.float64(inputs.memory_STV[s, t, token])
        share, x_V = np.float32(1.0 / norm), x_SV[s]
        for v in range(V):
            own_slope_V[v] = x_V[v] * share
        own_slope_V[token] -= np.float32(1)
        for v in range(V):
            slope_V[v] += own_slope_V[v]
        learn_bias(own_slope_V, weights.own_SV[s], weights.own_square_SV[s])
        _slopes(s, hit, scratch, mean_W)
    learn_bias(slope_V, weights.bias_V, weights.bias_square_V)
    learn_powers(slope_O2, weights.ab_O2, weights.ab_square_O2)
    _move(scratch.slope_KBJ, weights.depth_KBJ, weights.depth_square_KBJ, 0.0)
    _move(scratch.slope_RBJ, weights.place_RBJ, weights.place_square_RBJ, -_BOX_W)


@kernel
def predict(
    t: int, inputs: StepInputs, tables: CountTables, letters: Letters, weights: Weights, scratch: Scratch
) -> None:
    """Fixes the distributions of time t."""
    _predict(t, inputs, tables, letters, weights, scratch)


@kernel
def learn(t: int, tokens_S: I64x1, inputs: StepInputs, weights: Weights, scratch: Scratch) -> None:
    """The tokens of time t are known: what they cost, and one step of learning."""
    _learn(t, tokens_S, inputs, weights, scratch)


@kernel
def score(
    first: int, tokens_ST: I64x2, nats_ST: F64x2, inputs: StepInputs, tables: CountTables, letters: Letters,
    weights: Weights, scratch: Scratch,
) -> None:  # fmt: skip
    """Lock-steps `first` and on of known tokens, as many as `nats_ST` has columns: predict, learn, count."""
    tokens_S = scratch.tokens_S
    for i in range(nats_ST.shape[1]):
        t = first + i
        _predict(t, inputs, tables, letters, weights, scratch)
        for s in range(len(tokens_S)):
            tokens_S[s] = tokens_ST[s, t]
        _learn(t, tokens_S, inputs, weights, scratch)
        for s in range(len(tokens_S)):
            nats_ST[s, i] = scratch.nats_S[s]
        add_tokens(tokens_S, tables, letters)


@kernel
def rows(scratch: Scratch) -> None:
    """The distributions themselves, into `probs_SV`."""
    x_SV, probs_SV = scratch.x_SV, scratch.probs_SV
    for s in range(x_SV.shape[0]):
        share = 1.0 / scratch.sums_S4[s, 3]
        for v in range(x_SV.shape[1]):
            probs_SV[s, v] = np.float64(x_SV[s, v]) * share
        for i in range(scratch.used_S2[s, 0]):
            probs_SV[s, scratch.touched_SV[s, i]] = scratch.gain_SV[s, i] * share
