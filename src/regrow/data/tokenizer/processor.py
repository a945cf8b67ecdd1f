"""SentencePiece's model message, written from the pieces alone."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from typing import Any

from regrow.core.varints import encode_varint
from regrow.data.tokenizer.text import RENAMED, rename


def load_processor(pieces: Sequence[bytes], steps: Collection[bytes]) -> Any:
    """SentencePiece's processor for these pieces, with the id of each token as ours.

    Its ids are ours except that its 0 is "unknown", which byte tokens rule out, and its 1 is the byte 0,
    which is never handed to it.
    """
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=_model_proto(pieces, steps))


def _model_proto(pieces: Sequence[bytes], steps: Collection[bytes]) -> bytes:
    """The protocol buffer message `ModelProto` of a byte-pair model with these merges.

    Field numbers and types are those of sentencepiece_model.proto, which that project keeps stable.
    """
    unknown, byte, normal, unused = 2, 6, 1, 5
    parts = [_piece("<unk>", 0.0, unknown)]
    # The byte token of a renamed character stands where that of its own name belongs.
    inside = {ord(a): ord(b) for pair in RENAMED for a, b in (pair, pair[::-1])}
    parts += [_piece(f"<0x{inside.get(value, value):02X}>", 0.0, byte) for value in range(256)]
    # A merge that was made earlier is applied earlier: scores fall. An unused piece is merged like any other,
    # and taken apart again if it has not become part of a longer one; its id comes after those of the tokens.
    names = [rename(piece.decode("utf-8")) for piece in pieces]
    ranked = [(name, -float(rank), pieces[rank] in steps) for rank, name in enumerate(names)]
    parts += [_piece(name, score, normal) for name, score, step in ranked if not step]
    parts += [_piece(name, score, unused) for name, score, step in ranked if step]
    bpe = _number(3, 2) + _number(4, len(parts)) + _number(35, 1)  # model_type, vocab_size, byte_fallback
    as_it_is = _bytes(1, b"identity") + _number(3, 0) + _number(4, 0) + _number(5, 1)
    return b"".join(_bytes(1, part) for part in parts) + _bytes(2, bpe) + _bytes(3, as_it_is)


def _piece(text: str, score: float, kind: int) -> bytes:
    return (
        _bytes(1, text.encode("utf-8"))
        + encode_varint(2 << 3 | 5)
        + struct.pack("<f", score)
        + _number(3, kind)
    )


def _bytes(field: int, value: bytes) -> bytes:
    return encode_varint(field << 3 | 2) + encode_varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return encode_varint(field << 3) + encode_varint(value)
