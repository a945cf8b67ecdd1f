"""What followed when a text's last tokens were met before: the text's own recent past, which a network reads.

Source: n-gram heads (Akyurek et al. 2024, arXiv 2401.12973), which do this inside attention; here it is an input, made
without the network. Legend: S streams, H tokens of a stream, T of them asked for, R = S * T rows, N tokens a length.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from regrow.core.jit import I32x2, kernel
from regrow.ngram.model.rows import in_threads

LENGTHS = 3  # groups of successors: after one token that is the same, after two, after three or more
WEIGHT_BITS = 15  # of a successor's weight
_BLOCK = 64  # entries looked at together


class Recent(NamedTuple):
    """Of R positions: for each length N tokens, int32 [R, LENGTHS * N], the newest first, and their weights in
    2^-WEIGHT_BITS, which are equal and add up to about 1, or 0 where there is no token."""

    tokens_RK: I32x2
    weights_RK: I32x2


@dataclass(frozen=True)
class Past:
    """How much of it is read: of each length the newest `count` tokens, none if 0, among the `reach` tokens before, as
    far as the document goes back, which `bos_id` begins."""

    count: int
    reach: int
    bos_id: int


def recent(
    inputs_SH: NDArray[np.integer[Any]],
    positions: int,
    past: Past,
    *,
    end: int | None = None,
    threads: int | None = 1,
) -> Recent:
    """The successors of earlier occurrences of a text's last tokens, at the last `positions` of H tokens [S, H], of
    which those from `end` on are not known yet and an entry below 0 is none. An occurrence counts once, at the longest
    length that it matches within reach."""
    rows = len(inputs_SH) * positions
    found = Recent(*(np.zeros((rows, LENGTHS * past.count), np.int32) for _ in range(2)))
    if past.count:
        inputs = np.ascontiguousarray(inputs_SH, np.int32)
        first = (inputs.shape[1] if end is None else end) - positions
        in_threads(
            lambda start, stop: _find(inputs, first, past.reach, past.bos_id, found, start, stop),
            rows,
            threads,
        )
    return found


@register_jitable
def matched(inputs, earlier, now, start, bos):
    """How many more tokens than the last are the same before two positions: 0 to LENGTHS - 1, none before `start`."""
    length = 0
    while length < LENGTHS - 1 and earlier - length > start:
        before = inputs[earlier - length - 1]
        if before == bos or before != inputs[now - length - 1]:
            break
        length += 1
    return length


@kernel
def _find(
    inputs_SH: I32x2, first_position: int, reach: int, bos_id: int, found: Recent, begin: int, stop: int
) -> None:
    """Rows begin .. stop."""
    tokens_RK, weights_RK = found.tokens_RK, found.weights_RK
    count, positions = tokens_RK.shape[1] // LENGTHS, len(tokens_RK) // len(inputs_SH)
    met, bos = np.empty(LENGTHS, np.int64), np.int32(bos_id)
    for r in range(begin, stop):
        inputs, now = inputs_SH[r // positions], first_position + r % positions
        last = inputs[now]
        met[:] = 0
        start = max(now - reach, 0)  # no token before it is looked at, also where it is there
        first, end = start, now if last != bos else 0
        while end > first:
            block = inputs[max(end - _BLOCK, first) : end]
            left = np.int32(0)  # entries of interest, counted without branches: most blocks have none
            for i in range(len(block)):
                left += np.int32((block[i] == last) | (block[i] == bos) | (block[i] < 0))
            i = len(block)
            while left > 0:
                i -= 1
                j = end - len(block) + i
                if block[i] == bos or block[i] < 0:
                    first = j + 1  # the document begins here
                    break
                if block[i] != last:
                    continue
                left -= 1
                length = matched(inputs, j, now, start, bos)
                if met[length] < count:
                    tokens_RK[r, length * count + met[length]] = inputs[j + 1]
                    met[length] += 1
            end -= len(block)
        for length in range(LENGTHS):
            for k in range(met[length]):
                weights_RK[r, length * count + k] = ((1 << WEIGHT_BITS) + met[length] // 2) // met[length]
