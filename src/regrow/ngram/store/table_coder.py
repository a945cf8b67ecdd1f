"""The passes of the table form's coder: one model for both directions, in integers alone.

What is coded, and from what it is predicted, is said in `table_form`; how, in `adaptive_bits`.
"""

from __future__ import annotations

import numpy as np

from regrow.core.jit import I32x1, U8x1, U32x1, kernel
from regrow.ngram.counts.sorted_keys import sort_few
from regrow.ngram.store.adaptive_bits import NUMBER, Coder, code, code_number, folded, octaves, unfolded
from regrow.ngram.store.linked_ngrams import Order

# Where the slots of each kind of decision begin.
MEMBER = 0
DEGREE = MEMBER + 3 * 4 * 64
FLAG = DEGREE + 144 * NUMBER
VALUE = FLAG + 16 * 8 * 4
REST = VALUE + 3 * 32 * 8 * NUMBER
EXACT = REST + 16 * 8 * NUMBER
SLOTS = EXACT + 16 * 4
IMPOSSIBLE = -1  # what a pass returns for a stream that no encoder wrote


@kernel
def members(below: Order, order: Order, exact: U8x1, heads: U32x1, coder: Coder) -> int:
    """Codes which n-grams each context of an order has, as a subset of those of its parent, one order below.

    `exact` uint8: whether a parent's values say in how many of its children each token stands; `heads` uint32: the
    count of each context as an n-gram. Returns the n-grams, or IMPOSSIBLE.
    """
    decode, probs, state, stream, tables = coder.decode, coder.probs, coder.state, coder.stream, coder.tables
    least = 0 if order.n == 2 else 1  # n-grams of a context
    p_start, p_token, p_value = below.start_C1, below.token_E, below.value_E
    child_start = below.child_start_C1
    start, token = order.start_C1, order.token_E
    mark = np.zeros(65536, np.int32)
    widest = 1
    for p in range(len(p_start) - 1):
        widest = max(widest, np.int64(p_start[p + 1]) - p_start[p])
    ranked = np.empty(widest, np.int64)
    left = np.empty(widest, np.int64)
    rank_token = np.empty(widest, np.int64)
    out = 0
    start[0] = 0
    for p in range(len(p_start) - 1):
        first, last = np.int64(child_start[p]), np.int64(child_start[p + 1])
        begin, n = np.int64(p_start[p]), np.int64(p_start[p + 1]) - p_start[p]
        if first == last:
            continue
        counted = exact[p] == 1
        if (counted and last - first == 1) or (n == 1 and least == 1):
            for j in range(first, last):
                if out + n > len(token):
                    return IMPOSSIBLE
                if decode:
                    for i in range(n):
                        token[out + i] = p_token[begin + i]
                out += n
                start[j + 1] = out
            continue
        # The likeliest first: the scan of a child ends with its last n-gram.
        total = np.int64(0)
        for i in range(n):
            ranked[i] = ((0xFFFFFFFF - np.int64(p_value[begin + i])) << 20) | i
            total += np.int64(p_value[begin + i])
        if n > 1:
            ranked[:n].sort()
        for i in range(n):
            at = ranked[i] & 0xFFFFF
            left[i] = p_value[begin + at]
            rank_token[i] = p_token[begin + at]
        active = n
        for j in range(first, last):
            children = last - j
            if counted:
                kept = 0
                for i in range(active):
                    if left[i] > 0:
                        left[kept] = left[i]
                        rank_token[kept] = rank_token[i]
                        kept += 1
                active = kept
            degree = np.int64(0)
            if not decode:
                degree = np.int64(start[j + 1]) - start[j]
                for e in range(start[j], start[j + 1]):
                    mark[token[e]] = j + 1
            if (counted and children == 1) or active <= least:
                degree = active
            else:
                mean = octaves(max(total, 1), tables) - octaves(children, tables)
                row = min(octaves(np.int64(heads[j]) + 1, tables) >> 1, 11) * 12 + min(max(mean >> 1, 0), 11)
                degree = least + code_number(
                    decode, degree - least, DEGREE + row * NUMBER, probs, state, stream, tables
                )
            if degree > active or out + degree > len(token):
                return IMPOSSIBLE
            wanted, weight = degree, total
            made = out
            size = min(degree, 3) - 1
            for i in range(active):
                if wanted == 0:
                    break
                own = left[i]
                if active - i == wanted or (counted and own == children):
                    bit = np.int64(1)
                else:
                    odds = (
                        octaves(wanted, tables)
                        + octaves(max(own, 1), tables)
                        - octaves(max(weight, 1), tables)
                    )
                    slot = (size * 4 + min(own, 3)) * 64 + min(max(odds + 56, 0), 63)
                    bit = np.int64(0)
                    if not decode:
                        bit = np.int64(mark[rank_token[i]] == j + 1)
                    bit = code(decode, bit, MEMBER + slot, probs, state, stream, tables)
                weight -= own
                if bit == 1:
                    wanted -= 1
                    if own > 1 or counted:
                        left[i] -= 1
                        total -= 1
                    if decode:
                        token[made] = rank_token[i]
                    made += 1
            if decode:
                sort_few(token, out, made)
            out = made
            start[j + 1] = out
    return out


@kernel
def flags(below: Order, order: Order, heads: U32x1, extended: I32x1, flag: U8x1, coder: Coder) -> None:
    """Codes which n-grams of an order are contexts of the order above; those whose parent is none cannot be.

    `extended` int32: of each n-gram below, the context of this order that it is, or -1.
    """
    decode, probs, state, stream, tables = coder.decode, coder.probs, coder.state, coder.stream, coder.tables
    start, lower, p_value = order.start_C1, order.lower_E, below.value_E
    for c in range(len(start) - 1):
        near = min(octaves(np.int64(heads[c]) + 1, tables) >> 2, 7)
        size = min(np.int64(start[c + 1]) - start[c], 3)
        for e in range(start[c], start[c + 1]):
            bit = np.int64(0)
            if extended[lower[e]] >= 0:
                far = min(octaves(np.int64(p_value[lower[e]]), tables) >> 2, 15)
                slot = FLAG + (far * 8 + near) * 4 + size
                bit = code(decode, np.int64(flag[e]), slot, probs, state, stream, tables)
            flag[e] = bit


@kernel
def exacts(order: Order, exact: U8x1, coder: Coder) -> None:
    """Codes which contexts have values that say in how many of their children each token stands."""
    decode, probs, state, stream, tables = coder.decode, coder.probs, coder.state, coder.stream, coder.tables
    start, children = order.start_C1, order.child_start_C1
    for c in range(len(start) - 1):
        longer = np.int64(children[c + 1]) - children[c]
        if longer > 0:
            size = min(np.int64(start[c + 1]) - start[c], 3)
            slot = EXACT + min(octaves(longer, tables) >> 1, 15) * 4 + size
            exact[c] = code(decode, np.int64(exact[c]), slot, probs, state, stream, tables)


@kernel
def values(below: Order, order: Order, exact: U8x1, heads: U32x1, flag: U8x1, coder: Coder) -> int:
    """Codes the values of an order's n-grams. Where `exact`, they say in how many children of a context the token
    stands.

    Values are 1 .. 2^mantissa and above that `mantissa` bits after the leading one. Returns 0, or IMPOSSIBLE.
    """
    decode, probs, state, stream, tables = coder.decode, coder.probs, coder.state, coder.stream, coder.tables
    mantissa = coder.mantissa
    start, lower, children, value = order.start_C1, order.lower_E, order.child_start_C1, order.value_E
    p_start, p_value, p_rest, p_children = below.start_C1, below.value_E, below.rest_C, below.child_start_C1
    for p in range(len(p_children) - 1):
        whole = np.int64(p_rest[p])
        for e in range(p_start[p], p_start[p + 1]):
            whole += np.int64(p_value[e])
        whole = octaves(max(whole, 1), tables)
        siblings = np.int64(p_children[p + 1]) - p_children[p]
        for c in range(p_children[p], p_children[p + 1]):
            longer = np.int64(children[c + 1]) - children[c]
            degree = np.int64(start[c + 1]) - start[c]
            counted = longer > 0 and exact[c] == 1
            if counted and (longer == 1 or degree == 1):
                for e in range(start[c], start[c + 1]):
                    value[e] = longer
                continue
            seen = np.int64(heads[c])
            for e in range(start[c], start[c + 1]):
                share = octaves(np.int64(p_value[lower[e]]), tables)
                if counted:
                    kind, size = np.int64(2), octaves(longer, tables)
                    share += size - octaves(siblings, tables)
                else:
                    kind, size = np.int64(flag[e]), octaves(seen + 1, tables)
                    share += size - whole
                row = (kind * 32 + min(max((share >> 1) + 12, 0), 31)) * 8 + min(size >> 2, 7)
                y = np.int64(0)
                if not decode:
                    y = folded(np.int64(value[e]), mantissa) - 1
                y = code_number(decode, y, VALUE + row * NUMBER, probs, state, stream, tables) + 1
                x = unfolded(y, mantissa)
                if x < 0:
                    return IMPOSSIBLE
                value[e] = x
    return 0


@kernel
def rests(order: Order, heads: U32x1, coder: Coder) -> int:
    """Codes what was counted after each context of tokens that are not stored, rounded as values are."""
    decode, probs, state, stream, tables = coder.decode, coder.probs, coder.state, coder.stream, coder.tables
    mantissa = coder.mantissa
    start, value, rest = order.start_C1, order.value_E, order.rest_C
    for c in range(len(start) - 1):
        whole = np.int64(0)
        for e in range(start[c], start[c + 1]):
            whole += np.int64(value[e])
        seen = octaves(np.int64(heads[c]) + 1, tables)
        missing = (seen - octaves(whole + 1, tables)) >> 1
        row = min(max(missing + 5, 0), 15) * 8 + min(seen >> 2, 7)
        y = np.int64(0)
        if not decode:
            y = folded(np.int64(rest[c]), mantissa)
        x = unfolded(code_number(decode, y, REST + row * NUMBER, probs, state, stream, tables), mantissa)
        if x < 0:
            return IMPOSSIBLE
        rest[c] = x
    return 0


@kernel
def unigrams(number: U32x1, coder: Coder) -> None:
    """Codes the count of every token of the vocabulary."""
    decode, probs, state, stream, tables = coder.decode, coder.probs, coder.state, coder.stream, coder.tables
    for i in range(len(number)):
        number[i] = code_number(decode, np.int64(number[i]), np.int64(REST), probs, state, stream, tables)
