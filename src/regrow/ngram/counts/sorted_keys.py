"""Two passes over sorted keys that numpy has no fast form of for keys of several words."""

# Inside a kernel numba's int64 and Python's int are one type; mypy cannot know.
# mypy: disable-error-code="assignment"
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import compile_kernel
from regrow.ngram.counts.keys import U64, Index

Counts = NDArray[np.uint32]


def merge_sorted(a: U64, a_counts: Counts, b: U64, b_counts: Counts) -> tuple[U64, Counts]:
    """The union of two ascending arrays of distinct keys; the counts of keys in both are added."""
    words = np.empty((len(a), a.shape[1] + b.shape[1]), np.uint64)
    counts = np.empty(words.shape[1], np.uint32)
    n = _merge_kernel()(a, a_counts, b, b_counts, words, counts)
    if len(words) == 1 and n > len(counts) * 3 // 4:
        return words[:, :n], counts[:n]  # in memory untouched until now, a copy costs more than the merge
    return (words, counts) if n == len(counts) else (words[:, :n].copy(), counts[:n].copy())


def locate(words: U64, queries: U64) -> tuple[Index, NDArray[np.bool_]]:
    """Where each query stands, or would stand, in ascending distinct keys; and whether it is there.

    The queries must be ascending.
    """
    at = np.empty(queries.shape[1], np.int64)
    found = np.empty(queries.shape[1], np.bool_)
    _locate_kernel()(words, queries, at, found)
    return at, found


def _merge(a: Any, a_counts: Any, b: Any, b_counts: Any, out: Any, out_counts: Any) -> int:
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


def _locate(words: Any, queries: Any, at: Any, found: Any) -> None:
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


@functools.cache
def _merge_kernel() -> Callable[..., int]:
    side = "uint64[:, :], uint32[::1]"
    return compile_kernel(_merge, f"int64({side}, {side}, uint64[:, ::1], uint32[::1])")


@functools.cache
def _locate_kernel() -> Callable[..., None]:
    return compile_kernel(_locate, "void(uint64[:, :], uint64[:, :], int64[::1], boolean[::1])")
