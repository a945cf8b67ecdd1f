"""The online mixer's inner loops, compiled: predict, learn, and both for a stretch of known text.

Sums run in a fixed order, so that an encoder and a decoder of one machine see the same bits; a stretch scored in one go
has the bits of one step after the other.

Legend: as in `online_mixer`; N contexts and E pairs of `recent_counts`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import compile_kernel
from regrow.predict.adaptive.recent_counts import (
    MANY,
    NODE_DISTINCT,
    NODE_HEAD,
    NODE_TOTAL,
    PAIR_COUNT,
    PAIR_NEXT,
    PAIR_TOKEN,
    TABLES_SIGNATURE,
    add_tokens,
    find_slot,
    longer_key,
    start_key,
)

BUCKETS = 4  # of a context: one successor met once, one met again, few successors, many
_RATE = 0.02  # of every AdaGrad step; tuned, like all numbers here, on training text kept out of training
_BOX_W, _BOX_AB, _BOX_BIAS = 2.0, 1.0, 4.0

_PREDICT_SIGNATURE = (
    f"void(int64, float32[:,:,::1], float32[:,:,::1], float32[:,:,::1], int32[:,::1], {TABLES_SIGNATURE}, "
    "float64[:,::1], float32[::1], float64[:,:,::1], float32[:,::1], float64[:,::1], int32[:,::1], int64[:,::1], "
    "int32[:,::1], int32[:,::1], float32[:,:,::1], float64[:,::1], float64[:,::1], float64[:,::1], int32[:,::1])"
)
_LEARN_SIGNATURE = (
    "void(int64, int64[::1], float32[:,:,::1], float32[:,:,::1], int32[:,::1], "
    "float64[:,::1], float64[:,::1], float32[::1], float32[::1], float64[:,:,::1], float64[:,:,::1], "
    "float32[:,::1], float64[:,::1], int32[:,::1], int64[:,::1], int32[:,::1], int32[:,::1], float32[:,:,::1], "
    "float64[:,::1], float64[:,::1], int32[:,::1], float64[::1], float64[::1])"
)
_SCORE_SIGNATURE = (
    "void(int64, int64[:,::1], float64[:,::1], float32[:,:,::1], float32[:,:,::1], float32[:,:,::1], "
    f"int32[:,::1], {TABLES_SIGNATURE}, int64[::1], float64[:,::1], float64[:,::1], float32[::1], float32[::1], "
    "float64[:,:,::1], float64[:,:,::1], float32[:,::1], float64[:,::1], int32[:,::1], int64[:,::1], "
    "int32[:,::1], int32[:,::1], float32[:,:,::1], float64[:,::1], float64[:,::1], float64[:,::1], int32[:,::1], "
    "float64[::1], float64[::1], int64[::1])"
)
_ROWS_SIGNATURE = (
    "void(float32[:,::1], float64[:,::1], int64[:,::1], int32[:,::1], float64[:,::1], float64[:,::1])"
)


@register_jitable
def _predict(
    t: Any,
    mixed_STV: Any,
    network_STV: Any,
    memory_STV: Any,
    order_ST: Any,
    context_SK: Any,
    key_H: Any,
    node_H: Any,
    node_N4: Any,
    total_N4: Any,
    pair_E4: Any,
    count_E4: Any,
    ab_O2: Any,
    bias_V: Any,
    weight_KBJ: Any,
    x_SV: Any,
    sums_S4: Any,
    bits_SV: Any,
    touched_SV: Any,
    place_SV: Any,
    bucket_SJ: Any,
    feature_SVJ: Any,
    power_SV: Any,
    gain_SV: Any,
    lanes_3L: Any,
    depth_S3: Any,
) -> None:
    """Both stages for every stream at time t. Results: `x_SV` and `sums_S4` (q = x / sums[0]; sums[1], sums[2]: network
    and memory summed with weights x; sums[3]: what normalises the second stage), and the touched tokens with their
    features and log factors `power_SV`."""
    S, V = x_SV.shape
    K = context_SK.shape[1]
    J = 2 * K
    whole = V // 16 * 16
    node_J = np.empty(J, np.int64)
    to_bits = np.float32(1.4426950408889634)
    for s in range(S):
        order = order_ST[s, t]
        a, b = np.float32(ab_O2[order, 0]), np.float32(ab_O2[order, 1])
        x_V, bits_V = x_SV[s], bits_SV[s]
        mixed_V, network_V, memory_V = mixed_STV[s, t], network_STV[s, t], memory_STV[s, t]
        scale_V = bits_V.view(np.float32)
        for v in range(V):
            x_V[v] = (mixed_V[v] + a * network_V[v] + b * memory_V[v] + bias_V[v]) * to_bits
        # Sixteen running values a row: the compiler makes vector instructions of them, in an order that is fixed.
        top_L = lanes_3L[0]
        for j in range(16):
            top_L[j] = -1e30
        for v in range(0, whole, 16):
            for j in range(16):
                top_L[j] = max(top_L[j], np.float64(x_V[v + j]))
        top64 = -1e30
        for j in range(16):
            top64 = max(top64, top_L[j])
        for v in range(whole, V):
            top64 = max(top64, np.float64(x_V[v]))
        top = np.float32(top64)
        # 2^y = 2^k * 2^f by a polynomial in f, within 4e-6; nothing falls below 2^-100, so no token is impossible.
        for v in range(V):
            y = max(x_V[v] - top, np.float32(-100.0))
            whole_bits = np.int32(y - np.float32(0.5))
            f = y - np.float32(whole_bits)
            p = np.float32(1.3333558e-3)
            p = p * f + np.float32(9.6181291e-3)
            p = p * f + np.float32(5.5504109e-2)
            p = p * f + np.float32(2.4022651e-1)
            p = p * f + np.float32(6.9314718e-1)
            p = p * f + np.float32(1.0)
            x_V[v] = p
            bits_V[v] = (whole_bits + np.int32(127)) << np.int32(23)
        for v in range(V):
            x_V[v] *= scale_V[v]
        for r in range(3):
            for j in range(16):
                lanes_3L[r, j] = 0.0
        for v in range(0, whole, 16):
            for j in range(16):
                x = np.float64(x_V[v + j])
                lanes_3L[0, j] += x
                lanes_3L[1, j] += x * np.float64(network_V[v + j])
                lanes_3L[2, j] += x * np.float64(memory_V[v + j])
        for r in range(3):
            total = 0.0
            for j in range(16):
                total += lanes_3L[r, j]
            sums_S4[s, r] = total
        for v in range(whole, V):
            x = np.float64(x_V[v])
            sums_S4[s, 0] += x
            sums_S4[s, 1] += x * np.float64(network_V[v])
            sums_S4[s, 2] += x * np.float64(memory_V[v])
        # Second stage.
        norm = sums_S4[s, 0]
        touched_V, place_V, power_V = touched_SV[s], place_SV[s], power_SV[s]
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
                    fact = np.log(
                        np.float32(1) + np.float32(count_E4[entry, PAIR_COUNT] * np.float32(norm) / x_V[v])
                    )
                    feature_SVJ[s, i, j] = fact
                    power_V[i] += weight * fact
                    entry = pair_E4[entry, PAIR_NEXT]
        depth_S3[s, 2] = touched
        second = norm
        for i in range(touched):
            before = np.float64(x_V[touched_V[i]])
            gain_SV[s, i] = before * np.exp(power_V[i])
            second += gain_SV[s, i] - before
        sums_S4[s, 3] = second


@register_jitable
def _learn(
    t: Any,
    tokens_S: Any,
    network_STV: Any,
    memory_STV: Any,
    order_ST: Any,
    ab_O2: Any,
    ab_square_O2: Any,
    bias_V: Any,
    bias_square_V: Any,
    weight_KBJ: Any,
    weight_square_KBJ: Any,
    x_SV: Any,
    sums_S4: Any,
    bits_SV: Any,
    touched_SV: Any,
    place_SV: Any,
    bucket_SJ: Any,
    feature_SVJ: Any,
    power_SV: Any,
    gain_SV: Any,
    depth_S3: Any,
    nats_S: Any,
    slope_V: Any,
) -> None:
    """The tokens of time t are known: their cost into `nats_S` (0 for a token below 0), and one AdaGrad step."""
    S, V = x_SV.shape
    J = bucket_SJ.shape[1]
    rate = _RATE
    slope_ab_O2 = np.zeros(ab_O2.shape)
    slope_KBJ = np.zeros(weight_KBJ.shape)
    mean_J = np.zeros(J)
    for v in range(V):
        slope_V[v] = 0.0
    for s in range(S):
        token = tokens_S[s]
        nats_S[s] = 0.0
        if token < 0:
            continue
        order = order_ST[s, t]
        norm, second = sums_S4[s, 0], sums_S4[s, 3]
        hit = place_SV[s, token]
        power = power_SV[s, hit] if hit >= 0 else 0.0
        nats_S[s] = np.log(second) - np.log(np.float64(x_SV[s, token])) - power
        slope_ab_O2[order, 0] += sums_S4[s, 1] / norm - np.float64(network_STV[s, t, token])
        slope_ab_O2[order, 1] += sums_S4[s, 2] / norm - np.float64(memory_STV[s, t, token])
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
    for v in range(V):
        slope = np.float32(slope_V[v])
        bias_square_V[v] += slope * slope
        moved = bias_V[v] - np.float32(rate) * slope / np.sqrt(bias_square_V[v])
        bias_V[v] = min(max(moved, np.float32(-_BOX_BIAS)), np.float32(_BOX_BIAS))
    for o in range(ab_O2.shape[0]):
        for i in range(2):
            slope = slope_ab_O2[o, i]
            if slope != 0.0:
                ab_square_O2[o, i] += slope * slope
                moved = ab_O2[o, i] - rate * slope / np.sqrt(ab_square_O2[o, i])
                ab_O2[o, i] = min(max(moved, -_BOX_AB), _BOX_AB)
    for k in range(weight_KBJ.shape[0]):
        for b in range(weight_KBJ.shape[1]):
            for j in range(J):
                slope = slope_KBJ[k, b, j]
                if slope != 0.0:
                    weight_square_KBJ[k, b, j] += slope * slope
                    moved = weight_KBJ[k, b, j] - rate * slope / np.sqrt(weight_square_KBJ[k, b, j])
                    weight_KBJ[k, b, j] = min(max(moved, 0.0), _BOX_W)


def _score(
    first: Any,
    tokens_ST: Any,
    nats_ST: Any,
    mixed_STV: Any,
    network_STV: Any,
    memory_STV: Any,
    order_ST: Any,
    context_SK: Any,
    key_H: Any,
    node_H: Any,
    node_N4: Any,
    total_N4: Any,
    pair_E4: Any,
    count_E4: Any,
    used_2: Any,
    ab_O2: Any,
    ab_square_O2: Any,
    bias_V: Any,
    bias_square_V: Any,
    weight_KBJ: Any,
    weight_square_KBJ: Any,
    x_SV: Any,
    sums_S4: Any,
    bits_SV: Any,
    touched_SV: Any,
    place_SV: Any,
    bucket_SJ: Any,
    feature_SVJ: Any,
    power_SV: Any,
    gain_SV: Any,
    lanes_3L: Any,
    depth_S3: Any,
    nats_S: Any,
    slope_V: Any,
    tokens_S: Any,
) -> None:
    """Lock-steps `first` and on of known tokens, as many as `nats_ST` has columns: predict, learn, count."""
    for i in range(nats_ST.shape[1]):
        t = first + i
        _predict(
            t, mixed_STV, network_STV, memory_STV, order_ST, context_SK, key_H, node_H, node_N4, total_N4, pair_E4,
            count_E4, ab_O2, bias_V, weight_KBJ, x_SV, sums_S4, bits_SV, touched_SV, place_SV,
            bucket_SJ, feature_SVJ, power_SV, gain_SV, lanes_3L, depth_S3,
        )  # fmt: skip
        for s in range(len(tokens_S)):
            tokens_S[s] = tokens_ST[s, t]
        _learn(
            t, tokens_S, network_STV, memory_STV, order_ST, ab_O2, ab_square_O2, bias_V, bias_square_V, weight_KBJ,
            weight_square_KBJ, x_SV, sums_S4, bits_SV, touched_SV, place_SV, bucket_SJ, feature_SVJ, power_SV, gain_SV,
            depth_S3, nats_S, slope_V,
        )  # fmt: skip
        for s in range(len(tokens_S)):
            nats_ST[s, i] = nats_S[s]
        add_tokens(tokens_S, context_SK, key_H, node_H, node_N4, total_N4, pair_E4, count_E4, used_2)


def _rows(x_SV: Any, sums_S4: Any, touched_SV: Any, depth_S3: Any, gain_SV: Any, probs_SV: Any) -> None:
    """The distributions themselves."""
    S, V = x_SV.shape
    for s in range(S):
        share = 1.0 / sums_S4[s, 3]
        for v in range(V):
            probs_SV[s, v] = np.float64(x_SV[s, v]) * share
        for i in range(depth_S3[s, 2]):
            probs_SV[s, touched_SV[s, i]] = gain_SV[s, i] * share


@functools.cache
def kernels() -> tuple[Callable[..., None], ...]:
    return (
        compile_kernel(_predict, _PREDICT_SIGNATURE),
        compile_kernel(_learn, _LEARN_SIGNATURE),
        compile_kernel(_rows, _ROWS_SIGNATURE),
        compile_kernel(_score, _SCORE_SIGNATURE),
    )
