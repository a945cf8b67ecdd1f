"""The predictor and range coder behind the text form: integers alone, one model for both directions.

A token is a walk down a fixed binary tree (Huffman, from the unigram counts), about 8 yes/no decisions at a
vocabulary of 1,024. Each decision is predicted by every order's adaptive probability for that tree node, a
match model that follows the longest repeat, and a logistic mixer that weighs them (Mahoney's context mixing).
`code_tokens` takes the same two steps, predict and update, whether it encodes or decodes, so the two cannot drift; the
range coder is `bit_coder`'s.

Widths: probabilities are 16-bit, logits 12-bit fixed point (8 fractional), weights 16.16 in int32, products
in int64. Nothing divides and nothing is a float.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import I16x1, I32x1, I32x2, I64x1, U8x1, U16x1, U16x3, U32x1, kernel
from regrow.ngram.store.bit_coder import code_bit

ORDERS = 6
INPUTS = ORDERS + 3
SLOT = 8
MATCH_MIN = 5
MATCH_BITS = 20


class Tree(NamedTuple):
    """A binary tree over the vocabulary: every token's path and every inner node's two children.

    length uint8[V] (0: the token is not in the tree), code uint32[V] (the path, first decision in the highest
    of its `length` bits), child int32[2 * inner nodes] (an inner node, or ~token).
    """

    length: U8x1
    code: U32x1
    child: I32x1


class Model(NamedTuple):
    """What the predictor knows: slots uint16[ORDERS, slots, 8]; order0 uint16[nodes]; match_table int32[2^20];
    match_rate uint16[64]; weights int32[sets, INPUTS]; and its tables squash uint16[4096], stretch int16[4096]."""

    slots: U16x3
    order0: U16x1
    match_table: I32x1
    match_rate: U16x1
    weights: I32x2
    squash: U16x1
    stretch: I16x1

    @classmethod
    def fresh(cls, tokens: int, nodes: int) -> Model:
        """The tables grow with the tokens up to a fixed cap (about 400 MB), so the same number gets the same ones."""
        slot_bits = min(max(tokens.bit_length(), 10), 21)
        slots = np.empty((ORDERS, 1 << slot_bits, SLOT), np.uint16)
        slots[:, :, 0] = 0
        slots[:, :, 1:] = 0x8000
        return cls(
            slots, np.full(nodes, 0x8000, np.uint16), np.zeros(1 << MATCH_BITS, np.int32),
            np.full(64, 40000, np.uint16), np.full((512, INPUTS), 65536 * 3 // 10, np.int32),
            squash_table(), stretch_table(),
        )  # fmt: skip


@functools.cache  # as the next, thousands of steps of Python
def stretch_table() -> NDArray[np.int16]:
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


@functools.cache
def squash_table() -> NDArray[np.uint16]:
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


@kernel
def code_tokens(decode: bool, tokens: U16x1, stream: U8x1, coder: I64x1, tree: Tree, model: Model) -> None:
    """Encodes `tokens` uint16[T] into `stream`, or decodes `stream` into `tokens`.

    stream uint8[bytes], large enough when encoding; `coder`: the state of `bit_coder`.
    """
    child, code, length = tree.child, tree.code, tree.length
    slots, order0, weights, stretch = model.slots, model.order0, model.weights, model.stretch
    match_table, match_rate, squash = model.match_table, model.match_rate, model.squash
    state = (coder[0], coder[1], coder[2], coder[3])
    slot_mask = slots.shape[1] - 1
    hashes = np.zeros(ORDERS, np.int64)
    rows = np.zeros(ORDERS, np.int64)
    inputs = np.zeros(INPUTS, np.int64)
    rate = np.zeros(16, np.int64)
    for i in range(16):
        rate[i] = 65536 * 2 // (2 * i + 3)
    match_at = np.int64(-1)
    match_length = 0
    inputs[INPUTS - 1] = 256
    for t in range(len(tokens)):
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
        node = np.int64(0)
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
            guess = np.int64(0)
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
            dot = min(max(dot, np.int64(-2047)), np.int64(2047))
            p = np.int64(squash[dot + 2048])
            bit = np.int64(0)
            if not decode:
                bit = (np.int64(code[symbol]) >> (np.int64(length[symbol]) - 1 - depth)) & 1
            bit, state = code_bit(decode, bit, p, state, stream)
            # update
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
    coder[0], coder[1], coder[2], coder[3] = state
