"""The online mixer's first stage: what the artifact says, each part to a power, times a bias of each token.

The present mixer and the earlier one of streams of kind 4 share it, so its bits stay.

All is sums, differences, products, quotients and square roots of float32 or float64, each rounded by itself in the
order written (`regrow.core.jit`).

Legend: as in `online_mixer`; L running values side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import F32x3, I32x2

ORDERS = 17  # of the artifact's memory, 0 for no memory
LANES = 16  # sums side by side
RATE = 0.02  # of every AdaGrad step; tuned, like all numbers here, on training text kept out of training
_BOX_AB, _BOX_BIAS = 1.0, 4.0


class StepInputs(NamedTuple):
    """What the artifact says of a chunk's positions, float32 [S, T, V]: its mixture and network as unnormalised log
    probabilities, its memory's log probabilities (zeros without one); `order_ST` int32, the order that matched."""

    mixed_STV: F32x3
    network_STV: F32x3
    memory_STV: F32x3
    order_ST: I32x2


@register_jitable
def two_to(f: Any) -> Any:
    """2^f of a float32 from -1/2 to 1/2, within 4e-6 of its size."""
    p = np.float32(1.3333558e-3)
    p = p * f + np.float32(9.6181291e-3)
    p = p * f + np.float32(5.5504109e-2)
    p = p * f + np.float32(2.4022651e-1)
    p = p * f + np.float32(6.9314718e-1)
    return p * f + np.float32(1.0)


@register_jitable
def first_stage(s: Any, t: Any, inputs: Any, bias_V: Any, ab_O2: Any, scratch: Any) -> None:
    """q of stream s at time t: `x_SV`, its tokens up to a common factor, and what it sums to, alone and times network
    and memory, in the first three of `sums_S4`."""
    mixed_V, network_V, memory_V = inputs.mixed_STV[s, t], inputs.network_STV[s, t], inputs.memory_STV[s, t]
    order = inputs.order_ST[s, t]
    a, b = np.float32(ab_O2[order, 0]), np.float32(ab_O2[order, 1])
    x_V, bits_V, sums_4, lanes_3L = scratch.x_SV[s], scratch.bits_SV[s], scratch.sums_S4[s], scratch.lanes_3L
    scale_V = bits_V.view(np.float32)
    V = len(x_V)
    whole = V // 16 * 16
    to_bits = np.float32(1.4426950408889634)
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
        x_V[v] = two_to(f)
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
        sums_4[r] = total
    for v in range(whole, V):
        x = np.float64(x_V[v])
        sums_4[0] += x
        sums_4[1] += x * np.float64(network_V[v])
        sums_4[2] += x * np.float64(memory_V[v])


@register_jitable
def learn_powers(slope_O2: Any, ab_O2: Any, square_O2: Any) -> None:
    """One AdaGrad step of a and b."""
    for o in range(ab_O2.shape[0]):
        for i in range(2):
            slope = slope_O2[o, i]
            if slope != 0.0:
                square_O2[o, i] += slope * slope
                moved = ab_O2[o, i] - RATE * slope / np.sqrt(square_O2[o, i])
                ab_O2[o, i] = min(max(moved, -_BOX_AB), _BOX_AB)


@register_jitable
def learn_bias(slope_V: Any, bias_V: Any, square_V: Any) -> None:
    """One AdaGrad step of a bias, in single precision."""
    for v in range(len(bias_V)):
        slope = np.float32(slope_V[v])
        square_V[v] += slope * slope
        # np.divide asks nothing of its divisor, which `/` does: so the compiler makes vector instructions of it.
        moved = bias_V[v] - np.divide(np.float32(RATE) * slope, np.sqrt(square_V[v]))
        bias_V[v] = min(max(moved, np.float32(-_BOX_BIAS)), np.float32(_BOX_BIAS))
