"""The stored bytes are a promise: a table packed by an earlier version must decode in this one."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.store.linked_ngrams import Grams, grams_of
from regrow.ngram.store.pruning import closed, pruned
from regrow.ngram.store.table_form import EXACT, decode_grams, encode_table

# A change here is a new format: it needs a new magic number and a reader for the old one.
WHOLE_SHA256 = "166b772bd73397fa4c30f4054be142079dd723fb9a3b178f5eec21c58a1c1fc9"
PRUNED_SHA256 = "567879e431e5a3f00ee72e5a4735470b061beb124953be035b93c5e31d5d1d9e"
DISCOUNTS = [(0.5, 0.75, 1.0), (0.75, 1.0, 1.25), (0.75, 1.0, 1.5), (0.875, 1.25, 1.5, 1.75, 2.0)]


def _grams() -> Grams:
    """Order 4 of 6,000 tokens below 200 that copy earlier phrases, by integer arithmetic alone."""
    state = 12345
    tokens: list[int] = [1]
    while len(tokens) < 6000:
        state = (state * 1103515245 + 12345) % 2**31
        r = state >> 8
        if r % 5 and len(tokens) > 50:
            start = (r >> 3) % (len(tokens) - 12)
            tokens += tokens[start : start + 3 + r % 9]
        else:
            tokens.append(r % 31 * (r >> 12) % 200)
    counts = NgramCounts(200, 4, bos_id=1)
    counts.add(np.array(tokens[:6000], np.uint16))
    return closed(grams_of(counts))


@pytest.mark.parametrize("cut", [False, True])
def test_the_encoded_bytes_have_not_moved(cut: bool) -> None:
    """SHA-256 of the table, whole with exact counts and pruned with rounded ones, and the n-grams back from it."""
    grams = _grams()
    if cut:
        # By count, not by worth: no logarithm of this machine decides what is kept.
        grams = pruned(grams, [order.value_E >= 2 for order in grams.orders])
    data = encode_table(grams, DISCOUNTS, 1 if cut else EXACT)
    assert hashlib.sha256(data).hexdigest() == (PRUNED_SHA256 if cut else WHOLE_SHA256)
    again, discounts = decode_grams(data)
    assert [tuple(table) for table in discounts] == DISCOUNTS
    for order, stored in zip(grams.orders, again.orders, strict=True):
        assert np.array_equal(order.token_E, stored.token_E)
        assert cut or np.array_equal(order.value_E, stored.value_E)
