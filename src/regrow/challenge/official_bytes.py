"""parameter-golf's own count of bytes, to state its figure beside ours; ours counts the bytes of the text itself.

The challenge counts from a table over the vocabulary: a control token has no bytes; a byte token has one; any other has
the UTF-8 bytes of its piece without the mark of a leading space, and that space counts as one byte more unless the
token before is a control token. A tokenizer of ours writes a space as itself, so the mark is a first byte 0x20; a
SentencePiece model, as the challenge's is, writes it as U+2581.

For a tokenizer that loses nothing this is the text's size, less one byte where a stream begins with a space. So the
two figures tell apart a sound count from one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.data.shards.foreign_tokenizer import ForeignVocabulary
from regrow.data.tokenizer import Tokenizer

_SPACE = b" "
_MARK = "\u2581"


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
    return _count(byte_table(tokenizer), np.concatenate([[tokenizer.bos_id], tokens]))


def official_bpb(nats: float, tokens: NDArray[np.integer[Any]], tokenizer: Tokenizer) -> float:
    """Bits per byte by that count: the mean loss a token over ln 2, times tokens over bytes. `nats`: of all tokens."""
    return nats / len(tokens) / math.log(2) * len(tokens) / official_byte_count(tokens, tokenizer)


@dataclass(frozen=True)
class OfficialCount:
    """Documents as the challenge's tokens: `tokens`, those that are scored, and `bytes`, theirs by its count."""

    documents: int
    tokens: int
    bytes: int


def foreign_byte_table(vocabulary: ForeignVocabulary) -> ByteTable:
    """The challenge's table for a SentencePiece model: tokens that are control, unknown or unused are boundaries."""
    model = vocabulary.processor
    size = len(vocabulary.to_ours)
    table = ByteTable(np.zeros(size, np.int64), np.zeros(size, np.bool_), np.zeros(size, np.bool_))
    for token in range(size):
        if model.is_control(token) or model.is_unknown(token) or model.is_unused(token):
            table.boundary_V[token] = True
        elif model.is_byte(token):
            table.base_V[token] = 1
        else:
            piece = model.id_to_piece(token)
            table.leads_V[token] = piece.startswith(_MARK)
            table.base_V[token] = len(piece.removeprefix(_MARK).encode())
    return table


def official_count(documents: Sequence[bytes], vocabulary: ForeignVocabulary) -> OfficialCount:
    """What the challenge counts of documents, each led by BOS and one behind the other, as its shards have them.

    Every token but the first is scored, so the BOS of later documents is among `tokens`, with no bytes.
    """
    parts = [np.insert(tokens, 0, vocabulary.starts) for tokens in vocabulary.encode(list(documents))]
    stream = np.concatenate([np.empty(0, np.int64), *parts])
    return OfficialCount(len(parts), max(0, len(stream) - 1), _count(foreign_byte_table(vocabulary), stream))


def _count(table: ByteTable, stream: NDArray[np.integer[Any]]) -> int:
    """Bytes of all tokens of a stream but the first: base[y] + (leads[y] and not boundary[x])."""
    before, targets = stream[:-1].astype(np.int64), stream[1:].astype(np.int64)
    spaces = table.leads_V[targets] & ~table.boundary_V[before]
    return int(table.base_V[targets].sum() + spaces.sum())
