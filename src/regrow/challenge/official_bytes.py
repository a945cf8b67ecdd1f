"""parameter-golf's own count of bytes, to state its figure beside ours; ours counts the bytes of the text itself.

The challenge counts from a table over the vocabulary: a control token has no bytes; a byte token has one; any other has
the UTF-8 bytes of its piece without the mark of a leading space, and that space counts as one byte more unless the
token before is a control token. A tokenizer of ours writes a space as itself, so the mark is a first byte 0x20.

For a tokenizer that loses nothing this is the text's size, less one byte where a stream begins with a space. So the
two figures tell apart a sound count from one that is not.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.data.tokenizer import Tokenizer

_SPACE = b" "


class ByteTable(NamedTuple):
    """For each id: `base`, bytes without the mark; `leads`, whether it has the mark; `boundary`, a control token."""

    base_V: NDArray[np.int64]
    leads_V: NDArray[np.bool_]
    boundary_V: NDArray[np.bool_]


def byte_table(tokenizer: Tokenizer) -> ByteTable:
    """The challenge's table for one of our vocabularies."""
    pieces = tokenizer.token_bytes
    leads = np.array([piece.startswith(_SPACE) for piece in pieces])
    base = np.array([len(piece.removeprefix(_SPACE)) for piece in pieces], np.int64)
    boundary = np.zeros(len(pieces), np.bool_)
    boundary[tokenizer.bos_id] = True
    return ByteTable(base, leads, boundary)


def official_byte_count(tokens: NDArray[np.integer[Any]], tokenizer: Tokenizer) -> int:
    """Bytes of the targets `tokens`, the first of which follows BOS: base[y] + (leads[y] and not boundary[x])."""
    table = byte_table(tokenizer)
    targets = np.asarray(tokens, np.int64)
    before = np.concatenate([[tokenizer.bos_id], targets[:-1]])[: len(targets)]
    spaces = table.leads_V[targets] & ~table.boundary_V[before]
    return int(table.base_V[targets].sum() + spaces.sum())


def official_bpb(nats: float, tokens: NDArray[np.integer[Any]], tokenizer: Tokenizer) -> float:
    """Bits per byte by that count: the mean loss a token over ln 2, times tokens over bytes. `nats`: of all tokens."""
    return nats / len(tokens) / math.log(2) * len(tokens) / official_byte_count(tokens, tokenizer)
