"""Pruning n-grams by weight: the bits that an entry saves, given the orders below it.

Relative-entropy pruning (Stolcke 1998) for an interpolated model: an n-gram that is dropped leaves its mass to the
order below, and its pruning weight is what that costs over its context, in bits of text like the text that was counted.
Kneser-Ney's lower orders count contexts, which is wrong for what the longer ones no longer say, so the counts of what
was dropped move down whole (Siivola, Hirsimäki and Virpioja 2007, "On growing and pruning Kneser-Ney smoothed n-gram
models"): with all of an order dropped, the order below has raw counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import F32x1, F64x1, U32x1, kernel
from regrow.ngram.store.linked_ngrams import I32, Grams, Order, lower_links, starts

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Table = Sequence[float]


def pruning_weights(grams: Grams, discounts: Sequence[Table]) -> list[Floats]:
    """The bits that each n-gram saves over the text that was counted, the rest left as it is: float32 [E] by order.

    Order 1 is always kept. `discounts` as in `model_from_ngrams.model_of`.
    """
    raw = raw_counts(grams)
    root = grams.orders[0]
    table = np.array((0.0, *discounts[0]))
    taken = table[np.minimum(root.value_E, len(table) - 1)]
    whole = max(float(root.value_E.sum(dtype=np.int64)), 1.0)
    prob = ((root.value_E - taken) / whole + taken.sum() / whole / grams.vocab_size).astype(np.float32)
    weights = [np.full(root.entries, np.inf, np.float32)]
    for order in grams.orders[1:]:
        here, weight = np.empty(order.entries, np.float32), np.empty(order.entries, np.float32)
        discount_c = np.array((0.0, *discounts[order.n - 1]))
        _weigh(order, raw[order.n - 1], discount_c, prob, here, weight)
        weights.append(weight)
        prob = here
    return weights


def raw_counts(grams: Grams) -> list[NDArray[np.uint32]]:
    """How often each n-gram was counted, from the counts that its order uses: uint32 [E] an order."""
    raw = [grams.orders[-1].value_E]
    for below, order in zip(grams.orders[-2::-1], grams.orders[:0:-1], strict=True):
        raw.append(_moved(below, order.lower_E, raw[-1]))
    return raw[::-1]


def keep(grams: Grams, wanted: Sequence[Mask]) -> list[Mask]:
    """The n-grams that are wanted, and those they need: the same one without the oldest token, and their context."""
    possible = [np.ones(grams.orders[0].entries, bool)]
    for order in grams.orders[1:]:
        of_context = order.head_C >= 0
        if order.n == 2:
            of_context = np.ones(order.contexts, bool)
        else:
            of_context[of_context] = possible[-1][order.head_C[of_context]]
        possible.append(np.repeat(of_context, np.diff(order.start_C1)) & possible[-1][order.lower_E])
    kept = [a & b for a, b in zip(wanted, possible, strict=True)]
    kept[0][:] = True
    for order in grams.orders[:0:-1]:
        here, below = kept[order.n - 1], kept[order.n - 2]
        below[order.lower_E[here]] = True
        if order.n > 2:
            used = _contexts_of(order, here)
            below[order.head_C[used]] = True
    return kept


def closed(grams: Grams) -> Grams:
    """The n-grams less those whose context was not counted as an n-gram; as they are if there is none."""
    return pruned(grams, [np.ones(order.entries, bool) for order in grams.orders])


def pruned(grams: Grams, wanted: Sequence[Mask]) -> Grams:
    """The n-grams that `keep` leaves; the counts of the others move to the order below and to their context's rest."""
    kept = keep(grams, wanted)
    if all(mask.all() for mask in kept):
        return grams
    value = [order.value_E for order in grams.orders]
    for order in grams.orders[:0:-1]:
        n = order.n - 1
        value[n - 1] = _moved(
            grams.orders[n - 1], order.lower_E, np.where(kept[n], 1, value[n]).astype(np.uint32)
        )
    orders: list[Order] = []
    below_stays: Mask = np.ones(1, bool)
    for order in grams.orders:
        n = order.n - 1
        here = kept[n]
        degree = np.bincount(order.context_E[here], minlength=order.contexts)
        stays = degree > 0 if order.n > 2 else np.ones(order.contexts, bool)
        dropped = np.concatenate(([0], np.cumsum(np.where(here, 0, value[n]), dtype=np.int64)))
        rest = np.minimum(np.diff(dropped[order.start_C1]), 2**32 - 1).astype(np.uint32)
        made = order._replace(
            start_C1=starts(degree[stays]), oldest_C=order.oldest_C[stays], token_E=order.token_E[here],
            value_E=value[n][here], rest_C=rest[stays],
        )  # fmt: skip
        if orders:
            # Children of the contexts below that stay; a context that stays has a parent that does.
            edges = np.concatenate(([0], np.cumsum(stays)))[grams.orders[n - 1].child_start_C1]
            below = orders[-1]._replace(
                child_start_C1=np.append(edges[:-1][below_stays], edges[-1]).astype(np.int32)
            )
            places = np.cumsum(kept[n - 1]) - 1
            head_C = np.where(order.head_C < 0, -1, places[order.head_C]).astype(np.int32)[stays]
            lower_E = lower_links(grams.vocab_size, below, made.start_C1, made.token_E)
            orders[-1], made = below, made._replace(lower_E=lower_E, head_C=head_C)
        orders.append(made)
        below_stays = stays
    orders[-1] = orders[-1]._replace(child_start_C1=np.zeros(orders[-1].contexts + 1, np.int32))
    return Grams(grams.vocab_size, orders)


def _moved(below: Order, lower_E: I32, raw_E: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The counts of `below` if each n-gram above counts as `raw_E` instead of once."""
    more = np.bincount(lower_E, weights=raw_E.astype(np.float64) - 1, minlength=below.entries)
    return np.minimum(below.value_E + more.astype(np.int64), 2**32 - 1).astype(np.uint32)


def _contexts_of(order: Order, chosen: Mask) -> NDArray[np.intp]:
    """The contexts that have a chosen n-gram."""
    return np.unique(np.searchsorted(order.start_C1, np.flatnonzero(chosen), side="right") - 1)


@kernel
def _weigh(order: Order, raw: U32x1, discounts: F64x1, below: F32x1, prob: F32x1, weight: F32x1) -> None:
    start, lower, value, rest = order.start_C1, order.lower_E, order.value_E, order.rest_C
    last = np.int64(len(discounts) - 1)
    for c in range(len(start) - 1):
        if start[c] == start[c + 1]:
            continue
        counted, taken, times, left = np.float64(rest[c]), np.float64(rest[c]), 0.0, 0.0
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            counted += v
            taken += discounts[min(v, last)]
            times += raw[e]
            left += discounts[min(np.int64(raw[e]), last)]
        gamma = taken / counted
        named, lower_named = 0.0, 0.0
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            q = np.float64(below[lower[e]])
            prob[e] = (v - discounts[min(v, last)]) / counted + gamma * q
            named += prob[e]
            lower_named += q
        other = max(1.0 - named, 0.0)
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            q = np.float64(below[lower[e]])
            mass = (v - discounts[min(v, last)]) / counted
            p = np.float64(prob[e])
            after = p - mass * (1.0 - q)
            # How often the n-gram will come in as much text again: its count, discounted, and its share of the rest.
            again = raw[e] - discounts[min(np.int64(raw[e]), last)] + left * q
            gain = other * np.log((gamma + mass) / gamma) + mass * max(lower_named - q, 0.0)
            weight[e] = (again * np.log(p / after) - times * gain) * 1.4426950408889634
