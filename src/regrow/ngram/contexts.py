"""Token streams: whether they fit a vocabulary, and what stands before each position within its document."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError


def check_tokens(tokens: NDArray[np.integer[Any]], vocab_size: int, name: str) -> NDArray[np.integer[Any]]:
    """The tokens as an array. Raises NgramError, naming them, unless they are integers [T] of the vocabulary."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise NgramError(f"{name} is {tokens.dtype} of shape {tokens.shape}; give a 1-D array of integers")
    if len(tokens):
        check_ids(int(tokens.min()), int(tokens.max()), vocab_size, name)
    return tokens


def check_ids(low: int, high: int, vocab_size: int, name: str) -> None:
    """Raises NgramError if the lowest or the highest token id is outside the vocabulary."""
    if low < 0 or high >= vocab_size:
        raise NgramError(
            f"{name} holds token id {low if low < 0 else high} but the vocabulary has {vocab_size}; "
            "count text of this memory's own tokenizer"
        )


def contexts_of(
    tokens: NDArray[np.integer[Any]], width: int, bos_id: int = 1, *, start: int = 0, stop: int | None = None
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


def contexts_at(
    tokens: NDArray[np.integer[Any]], positions_S: NDArray[np.int64], width: int, bos_id: int = 1
) -> NDArray[np.int32]:
    """The same of single positions: int32 [S, width]."""
    ages = np.arange(width, 0, -1)
    at_SW = positions_S[:, None] - ages
    result = np.where(at_SW >= 0, np.asarray(tokens)[np.maximum(at_SW, 0)].astype(np.int32), np.int32(-1))
    # Hidden: what has a BOS anywhere to its right.
    heads = (result == bos_id)[:, ::-1]
    hidden = np.zeros(result.shape, bool)
    hidden[:, :-1] = np.logical_or.accumulate(heads, axis=1)[:, :-1][:, ::-1]
    result[hidden] = -1
    return result
