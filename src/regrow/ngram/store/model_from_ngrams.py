"""From linked n-grams and their counts to the model: interpolated Kneser-Ney over what is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regrow.core.jit import F32x1, F64x1, U16x1, kernel
from regrow.ngram.model.backoff_trie import Trie, allocate, check_size
from regrow.ngram.model.masses import discounted, unigram_of
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.linked_ngrams import Grams, Order


def model_of(grams: Grams, discounts: Sequence[Sequence[float]]) -> NgramModel:
    """The model over these n-grams: what is not stored of a context's count goes to the order below.

    `discounts[n - 1][i]`: what an n-gram of order n counted i + 1 times gives to the order below; the last holds
    for all counts above. Raises NgramError for more entries than a trie can number.
    """
    vocab, upper = grams.vocab_size, grams.orders[1:]
    contexts = sum(order.contexts for order in upper)
    check_size(grams.entries, contexts)
    counts_V = np.zeros(vocab, np.int64)
    counts_V[grams.orders[0].token_E] = grams.orders[0].value_E
    unigram_V, kept = unigram_of(counts_V, discounts[0]), [tuple(table) for table in discounts]
    if not upper:
        return NgramModel(allocate(vocab, 1, [])[0], unigram_V, kept)
    mass = np.empty(grams.entries, np.float32)
    gamma, total = np.ones(contexts, np.float32), np.zeros(contexts, np.uint16)
    starts, children = [], []
    entry = context = 0
    above = vocab
    for order in upper:
        here, there = slice(entry, entry + order.entries), slice(context, context + order.contexts)
        _discount(order, np.array((0.0, *discounts[order.n - 1])), mass[here], gamma[there], total[there])
        starts.append(order.start_C1[:-1] + np.int32(entry))
        if order is not upper[-1]:
            children.append(order.child_start_C1[:-1] + np.int32(above))
            above += int(order.child_start_C1[-1])
        entry, context = entry + order.entries, context + order.contexts
    if len(upper) == 1:
        children.append(np.full(vocab, vocab, np.int32))
    trie = Trie(
        vocab, grams.max_order,
        np.append(np.concatenate(children), np.int32(above)),
        np.concatenate([order.oldest_C for order in upper]),
        np.append(np.concatenate(starts), np.int32(entry)),
        np.concatenate([order.token_E for order in upper]),
        mass, gamma, total,
    )  # fmt: skip
    return NgramModel(trie, unigram_V, kept)


@kernel
def _discount(order: Order, discounts: F64x1, mass: F32x1, gamma: F32x1, total: U16x1) -> None:
    start, value, rest = order.start_C1, order.value_E, order.rest_C
    for c in range(len(total)):
        first, last = start[c], start[c + 1]
        if first < last:
            gamma[c], counted = discounted(value, first, last, rest[c], discounts, mass, 0)
            total[c] = min(counted, 65535)
