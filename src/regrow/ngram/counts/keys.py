"""N-gram keys: packing, sorting and searching n-grams as unsigned integers.

An order-n key lists the context from its most recent token to its oldest, then the predicted token::

    a_1 a_2 ... a_{n-1} w        a_1 precedes w, a_2 precedes a_1, ...

a_1 in the highest bits, w in the lowest, `token_bits` bits each. In this order a context's successors are one
contiguous range, the contexts that extend a context further into the past are one contiguous range too (so
the sorted keys *are* a backoff trie), and the suffix of an n-gram is its key with one field taken out.

Keys are exact at every vocabulary and order: a key that does not fit 64 bits takes several words, and nothing
is hashed, so there are no collisions to state odds for. Arrays of keys are `words_WN`: uint64, W words (most
significant first), N keys; a word holds whole tokens, and only the first may be partly filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Index = NDArray[np.int64]

_WORD_BITS = 64
_RADIX_BITS = 16  # numpy's stable sort of 16-bit integers is a radix sort


def token_bits(vocab_size: int) -> int:
    """Bits of one token field."""
    return max(1, (vocab_size - 1).bit_length())


def word_sizes(order: int, bits: int) -> tuple[int, ...]:
    """Tokens held by each word of an order-`order` key, most significant word first."""
    per_word = _WORD_BITS // bits
    words = -(-order // per_word)
    return (order - (words - 1) * per_word,) + (per_word,) * (words - 1)


def pack_windows(stream: U64, order: int, bits: int) -> U64:
    """Keys of every window of `order` tokens of a stream: uint64 [W, len(stream) - order + 1], in stream order."""
    n = len(stream) - order + 1
    fields = [stream[order - 1 - age : order - 1 - age + n] for age in range(1, order)]
    return pack_fields([*fields, stream[order - 1 :]], bits)


def unpack(words: U64, order: int, bits: int) -> U64:
    """The fields of each key: uint64 [N, order], a_1 first and the predicted token last."""
    fields = np.empty((words.shape[1], order), np.uint64)
    at = 0
    for word, size in zip(words, word_sizes(order, bits), strict=True):
        for i in range(size):
            fields[:, at + i] = (word >> np.uint64(bits * (size - 1 - i))) & _mask(bits)
        at += size
    return fields


def pack_fields(fields: Sequence[U64], bits: int) -> U64:
    """Keys from their fields, each uint64 [N], a_1 first and the predicted token last: the inverse of `unpack`."""
    sizes = word_sizes(len(fields), bits)
    words = np.empty((len(sizes), len(fields[0])), np.uint64)
    at = 0
    for word, size in zip(words, sizes, strict=True):
        word[:] = fields[at]
        for field in fields[at + 1 : at + size]:
            word <<= np.uint64(bits)
            word |= field
        at += size
    return words


def drop_oldest(words: U64, order: int, bits: int) -> U64:
    """Keys of the suffixes, one order shorter: the oldest context token a_{n-1} is taken out."""
    first, *_ = sizes = word_sizes(order, bits)
    mask, one = _mask(bits), np.uint64(bits)
    last = words[-1]
    if len(sizes) == 1:
        only: U64 = ((last >> np.uint64(2 * bits)) << one) | (last & mask)
        return only[None]
    top = np.uint64(bits * (sizes[-1] - 1))
    out = np.empty_like(words)
    # One token moves down across each word boundary to fill the gap left in the word below.
    out[-1] = (((last >> np.uint64(2 * bits)) << one) | (last & mask)) | ((words[-2] & mask) << top)
    for i in range(len(sizes) - 2, -1, -1):
        out[i] = words[i] >> one
        if i:
            out[i] |= (words[i - 1] & mask) << top
    return out[1:] if first == 1 else out


def field(
    words: U64, order: int, bits: int, age: int, at: NDArray[np.integer[Any]] | slice = slice(None)
) -> U64:
    """One field of the keys (at `at`): the context token a_age (age >= 1), or the predicted token (age 0)."""
    place = order - 1 if age == 0 else age - 1
    for word, size in zip(words, word_sizes(order, bits), strict=True):
        if place < size:
            tokens: U64 = (word[at] >> np.uint64(bits * (size - 1 - place))) & _mask(bits)
            return tokens
        place -= size
    raise IndexError(age)


def sort_words(words: U64, order: int, bits: int) -> U64:
    """The keys in ascending order; `words` may be overwritten."""
    if words.shape[0] == 1:
        words[0].sort()
        return words
    return np.take(words, argsort_words(words, order, bits), axis=1)


def argsort_words(words: U64, order: int, bits: int) -> Index:
    """A permutation that sorts the keys; equal keys may come in any order."""
    if words.shape[0] == 1:
        return np.argsort(words[0], kind="stable")
    perm = np.argsort(words[-1])
    for word, size in zip(words[-2::-1], word_sizes(order, bits)[-2::-1], strict=True):
        for shift in range(0, size * bits, _RADIX_BITS):
            digit = (word >> np.uint64(shift)).astype(np.uint16)
            perm = perm[np.argsort(digit[perm], kind="stable")]
    return perm


def run_starts(words: U64) -> Index:
    """Where each distinct key of a sorted array begins."""
    n = words.shape[1]
    new = np.empty(n, bool)
    new[:1] = True
    np.not_equal(words[-1, 1:], words[-1, :-1], out=new[1:])
    for word in words[:-1]:
        new[1:] |= word[1:] != word[:-1]
    return np.flatnonzero(new)


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)
