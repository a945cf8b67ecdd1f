"""The inner loops of the earlier mixer, whose every bit stays: predict one lock-step, learn it.

All is sums, differences, products, quotients and square roots of float32 or float64, each rounded by itself in the
order written (`regrow.core.jit`), and `portable_math`.

Legend: as in `earlier_mixer`; N contexts and E pairs of `recent_counts`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import F32x1, F32x2, F32x3, F64x1, F64x2, F64x3, I32x2, I64x1, I64x2, kernel
from regrow.predict.adaptive.first_stage import RATE, StepInputs, first_stage, learn_bias, learn_powers
from regrow.predict.adaptive.letters import longer_key
from regrow.predict.adaptive.portable_math import exp_of, log_of
from regrow.predict.adaptive.recent_counts import (
    MANY,
    NODE_DISTINCT,
    NODE_HEAD,
    NODE_TOTAL,
    PAIR_COUNT,
    PAIR_NEXT,
    PAIR_TOKEN,
    CountTables,
    find_slot,
    start_key,
)

BUCKETS = 4  # of a context: one successor met once, one met again, few successors, many
_BOX_W = 2.0


class EarlierWeights(NamedTuple):
    """What is learned, each beside the sum of its squared slopes: a and b by order, bias by token, w by depth, bucket
    and context."""

    ab_O2: F64x2
    ab_square_O2: F64x2
    bias_V: F32x1
    bias_square_V: F32x1
    weight_KBJ: F64x3
    weight_square_KBJ: F64x3


class EarlierScratch(NamedTuple):
    """One lock-step between prediction and learning.

    `x_SV`, `sums_S4`: q = x / sums[0]; sums[1], sums[2]: network and memory summed with weights x; sums[3]: what
    normalises the second stage. `touched_SV`: the tokens with a count, `depth_S3[:, 2]` many, `place_SV` their places
    there (-1: none), with their features by context, log factors `power_SV` and gained weights `gain_SV`.
    `depth_S3[:, :2]`: how deep the shared and the own context is known; `bucket_SJ`: each context's bucket (-1: none).
    """

    x_SV: F32x2
    bits_SV: I32x2
    sums_S4: F64x2
    lanes_3L: F64x2
    touched_SV: I64x2
    place_SV: I32x2
    bucket_SJ: I32x2
    feature_SVJ: F32x3
    power_SV: F64x2
    gain_SV: F64x2
    depth_S3: I32x2
    nats_S: F64x1
    slope_V: F64x1
    probs_SV: F64x2


@register_jitable
def _predict(t: Any, inputs: Any, tables: Any, weights: Any, scratch: Any) -> None:
    """Both stages for every stream at time t, into `scratch`."""
    context_SK, key_H, node_H = tables.context_SK, tables.key_H, tables.node_H
    node_N4, total_N4, pair_E4, count_E4 = tables.node_N4, tables.total_N4, tables.pair_E4, tables.count_E4
    weight_KBJ = weights.weight_KBJ
    x_SV, sums_S4, depth_S3 = scratch.x_SV, scratch.sums_S4, scratch.depth_S3
    bucket_SJ, feature_SVJ, gain_SV = scratch.bucket_SJ, scratch.feature_SVJ, scratch.gain_SV
    S = len(x_SV)
    K = context_SK.shape[1]
    J = 2 * K
    node_J = np.empty(J, np.int64)
    for s in range(S):
        x_V = x_SV[s]
        first_stage(s, t, inputs, weights.bias_V, weights.ab_O2, scratch)
        # Second stage.
        norm = sums_S4[s, 0]
        touched_V, place_V, power_V = scratch.touched_SV[s], scratch.place_SV[s], scratch.power_SV[s]
        for i in range(depth_S3[s, 2]):
            place_V[touched_V[i]] = -1
        touched = 0
        for own in range(2):
            # How deep the context is known must be known before any of its orders is weighed.
            key = start_key(own, s)
            depth = 0
            for k in range(K):
                bucket_SJ[s, own * K + k] = -1
            for k in range(K):
                if context_SK[s, k] < 0:
                    break
                key = longer_key(key, context_SK[s, k])
                slot = find_slot(key_H, key)
                if key_H[slot] != key:
                    break
                node = node_H[slot]
                node_J[own * K + k] = node
                depth = k + 1
                if node_N4[node, NODE_DISTINCT] > MANY:
                    continue
                few = 2 if node_N4[node, NODE_DISTINCT] < 4 else 3
                once = 0 if total_N4[node, NODE_TOTAL] < np.float32(1.5) else 1
                bucket_SJ[s, own * K + k] = once if node_N4[node, NODE_DISTINCT] == 1 else few
            depth_S3[s, own] = depth
            for k in range(depth):
                j = own * K + k
                node = node_J[j]
                if bucket_SJ[s, j] < 0:
                    continue
                weight = weight_KBJ[depth, bucket_SJ[s, j], j]
                entry = node_N4[node, NODE_HEAD]
                while entry >= 0:
                    v = pair_E4[entry, PAIR_TOKEN]
                    i = place_V[v]
                    if i < 0:
                        i = touched
                        place_V[v] = i
                        touched_V[i] = v
                        power_V[i] = 0.0
                        for jj in range(J):
                            feature_SVJ[s, i, jj] = 0.0
                        touched += 1
                    # c / q in single precision is finite: q is at least 2^-100 / V.
                    ratio = np.float32(count_E4[entry, PAIR_COUNT] * np.float32(norm) / x_V[v])
                    fact = np.float32(log_of(1.0 + np.float64(ratio)))
                    feature_SVJ[s, i, j] = fact
                    power_V[i] += weight * fact
                    entry = pair_E4[entry, PAIR_NEXT]
        depth_S3[s, 2] = touched
        second = norm
        for i in range(touched):
            before = np.float64(x_V[touched_V[i]])
            gain_SV[s, i] = before * exp_of(power_V[i])
            second += gain_SV[s, i] - before
        sums_S4[s, 3] = second


@register_jitable
def _learn(t: Any, tokens_S: Any, inputs: Any, weights: Any, scratch: Any) -> None:
    """The tokens of time t are known: their cost into `nats_S` (0 for a token below 0), and one AdaGrad step."""
    weight_KBJ, weight_square_KBJ = weights.weight_KBJ, weights.weight_square_KBJ
    x_SV, sums_S4, depth_S3, nats_S = scratch.x_SV, scratch.sums_S4, scratch.depth_S3, scratch.nats_S
    bucket_SJ, feature_SVJ, gain_SV = scratch.bucket_SJ, scratch.feature_SVJ, scratch.gain_SV
    slope_V = scratch.slope_V
    S, V = x_SV.shape
    J = bucket_SJ.shape[1]
    slope_ab_O2 = np.zeros(weights.ab_O2.shape)
    slope_KBJ = np.zeros(weight_KBJ.shape)
    mean_J = np.zeros(J)
    for v in range(V):
        slope_V[v] = 0.0
    for s in range(S):
        token = tokens_S[s]
        nats_S[s] = 0.0
        if token < 0:
            continue
        order = inputs.order_ST[s, t]
        norm, second = sums_S4[s, 0], sums_S4[s, 3]
        hit = scratch.place_SV[s, token]
        power = scratch.power_SV[s, hit] if hit >= 0 else 0.0
        nats_S[s] = log_of(second) - log_of(np.float64(x_SV[s, token])) - power
        slope_ab_O2[order, 0] += sums_S4[s, 1] / norm - np.float64(inputs.network_STV[s, t, token])
        slope_ab_O2[order, 1] += sums_S4[s, 2] / norm - np.float64(inputs.memory_STV[s, t, token])
        share = 1.0 / norm
        for v in range(V):
            slope_V[v] += np.float64(x_SV[s, v]) * share
        slope_V[token] -= 1.0
        mean_J[:] = 0.0
        for i in range(depth_S3[s, 2]):
            for j in range(J):
                mean_J[j] += np.float64(feature_SVJ[s, i, j]) * gain_SV[s, i]
        for j in range(J):
            bucket = bucket_SJ[s, j]
            if bucket < 0:
                continue
            slope = mean_J[j] / second
            if hit >= 0:
                slope -= np.float64(feature_SVJ[s, hit, j])
            slope_KBJ[depth_S3[s, 0 if 2 * j < J else 1], bucket, j] += slope
    learn_bias(slope_V, weights.bias_V, weights.bias_square_V)
    learn_powers(slope_ab_O2, weights.ab_O2, weights.ab_square_O2)
    for k in range(weight_KBJ.shape[0]):
        for b in range(weight_KBJ.shape[1]):
            for j in range(J):
                slope = slope_KBJ[k, b, j]
                if slope != 0.0:
                    weight_square_KBJ[k, b, j] += slope * slope
                    moved = weight_KBJ[k, b, j] - RATE * slope / np.sqrt(weight_square_KBJ[k, b, j])
                    weight_KBJ[k, b, j] = min(max(moved, 0.0), _BOX_W)


@kernel
def predict(
    t: int, inputs: StepInputs, tables: CountTables, weights: EarlierWeights, scratch: EarlierScratch
) -> None:
    """Fixes the distributions of time t."""
    _predict(t, inputs, tables, weights, scratch)


@kernel
def learn(
    t: int, tokens_S: I64x1, inputs: StepInputs, weights: EarlierWeights, scratch: EarlierScratch
) -> None:
    """The tokens of time t are known: what they cost, and one step of learning."""
    _learn(t, tokens_S, inputs, weights, scratch)


@kernel
def rows(scratch: EarlierScratch) -> None:
    """The distributions themselves, into `probs_SV`."""
    x_SV, probs_SV = scratch.x_SV, scratch.probs_SV
    for s in range(x_SV.shape[0]):
        share = 1.0 / scratch.sums_S4[s, 3]
        for v in range(x_SV.shape[1]):
            probs_SV[s, v] = np.float64(x_SV[s, v]) * share
        for i in range(scratch.depth_S3[s, 2]):
            probs_SV[s, scratch.touched_SV[s, i]] = scratch.gain_SV[s, i] * share
