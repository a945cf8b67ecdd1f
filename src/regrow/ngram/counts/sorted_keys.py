"""Two passes over sorted keys that numpy has no fast form of for keys of several words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import Boolx1, I64x1, Strided, U32x1, U64x2, kernel
from regrow.ngram.counts.keys import U64, Index

Counts = NDArray[np.uint32]


def merge_sorted(a: U64, a_counts: Counts, b: U64, b_counts: Counts) -> tuple[U64, Counts]:
    """The union of two ascending arrays of distinct keys; the counts of keys in both are added."""
    words = np.empty((len(a), a.shape[1] + b.shape[1]), np.uint64)
    counts = np.empty(words.shape[1], np.uint32)
    n = _merge(a, a_counts, b, b_counts, words, counts)
    if len(words) == 1 and n > len(counts) * 3 // 4:
        return words[:, :n], counts[:n]  # in memory untouched until now, a copy costs more than the merge
    return (words, counts) if n == len(counts) else (words[:, :n].copy(), counts[:n].copy())


def locate(words: U64, queries: U64) -> tuple[Index, NDArray[np.bool_]]:
    """Where each query stands, or would stand, in ascending distinct keys; and whether it is there.

    The queries must be ascending.
    """
    at = np.empty(queries.shape[1], np.int64)
    found = np.empty(queries.shape[1], np.bool_)
    _locate(words, queries, at, found)
    return at, found


@register_jitable
def sort_few(x: Any, first: Any, last: Any) -> None:
    """Sorts x[first:last] in place; made for a few numbers at a time."""
    if last - first > 24:
        x[first:last].sort()
        return
    for i in range(first + 1, last):
        value, at = x[i], i
        while at > first and x[at - 1] > value:
            x[at] = x[at - 1]
            at -= 1
        x[at] = value


@kernel
def _merge(a: Strided, a_counts: U32x1, b: Strided, b_counts: U32x1, out: U64x2, out_counts: U32x1) -> int:
    width, i, j, n = a.shape[0], 0, 0, 0
    while i < a.shape[1] and j < b.shape[1]:
        w = 0
        while w < width - 1 and a[w, i] == b[w, j]:
            w += 1
        take_a, take_b = a[w, i] <= b[w, j], b[w, j] <= a[w, i]
        count = np.uint32(0)
        if take_b:
            for v in range(width):
                out[v, n] = b[v, j]
            count = b_counts[j]
            j += 1
        if take_a:
            for v in range(width):
                out[v, n] = a[v, i]
            count = np.uint32(count + a_counts[i])
            i += 1
        out_counts[n] = count
        n += 1
    for rest, rest_counts, at in ((a, a_counts, i), (b, b_counts, j)):
        left = rest.shape[1] - at
        for v in range(width):
            out[v, n : n + left] = rest[v, at:]
        out_counts[n : n + left] = rest_counts[at:]
        n += left
    return n


@kernel
def _locate(words: Strided, queries: Strided, at: I64x1, found: Boolx1) -> None:
    width, size, low = words.shape[0], words.shape[1], 0
    for q in range(queries.shape[1]):
        # Gallop from the last place: ascending queries that lie close together are found in a few steps.
        step, high = 1, low
        while high < size:
            w = 0
            while w < width - 1 and words[w, high] == queries[w, q]:
                w += 1
            if words[w, high] >= queries[w, q]:
                break
            low = high + 1
            high += step
            step *= 2
        high = min(high, size)
        while low < high:
            mid = (low + high) >> 1
            w = 0
            while w < width - 1 and words[w, mid] == queries[w, q]:
                w += 1
            if words[w, mid] < queries[w, q]:
                low = mid + 1
            else:
                high = mid
        at[q] = low
        same = low < size
        for w in range(width):
            same = same and words[w, low] == queries[w, q]
        found[q] = same
