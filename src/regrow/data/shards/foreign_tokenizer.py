"""A SentencePiece model that is not ours as one of our tokenizers: the same segmentation, any bytes, no byte lost.

Such a model has two ids for a byte that is also a character, and ids that stand for nothing. Ours has one for each
byte, so its ids are fewer, and a table leads from theirs to ours. What it merges, and in which order, stays. What it
does to a text before that (normalising it, adding a space in front) does not: our tokenizer keeps every byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import TokenizerError, readable
from regrow.core.machine import cores
from regrow.core.varints import decode_varint
from regrow.data.tokenizer import Tokenizer

BOUNDARY = -1  # in `to_ours`: a control token, which stands between texts
UNKNOWN = -2  # in `to_ours`: a token that says nothing of the text

_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_BPE = 2


class Vocabulary(Protocol):
    """What reading shards needs to know of the tokenizer they were made with."""

    tokenizer: Tokenizer  # ours
    to_ours: NDArray[np.int32]  # for each of their ids ours, BOUNDARY or UNKNOWN
    starts: int  # their id that begins a document
    adds_space: bool  # whether a document's first token begins with a space that is not in the text
    loses: str  # what encoding does to a text before it becomes tokens, or ""

    def encode(self, texts: list[bytes]) -> list[NDArray[np.int64]]:
        """The tokens of each document as the shards have them, without the one that begins it."""


@dataclass
class OwnVocabulary:
    """Shards that regrow wrote: their tokenizer is ours already."""

    tokenizer: Tokenizer
    adds_space: bool = False
    loses: str = ""
    starts: int = 0
    to_ours: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def __post_init__(self) -> None:
        self.starts = self.tokenizer.bos_id
        self.to_ours = np.arange(self.tokenizer.vocab_size, dtype=np.int32)
        self.to_ours[self.starts] = BOUNDARY

    def encode(self, texts: list[bytes]) -> list[NDArray[np.int64]]:
        """See `Vocabulary.encode`."""
        return [self.tokenizer.encode(text).astype(np.int64) for text in texts]


@dataclass
class ForeignVocabulary:
    """A SentencePiece byte-pair model with byte fallback."""

    tokenizer: Tokenizer
    to_ours: NDArray[np.int32]
    starts: int
    adds_space: bool
    loses: str
    processor: Any

    def encode(self, texts: list[bytes]) -> list[NDArray[np.int64]]:
        """See `Vocabulary.encode`. Bytes that are not UTF-8 come out as other ones."""
        strings = [text.decode("utf-8", "replace") for text in texts]
        found = self.processor.encode(strings, return_type="numpy", num_threads=cores())
        return [np.asarray(tokens, np.int64) for tokens in found]


@dataclass
class _Piece:
    text: str
    score: float
    kind: int


def load_foreign(path: Path) -> ForeignVocabulary:
    """The vocabulary of a SentencePiece `.model` file.

    Raises TokenizerError for a file that is no such model, and for a model that cannot represent every text: not
    byte-pair, without byte fallback, or with symbols of its user's that cut text before the merges do.
    """
    with readable(path, "give a SentencePiece .model file", TokenizerError):
        data = path.read_bytes()
    try:
        pieces, model_type, normalizer = _parse(data)
    except (ValueError, IndexError, struct.error) as error:
        raise TokenizerError(f"{path}: is not a SentencePiece model; get the file again.") from error
    if not pieces or model_type != _BPE:
        raise TokenizerError(f"{path}: is not a byte-pair model of SentencePiece; give one that is.")
    for piece in pieces:
        if piece.kind == _USER:
            raise TokenizerError(
                f"{path}: has the user-defined symbol {piece.text!r}, which regrow cannot reproduce; give a model "
                "without any."
            )
    byte_ids = {int(p.text[3:5], 16): i for i, p in enumerate(pieces) if p.kind == _BYTE}
    if len(byte_ids) != 256:
        raise TokenizerError(
            f"{path}: has {len(byte_ids)} of 256 byte tokens, so it loses what it does not know; give a model "
            "with byte fallback."
        )
    return _translated(path, data, pieces, normalizer)


def _translated(
    path: Path, data: bytes, pieces: list[_Piece], normalizer: dict[int, Any]
) -> ForeignVocabulary:
    escapes = bool(normalizer.get(5, 1))
    raw = [_bytes_of(piece, escapes) for piece in pieces]
    merges = sorted(
        (i for i, p in enumerate(pieces) if p.kind in (_NORMAL, _UNUSED) and len(raw[i]) > 1),
        key=lambda i: (-pieces[i].score, i),
    )
    try:
        tokenizer = Tokenizer([raw[i] for i in merges], {raw[i] for i in merges if pieces[i].kind == _UNUSED})
    except TokenizerError as error:
        raise TokenizerError(f"{path}: cannot be taken over ({error}); give another model.") from error
    ours = {data: number for number, data in enumerate(tokenizer.token_bytes) if data}
    table = np.empty(len(pieces), np.int32)
    for i, piece in enumerate(pieces):
        special = piece.kind in (_CONTROL, _UNKNOWN) or raw[i] not in ours
        table[i] = (BOUNDARY if piece.kind == _CONTROL else UNKNOWN) if special else ours[raw[i]]
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    if processor.bos_id() < 0:
        raise TokenizerError(f"{path}: has no token that begins a document; give a model with one.")
    loses = []
    if normalizer.get(2):
        loses.append(
            f"normalises characters ({normalizer.get(1, b'').decode('utf-8', 'replace') or 'own rules'})"
        )
    if normalizer.get(4, 1):
        loses.append("drops spaces at ends and in rows")
    return ForeignVocabulary(
        tokenizer, table, int(processor.bos_id()), bool(normalizer.get(3, 1)), " and ".join(loses), processor
    )


def _bytes_of(piece: _Piece, escapes: bool) -> bytes:
    if piece.kind == _BYTE:
        return bytes([int(piece.text[3:5], 16)])
    return (piece.text.replace("\u2581", " ") if escapes else piece.text).encode("utf-8")


def _parse(data: bytes) -> tuple[list[_Piece], int, dict[int, Any]]:
    """Pieces, model type, and the normaliser's fields of a `ModelProto` (sentencepiece_model.proto)."""
    pieces: list[_Piece] = []
    model_type, normalizer = 1, dict[int, Any]()
    for number, value in _fields(data):
        if number == 1:
            fields = dict(_fields(value))
            score = struct.unpack("<f", fields.get(2, bytes(4)))[0]
            pieces.append(_Piece(fields[1].decode("utf-8"), score, int(fields.get(3, _NORMAL))))
        elif number == 2:
            model_type = int(dict(_fields(value)).get(3, 1))
        elif number == 3:
            normalizer = dict(_fields(value))
    return pieces, model_type, normalizer


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a protocol buffer message: whole numbers, or bytes. Raises ValueError if it is
    none."""
    at = 0
    while at < len(data):
        key, at = decode_varint(data, at, 64)
        kind = key & 7
        value: Any
        if kind == 0:
            value, at = decode_varint(data, at, 64)
        elif kind in (1, 2, 5):
            size, at = decode_varint(data, at, 64) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            if at + size > len(data):
                raise ValueError("cut short")
            value, at = data[at : at + size], at + size
        else:
            raise ValueError("no protocol buffer")
        yield key >> 3, value
