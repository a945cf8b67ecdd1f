"""The table form cut to a byte budget: which n-grams stay, how coarsely their counts are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.ngram.store.linked_ngrams import Grams
from regrow.ngram.store.pruning import closed, pruned, pruning_weights
from regrow.ngram.store.table_form import EXACT, encode_table

MANTISSA = 1  # of a pruned table: bits after a count's leading one
_CLOSE = 0.985  # a budget used to this part is used up
_TRIES = 7
_FIRST_BITS = 8.0  # a guess of the bits an n-gram takes, for the first try
_MIN_BITS = 1.4  # fewer than an n-gram of a whole table takes, to spare coding what cannot fit
# Given an order and its n-grams' pruning weights, their weights given something else (a network) as well.
Adjust = Callable[[int, NDArray[np.float32]], NDArray[np.float32]]


def fit_table(
    grams: Grams,
    discounts: Sequence[Sequence[float]],
    budget: int,
    *,
    max_ngrams: int | None = None,
    adjust: Adjust | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The table form within `budget` bytes, of at most `max_ngrams` n-grams: whole and exact if that fits, else pruned.

    `adjust(n, weight_E)` may replace the pruning weights of order n, in the order of `grams.orders[n - 1]`, for
    instance by what its n-grams add to a network's prediction. `log` takes a sentence for each try. Raises NgramError
    if not even the unigrams fit.
    """
    budget = max(budget, 1)  # what is left of a budget may be nothing, or less
    if max_ngrams is None:
        max_ngrams = grams.entries
    if 8 * budget >= _MIN_BITS * grams.entries and grams.entries <= max_ngrams:
        whole = encode_table(closed(grams), discounts, EXACT)
        log(f"whole: {len(whole):,} bytes, {grams.entries:,} n-grams")
        if len(whole) <= budget:
            return whole
    weights = pruning_weights(grams, discounts)
    if adjust is not None:
        weights = [weights[0], *(adjust(n, w) for n, w in enumerate(weights[1:], 2))]
    flat = np.sort(np.concatenate([np.empty(0, np.float32), *weights[1:]]))[::-1]
    best, low, high = b"", 0, len(flat)
    size = min(int(8 * budget / _FIRST_BITS), high, max_ngrams)
    for _ in range(_TRIES):
        bar = flat[size - 1] if size else np.inf
        table = pruned(grams, [w >= bar for w in weights])
        stored = encode_table(table, discounts, MANTISSA)
        log(f"pruning weight at least {bar:.3g} bits: {len(stored):,} bytes, {table.entries:,} n-grams")
        used = max(len(stored) / budget, table.entries / max(max_ngrams, 1))
        if used <= 1:
            low = size
            best = stored if len(stored) > len(best) else best
            if used >= _CLOSE or size == len(flat):
                break
        else:
            high = size
        guess = int(size * 0.993 / used)
        # A guess outside what is known to fit and not to fit is of no use.
        size = guess if low < guess < high else (low + high) // 2
        if size in (low, high):
            break
    if not best:
        best = encode_table(pruned(grams, [w >= np.inf for w in weights]), discounts, MANTISSA)
        if len(best) > budget:
            raise NgramError(f"table form: {budget} bytes cannot hold even the unigrams; allow {len(best)}")
    return best
