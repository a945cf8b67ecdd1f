"""The table form cut to a byte allowance: which n-grams stay, how coarsely their counts are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.ngram.store.linked_ngrams import Grams
from regrow.ngram.store.pruning import closed, pruned, worths
from regrow.ngram.store.table_form import EXACT, encode_table

MANTISSA = 1  # of a pruned table: bits after a count's leading one
_CLOSE = 0.985  # an allowance used to this part is used up
_TRIES = 7
_FIRST_BITS = 8.0  # a guess of the bits an n-gram takes, for the first try
# Given an order and what its n-grams are worth, what they are worth given something else (a network) as well.
Adjust = Callable[[int, NDArray[np.float32]], NDArray[np.float32]]


def fit_table(
    grams: Grams,
    discounts: Sequence[Sequence[float]],
    allowance: int,
    *,
    mantissa: int = MANTISSA,
    most: int | None = None,
    adjust: Adjust | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The table form within `allowance` bytes, of at most `most` n-grams: whole and exact if that fits, else pruned by
    worth.

    `adjust(order, worth_E)` may replace what each n-gram of an order is worth in bits, in the order of
    `grams.shelves[order - 1]`, for instance by what it adds to a network's prediction. `say` is told of each try.
    Raises NgramError if not even the unigrams fit.
    """
    allowance = max(allowance, 1)  # what is left of a budget may be nothing, or less
    if most is None:
        most = grams.entries
    if 8 * allowance >= _whole_bits(grams) and grams.entries <= most:
        whole = encode_table(closed(grams), discounts, EXACT)
        say(f"whole: {len(whole):,} bytes, {grams.entries:,} n-grams")
        if len(whole) <= allowance:
            return whole
    worth = worths(grams, discounts)
    if adjust is not None:
        worth = [worth[0], *(adjust(n, w) for n, w in enumerate(worth[1:], 2))]
    flat = np.sort(np.concatenate([np.empty(0, np.float32), *worth[1:]]))[::-1]
    best, low, high = b"", 0, len(flat)
    size = min(int(8 * allowance / _FIRST_BITS), high, most)
    for _ in range(_TRIES):
        bar = flat[size - 1] if size else np.inf
        table = pruned(grams, [w >= bar for w in worth])
        stored = encode_table(table, discounts, mantissa)
        say(f"worth at least {bar:.3g} bits: {len(stored):,} bytes, {table.entries:,} n-grams")
        used = max(len(stored) / allowance, table.entries / max(most, 1))
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
        best = encode_table(pruned(grams, [w >= np.inf for w in worth]), discounts, mantissa)
        if len(best) > allowance:
            raise NgramError(
                f"table form: {allowance} bytes cannot hold even the unigrams; allow {len(best)}"
            )
    return best


def _whole_bits(grams: Grams) -> float:
    """Fewer bits than the whole table will take, to spare coding what cannot fit."""
    return 1.4 * grams.entries
