"""The predictor and range coder behind the text form: integers alone, one model for both directions.

A token is a walk down a fixed binary tree (Huffman, from the unigram counts), about 8 yes/no decisions at a
vocabulary of 1,024. Each decision is predicted by every order's adaptive probability for that tree node, a
match model that follows the longest repeat, and a logistic mixer that weighs them (Mahoney's context mixing).
`run` drives the same two steps, predict and perceive, whether it encodes or decodes, so the two cannot drift.

Widths: probabilities are 16-bit, logits 12-bit fixed point (8 fractional), weights 16.16 in int32, products
in int64; the coder's range is 32-bit, kept in int64. Nothing divides and nothing is a float.
"""

# Inside the kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment,arg-type"
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

ORDERS = 6
INPUTS = ORDERS + 3
SLOT = 8
HASH = 0x2545F491
MATCH_MIN = 5
MATCH_BITS = 20


def stretch_table() -> np.ndarray[Any, np.dtype[np.int16]]:
    """ln(p / (1 - p)) in 1/256 for p = (i + 0.5) / 4096, as int16[4096]: the inverse of `squash_table`."""
    squash = squash_table()
    table = np.zeros(4096, np.int16)
    filled = 0
    for logit in range(-2047, 2048):
        edge = int(squash[logit + 2048]) >> 4
        table[filled : edge + 1] = logit
        filled = max(filled, edge + 1)
    table[filled:] = 2047
    return table


def squash_table() -> np.ndarray[Any, np.dtype[np.uint16]]:
    """65536 / (1 + exp(-x / 256)) for x in -2048..2047, as uint16[4096], by exact integer products.

    exp(1/256) is a fixed-point integer of 64 fractional bits, raised by repeated products of unbounded Python
    integers, so the table is the same on every machine (no libm).
    """
    one = 1 << 64
    step, term = one, one
    for k in range(1, 20):
        term = term // (256 * k)
        step += term
    table = np.zeros(4096, np.uint16)
    power = one
    for x in range(2048):
        # p = 1 / (1 + e^-x) = e^x / (1 + e^x)
        p = (65536 * power) // (power + one)
        p = min(max(p, 16), 65519)
        table[2048 + x] = p
        if x:
            table[2048 - x] = 65536 - p
        power = power * step // one
    table[0] = 16
    return table


@numba.njit(inline="always")
def _node_hash(h: Any, group: Any) -> Any:
    x = (h + group * 0x9E3779B1) & 0xFFFFFFFF
    x = (x * 0x2C1B3C6D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x297A2D39) & 0xFFFFFFFF
    return x ^ (x >> 14)


def _run_model(
    decode: bool,
    tokens: Any,
    stream: Any,
    child: Any,
    code: Any,
    length: Any,
    slots: Any,
    order0: Any,
    match_table: Any,
    match_rate: Any,
    weights: Any,
    squash: Any,
    stretch: Any,
) -> int:
    """Encode `tokens` into `stream`, or decode `stream` into `tokens`; returns the bytes written or read.

    tokens uint16[T]; stream uint8[bytes] (large enough when encoding; zeros follow it when decoding);
    child int32[2 * nodes] (inner node, or ~token); code uint32[V] and length uint8[V] are each token's path;
    slots uint16[ORDERS, slots, 8]; order0 uint16[nodes]; match_table int32[2^20]; match_rate uint16[64];
    weights int32[sets, INPUTS]; squash uint16[4096]; stretch int16[4096].
    """
    n_tokens = tokens.shape[0]
    n_bytes = stream.shape[0]
    slot_mask = slots.shape[1] - 1
    low = 0
    high = 0xFFFFFFFF
    value = 0
    position = 0
    if decode:
        for _ in range(4):
            value <<= 8
            if position < n_bytes:
                value |= np.int64(stream[position])
            position += 1
    hashes = np.zeros(ORDERS, np.int64)
    rows = np.zeros(ORDERS, np.int64)
    inputs = np.zeros(INPUTS, np.int64)
    rate = np.zeros(16, np.int64)
    for i in range(16):
        rate[i] = 65536 * 2 // (2 * i + 3)
    match_at = np.int64(-1)
    match_length = 0
    inputs[INPUTS - 1] = 256
    for t in range(n_tokens):
        for k in range(ORDERS):
            hashes[k] = (k + 1) * 0x3C6EF372 & 0xFFFFFFFF
        h = np.int64(0)
        for k in range(ORDERS):
            if t - 1 - k < 0:
                break
            h = ((h + np.int64(tokens[t - 1 - k]) + 1) * 0x2F0B4C47) & 0xFFFFFFFF
            h ^= h >> 15
            hashes[k] = (h + (k + 1) * 0x3C6EF372) & 0xFFFFFFFF
        # the match model: follow the last place where these MATCH_MIN tokens stood
        if match_at >= 0 and match_length > 0:
            match_at += 1
        bucket = (hashes[MATCH_MIN - 1] >> 7) & (match_table.shape[0] - 1)
        if match_length == 0:
            match_at = np.int64(match_table[bucket])
            if match_at > 0:
                while (
                    match_length < 32
                    and match_at - 1 - match_length >= 0
                    and tokens[match_at - 1 - match_length] == tokens[t - 1 - match_length]
                ):
                    match_length += 1
        match_table[bucket] = t
        expected = np.int64(-1)
        if match_length > 0:
            expected = np.int64(tokens[match_at])
        symbol = np.int64(0)
        if not decode:
            symbol = np.int64(tokens[t])
        node = 0
        depth = 0
        place = 1
        while True:
            if depth % 3 == 0:
                place = 1
                for k in range(ORDERS):
                    x = _node_hash(hashes[k], node)
                    row = x & slot_mask
                    check = (x >> 16) ^ (x & 0xFF)
                    if slots[k, row, 0] != check & 0xFFFF:
                        row ^= 1
                        if slots[k, row, 0] != check & 0xFFFF:
                            if (slots[k, row, 1] & 15) > (slots[k, row ^ 1, 1] & 15):
                                row ^= 1
                            slots[k, row, 0] = check & 0xFFFF
                            for j in range(1, SLOT):
                                slots[k, row, j] = 0x8000
                    rows[k] = row
            for k in range(ORDERS):
                inputs[k] = stretch[slots[k, rows[k], place] >> 4]
            inputs[ORDERS] = stretch[order0[node] >> 4]
            guess = 0
            if expected >= 0:
                guess = (np.int64(code[expected]) >> (np.int64(length[expected]) - 1 - depth)) & 1
                s = np.int64(stretch[match_rate[match_length] >> 4])
                inputs[ORDERS + 1] = s if guess == 1 else -s
            else:
                inputs[ORDERS + 1] = 0
            wset = (min(match_length, 15) if expected >= 0 else 0) * 32 + min(depth, 31)
            dot = np.int64(0)
            for i in range(INPUTS):
                dot += inputs[i] * np.int64(weights[wset, i])
            dot = dot >> 16
            dot = min(max(dot, -2047), 2047)
            p = np.int64(squash[dot + 2048])
            # code one decision: p is P(bit = 1) in 1/65536
            middle = low + ((high - low) >> 16) * p + ((((high - low) & 0xFFFF) * p) >> 16)
            if decode:
                bit = np.int64(1 if value <= middle else 0)
            else:
                bit = (np.int64(code[symbol]) >> (np.int64(length[symbol]) - 1 - depth)) & 1
            if bit == 1:
                high = middle
            else:
                low = middle + 1
            while (low ^ high) & 0xFF000000 == 0:
                if decode:
                    value = (value << 8) & 0xFFFFFFFF
                    if position < n_bytes:
                        value |= np.int64(stream[position])
                else:
                    stream[position] = high >> 24
                position += 1
                low = (low << 8) & 0xFFFFFFFF
                high = ((high << 8) & 0xFFFFFFFF) | 255
            # perceive
            error = ((bit << 16) - p) * 6
            for i in range(INPUTS):
                weights[wset, i] = np.int64(weights[wset, i]) + ((inputs[i] * error + 0x8000) >> 16)
            for k in range(ORDERS):
                s = np.int64(slots[k, rows[k], place])
                n = s & 15
                q = s >> 4
                q += (((bit << 12) - bit - q) * rate[n]) >> 16
                if n < 12:
                    n += 1
                slots[k, rows[k], place] = (q << 4) | n
            s = np.int64(order0[node])
            order0[node] = s + ((((bit << 16) - bit) - s) >> 6)
            if expected >= 0:
                s = np.int64(match_rate[match_length])
                if bit == guess:
                    match_rate[match_length] = s + ((65535 - s) >> 7)
                else:
                    match_rate[match_length] = s - (s >> 7)
                    expected = np.int64(-1)
                    match_length = 0
            place = place * 2 + bit
            node = np.int64(child[2 * node + bit])
            depth += 1
            if node < 0:
                break
        token = ~node
        if decode:
            tokens[t] = token
        if expected >= 0 and match_length < 63:
            match_length += 1
    if not decode:
        for _ in range(4):
            stream[position] = (high >> 24) & 0xFF
            high = (high << 8) & 0xFFFFFFFF
            position += 1
    return position


SIGNATURE = (
    "int64(boolean, uint16[::1], uint8[::1], int32[::1], uint32[::1], uint8[::1], uint16[:, :, ::1], "
    "uint16[::1], int32[::1], uint16[::1], int32[:, ::1], uint16[::1], int16[::1])"
)


@functools.cache
def compiled_run() -> Callable[..., int]:
    """The compiled coder, from numba's cache beside this file where that folder can be written."""
    try:
        compiled = numba.njit(SIGNATURE, nogil=True, cache=True)(_run_model)
    except RuntimeError:
        # No folder for the cache (a read-only installation without a home): compile for this process alone.
        compiled = numba.njit(SIGNATURE, nogil=True)(_run_model)
    return compiled


def run(
    decode: bool,
    tokens: np.ndarray[Any, np.dtype[np.uint16]],
    stream: np.ndarray[Any, np.dtype[np.uint8]],
    child: np.ndarray[Any, np.dtype[np.int32]],
    code: np.ndarray[Any, np.dtype[np.uint32]],
    length: np.ndarray[Any, np.dtype[np.uint8]],
) -> int:
    """Encode `tokens` into `stream`, or decode `stream` into `tokens`; returns the bytes written or read.

    tokens uint16[T]; stream uint8[bytes]; the tree as `text_form.Tree` holds it. The tables grow with T up to
    a fixed cap (about 400 MB), so the same T always gets the same tables.
    """
    slot_bits = min(max(int(tokens.size).bit_length(), 10), 21)
    slots = np.empty((ORDERS, 1 << slot_bits, SLOT), np.uint16)
    slots[:, :, 0] = 0
    slots[:, :, 1:] = 0x8000
    return compiled_run()(
        decode,
        tokens,
        stream,
        child,
        code,
        length,
        slots,
        np.full(child.size // 2, 0x8000, np.uint16),
        np.zeros(1 << MATCH_BITS, np.int32),
        np.full(64, 40000, np.uint16),
        np.full((512, INPUTS), 65536 * 3 // 10, np.int32),
        squash_table(),
        stretch_table(),
    )
