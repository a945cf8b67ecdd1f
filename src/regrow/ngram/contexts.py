"""The contexts of a token stream: what stands before each position, within its document."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def contexts_of(
    tokens: NDArray[np.integer[Any]],
    width: int,
    bos_id: int = 1,
    *,
    start: int = 0,
    stop: int | None = None,
) -> NDArray[np.int32]:
    """The contexts of positions start..stop of a token stream: int32 [stop - start, width].

    Row i holds the `width` tokens before position start + i in reading order; what lies left of the
    document's BOS, or of the stream's start, is -1. (The row of a BOS itself is the end of the document
    before it.)
    """
    tokens = np.asarray(tokens)
    stop = len(tokens) if stop is None else stop
    begin = max(0, start - width)
    part = np.full(stop - begin + max(0, width - start), -1, np.int32)
    pad = max(0, width - start)
    part[pad:] = tokens[begin:stop]
    if width == 0:
        return np.empty((stop - start, 0), np.int32)
    result = np.lib.stride_tricks.sliding_window_view(part, width)[: stop - start].copy()
    heads = np.flatnonzero(part == bos_id)
    for age in range(1, width):
        # A BOS that stands `age` tokens before a position hides all older columns of that position's row.
        rows = heads + age - width
        rows = rows[(rows >= 0) & (rows < stop - start)]
        result[rows, : width - age] = -1
    return result
