"""From linked n-grams and their counts to the model: interpolated Kneser-Ney over what is stored."""

from __future__ import annotations

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import compile_kernel
from regrow.ngram.model.backoff_trie import Trie
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.linked_ngrams import Grams

_INDEX_LIMIT = 2**31 - 1
Table = Sequence[float]


def model_of(grams: Grams, discounts: Sequence[Table], notes: Sequence[str] = ()) -> NgramModel:
    """The model over these n-grams: what is not stored of a context's count goes to the order below.

    `discounts[n - 1][i]`: what an n-gram of order n counted i + 1 times gives to the order below; the last holds
    for all counts above. Raises NgramError for more entries than a trie can number.
    """
    vocab, upper = grams.vocab_size, grams.shelves[1:]
    contexts = sum(shelf.contexts for shelf in upper)
    if max(grams.entries, contexts) > _INDEX_LIMIT:
        raise NgramError(f"the memory has {max(grams.entries, contexts)} entries, more than {_INDEX_LIMIT}")
    root = grams.shelves[0]
    unigram = _unigram(root.token_E, root.value_E, vocab, discounts[0])
    if not upper:
        return NgramModel(Trie.allocate(vocab, 1, []), unigram, _kept(discounts), list(notes))
    mass = np.empty(grams.entries, np.float32)
    gamma, total = np.ones(contexts, np.float32), np.zeros(contexts, np.uint16)
    starts, children = [], []
    entry = context = 0
    above = vocab
    for shelf in upper:
        here, there = slice(entry, entry + shelf.entries), slice(context, context + shelf.contexts)
        _mass_kernel()(
            shelf.start_C1, shelf.value_E, shelf.rest_C, np.array((0.0, *discounts[shelf.order - 1])),
            mass[here], gamma[there], total[there],
        )  # fmt: skip
        starts.append(shelf.start_C1[:-1] + np.int32(entry))
        if shelf is not upper[-1]:
            children.append(shelf.child_start_C1[:-1] + np.int32(above))
            above += int(shelf.child_start_C1[-1])
        entry, context = entry + shelf.entries, context + shelf.contexts
    if len(upper) == 1:
        children.append(np.full(vocab, vocab, np.int32))
    trie = Trie(
        vocab, grams.max_order,
        np.append(np.concatenate(children), np.int32(above)),
        np.concatenate([shelf.oldest_C for shelf in upper]),
        np.append(np.concatenate(starts), np.int32(entry)),
        np.concatenate([shelf.token_E for shelf in upper]),
        mass, gamma, total, {},
    )  # fmt: skip
    return NgramModel(trie, unigram, _kept(discounts), list(notes))


def _kept(discounts: Sequence[Table]) -> list[Any]:
    return [tuple(table) for table in discounts]


def _unigram(
    token: NDArray[np.uint16], value: NDArray[np.uint32], vocab: int, table: Table
) -> NDArray[np.float64]:
    counts = np.zeros(vocab, np.int64)
    counts[token] = value
    whole = int(counts.sum())
    if not whole:
        return np.full(vocab, 1 / vocab)
    taken = np.array((0.0, *table))[np.minimum(counts, len(table))]
    result: NDArray[np.float64] = (counts - taken) / whole + taken.sum() / whole / vocab
    return result


def _mass(start: Any, value: Any, rest: Any, discounts: Any, mass: Any, gamma: Any, total: Any) -> None:
    most = len(discounts) - 1
    for c in range(len(start) - 1):
        if start[c] == start[c + 1]:
            continue
        counted = np.int64(rest[c])
        taken = np.float64(rest[c])
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            counted += v
            taken += discounts[min(v, most)]
        scale = 1.0 / counted
        for e in range(start[c], start[c + 1]):
            v = np.int64(value[e])
            mass[e] = (v - discounts[min(v, most)]) * scale
        gamma[c] = taken * scale
        total[c] = min(counted, 65535)


@functools.cache
def _mass_kernel() -> Callable[..., None]:
    return compile_kernel(
        _mass,
        "void(int32[::1], uint32[::1], uint32[::1], float64[::1], float32[::1], float32[::1], uint16[::1])",
    )
