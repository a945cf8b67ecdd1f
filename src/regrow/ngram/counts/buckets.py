"""Sorting by buckets: a key's highest bits choose its bucket, and the rest of it fits one 64-bit word.

Sorting 64-bit values is several times faster than sorting indices or records, and a bucket that fits a core's cache
sorts faster than the whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import I64x1, Strided, U32x1, U64x1, U64x2, kernel
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.keys import U64, Index

_WORD_BITS = 64
_MAX_BITS = 16
_BUCKET_KEYS = 1 << 14


def bucket_bits(order: int, bits: int, size: int) -> int | None:
    """How many of the highest bits choose the bucket of `size` keys; None where 64 bits cannot hold the rest."""
    total = order * bits
    needed = max(0, total - _WORD_BITS)
    if needed > _MAX_BITS:
        return None
    return min(total, _MAX_BITS, max(needed, (size // _BUCKET_KEYS).bit_length()))


def to_buckets(words: U64, order: int, bits: int, radix: int) -> tuple[U64, Index]:
    """The low 64 bits of each key, by bucket, in the keys' order: uint64 [N]; where buckets begin: [2^radix + 1]."""
    starts = np.zeros((1 << radix) + 1, np.int64)
    low = np.empty(words.shape[1], np.uint64)
    _to(words, bits * k.word_sizes(order, bits)[-1], order * bits - radix, low, starts)
    return low, starts


def from_buckets(
    low: U64, starts: Index, span: tuple[int, int], order: int, bits: int
) -> tuple[U64, NDArray[np.uint32]]:
    """The distinct keys of sorted buckets span[0] .. span[1], and how often each occurs."""
    width, size = len(k.word_sizes(order, bits)), int(starts[span[1]] - starts[span[0]])
    words, counts = np.empty((width, size), np.uint64), np.empty(size, np.uint32)
    radix = (len(starts) - 1).bit_length() - 1
    last_bits = bits * k.word_sizes(order, bits)[-1]
    n = _from(low, starts, *span, last_bits, order * bits - radix, words, counts)
    return words[:, :n], counts[:n]


@kernel
def _to(words: Strided, last_bits: int, shift: int, low: U64x1, starts: I64x1) -> None:
    """`last_bits`: bits held by the keys' last word; `shift`: bits of a key below those that choose its bucket."""
    width, size = words.shape
    at = np.zeros(len(starts), np.int64)
    for turn in range(2):
        for i in range(size):
            bottom = words[width - 1, i]
            if width == 1:
                bucket = bottom >> np.uint64(shift)
            elif shift >= last_bits:
                bucket = words[0, i] >> np.uint64(shift - last_bits)
            else:
                bucket = (words[0, i] << np.uint64(last_bits - shift)) | (bottom >> np.uint64(shift))
            if turn == 0:
                starts[bucket + np.uint64(1)] += 1
            else:
                if width > 1 and last_bits < 64:
                    bottom |= words[0, i] << np.uint64(last_bits)
                low[at[bucket]] = bottom
                at[bucket] += 1
        if turn == 0:
            for b in range(1, len(starts)):
                starts[b] += starts[b - 1]
                at[b] = starts[b]


@kernel
def _from(
    low: U64x1, starts: I64x1, first: int, end: int, last_bits: int, shift: int, words: U64x2, counts: U32x1
) -> int:
    width, n = words.shape[0], 0
    for bucket in range(first, end):
        # Bits of the key above the 64 that are kept, where a second word holds them.
        above = np.uint64(0)
        if width > 1:
            above = (np.uint64(bucket) >> np.uint64(64 - shift)) << np.uint64(64 - last_bits)
        for i in range(starts[bucket], starts[bucket + 1]):
            if i > starts[bucket] and low[i] == low[i - 1]:
                counts[n - 1] += np.uint32(1)
                continue
            counts[n] = 1
            if width == 1 or last_bits == 64:
                words[width - 1, n] = low[i]
            else:
                words[1, n] = low[i] & ((np.uint64(1) << np.uint64(last_bits)) - np.uint64(1))
                words[0, n] = above | (low[i] >> np.uint64(last_bits))
            if width > 1 and last_bits == 64:
                words[0, n] = above
            n += 1
    return n
