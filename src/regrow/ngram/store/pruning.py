"""Pruning n-grams to what they are worth: the bits that an entry saves, given the orders below it.

Relative-entropy pruning (Stolcke 1998) for an interpolated model: an n-gram that is dropped leaves its mass to the
order below, and is worth what that costs over its context, in bits of text like the text that was counted. Kneser-Ney's
lower orders count contexts, which is wrong for what the longer ones no longer say, so the counts of what was dropped
move down whole (Siivola, Hirsimäki and Virpioja 2007, "On growing and pruning Kneser-Ney smoothed n-gram models"): with
all of an order dropped, the order below has raw counts.
"""

from __future__ import annotations

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import compile_kernel
from regrow.ngram.store.linked_ngrams import I32, Grams, Shelf, lower_links

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Table = Sequence[float]


def worths(grams: Grams, discounts: Sequence[Table]) -> list[Floats]:
    """What each n-gram is worth in bits over the text that was counted, the rest left as it is: float32 [E] an order.

    Order 1 is always kept. `discounts` as in `model_from_ngrams.model_of`.
    """
    raw = raw_counts(grams)
    root = grams.shelves[0]
    table = np.array((0.0, *discounts[0]))
    taken = table[np.minimum(root.value_E, len(table) - 1)]
    whole = max(float(root.value_E.sum(dtype=np.int64)), 1.0)
    prob = ((root.value_E - taken) / whole + taken.sum() / whole / grams.vocab_size).astype(np.float32)
    found = [np.full(root.entries, np.inf, np.float32)]
    for shelf in grams.shelves[1:]:
        here, worth = np.empty(shelf.entries, np.float32), np.empty(shelf.entries, np.float32)
        _worth_kernel()(
            shelf.start_C1, shelf.lower_E, shelf.value_E, shelf.rest_C, raw[shelf.order - 1],
            np.array((0.0, *discounts[shelf.order - 1])), prob, here, worth,
        )  # fmt: skip
        found.append(worth)
        prob = here
    return found


def raw_counts(grams: Grams) -> list[NDArray[np.uint32]]:
    """How often each n-gram was counted, from the counts that its order uses: uint32 [E] an order."""
    raw = [grams.shelves[-1].value_E]
    for below, shelf in zip(grams.shelves[-2::-1], grams.shelves[:0:-1], strict=True):
        raw.append(_moved(below, shelf.lower_E, raw[-1]))
    return raw[::-1]


def keep(grams: Grams, wanted: Sequence[Mask]) -> list[Mask]:
    """The n-grams that are wanted, and those they need: the same one without the oldest token, and their context."""
    possible = [np.ones(grams.shelves[0].entries, bool)]
    for shelf in grams.shelves[1:]:
        of_context = shelf.head_C >= 0
        if shelf.order == 2:
            of_context = np.ones(shelf.contexts, bool)
        else:
            of_context[of_context] = possible[-1][shelf.head_C[of_context]]
        possible.append(np.repeat(of_context, np.diff(shelf.start_C1)) & possible[-1][shelf.lower_E])
    kept = [a & b for a, b in zip(wanted, possible, strict=True)]
    kept[0][:] = True
    for shelf in grams.shelves[:0:-1]:
        here, below = kept[shelf.order - 1], kept[shelf.order - 2]
        below[shelf.lower_E[here]] = True
        if shelf.order > 2:
            used = _contexts_of(shelf, here)
            below[shelf.head_C[used]] = True
    return kept


def closed(grams: Grams) -> Grams:
    """The n-grams less those whose context was not counted as an n-gram; as they are if there is none."""
    return pruned(grams, [np.ones(shelf.entries, bool) for shelf in grams.shelves])


def pruned(grams: Grams, wanted: Sequence[Mask]) -> Grams:
    """The n-grams that `keep` leaves; the counts of the others move to the order below and to their context's rest."""
    kept = keep(grams, wanted)
    if all(mask.all() for mask in kept):
        return grams
    value = [shelf.value_E for shelf in grams.shelves]
    for shelf in grams.shelves[:0:-1]:
        n = shelf.order - 1
        value[n - 1] = _moved(
            grams.shelves[n - 1], shelf.lower_E, np.where(kept[n], 1, value[n]).astype(np.uint32)
        )
    shelves: list[Shelf] = []
    below_stays: Mask = np.ones(1, bool)
    for shelf in grams.shelves:
        n = shelf.order - 1
        here = kept[n]
        degree = np.bincount(
            np.repeat(np.arange(shelf.contexts), np.diff(shelf.start_C1))[here], minlength=shelf.contexts
        )
        stays = degree > 0 if shelf.order > 2 else np.ones(shelf.contexts, bool)
        dropped = np.concatenate(([0], np.cumsum(np.where(here, 0, value[n]), dtype=np.int64)))
        rest = np.minimum(np.diff(dropped[shelf.start_C1]), 2**32 - 1).astype(np.uint32)
        made = dataclasses.replace(
            shelf, start_C1=_starts(degree[stays]), oldest_C=shelf.oldest_C[stays], token_E=shelf.token_E[here],
            value_E=value[n][here], rest_C=rest[stays],
        )  # fmt: skip
        if shelves:
            below = shelves[-1]
            # Children of the contexts below that stay; a context that stays has a parent that does.
            edges = np.concatenate(([0], np.cumsum(stays)))[grams.shelves[n - 1].child_start_C1]
            parents = below_stays
            below.child_start_C1 = np.append(edges[:-1][parents], edges[-1]).astype(np.int32)
            made.lower_E = lower_links(grams.vocab_size, below, made.start_C1, made.token_E)
            places = np.cumsum(kept[n - 1]) - 1
            made.head_C = np.where(shelf.head_C < 0, -1, places[shelf.head_C]).astype(np.int32)[stays]
        shelves.append(made)
        below_stays = stays
    last = shelves[-1]
    last.child_start_C1 = np.full(last.contexts + 1, 0, np.int32)
    return Grams(grams.vocab_size, shelves)


def _moved(below: Shelf, lower_E: I32, raw_E: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The counts of `below` if each n-gram above counts as `raw_E` instead of once."""
    more = np.bincount(lower_E, weights=raw_E.astype(np.float64) - 1, minlength=below.entries)
    return np.minimum(below.value_E + more.astype(np.int64), 2**32 - 1).astype(np.uint32)


def _contexts_of(shelf: Shelf, chosen: Mask) -> NDArray[np.intp]:
    """The contexts that have a chosen n-gram."""
    return np.unique(np.searchsorted(shelf.start_C1, np.flatnonzero(chosen), side="right") - 1)


def _starts(sizes: NDArray[Any]) -> I32:
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)


def _worth(
    start: Any, lower: Any, value: Any, rest: Any, raw: Any, discounts: Any, below: Any, prob: Any, worth: Any
) -> None:
    most = len(discounts) - 1
    for c in range(len(start) - 1):
        if start[c] == start[c + 1]:
            continue
        counted, taken, times, left = np.float64(rest[c]), np.float64(rest[c]), 0.0, 0.0
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            counted += v
            taken += discounts[min(v, most)]
            times += raw[e]
            left += discounts[min(np.int64(raw[e]), most)]
        gamma = taken / counted
        named, lower_named = 0.0, 0.0
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            q = np.float64(below[lower[e]])
            prob[e] = (v - discounts[min(v, most)]) / counted + gamma * q
            named += prob[e]
            lower_named += q
        other = max(1.0 - named, 0.0)
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            q = np.float64(below[lower[e]])
            mass = (v - discounts[min(v, most)]) / counted
            p = np.float64(prob[e])
            after = p - mass * (1.0 - q)
            # How often the n-gram will come in as much text again: its count, discounted, and its share of the rest.
            again = raw[e] - discounts[min(np.int64(raw[e]), most)] + left * q
            gain = other * np.log((gamma + mass) / gamma) + mass * max(lower_named - q, 0.0)
            worth[e] = (again * np.log(p / after) - times * gain) * 1.4426950408889634


@functools.cache
def _worth_kernel() -> Callable[..., None]:
    i32, u32, f32 = "int32[::1]", "uint32[::1]", "float32[::1]"
    return compile_kernel(
        _worth, f"void({i32}, {i32}, {u32}, {u32}, {u32}, float64[::1], {f32}, {f32}, {f32})"
    )
