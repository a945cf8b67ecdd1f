"""The bytes of tokens, for tests that need a vocabulary and no tokenizer."""

from __future__ import annotations

_PARTS = (b" Th", b"e", b"and", b" ", b".", b"\n", b"7", b"\xff", b"\xc3\xa9", b"IS", b"don't", b" a b")


def pieces_of(size: int) -> list[bytes]:
    """`size` tokens: the second is none (BOS), the others words, ends, signs, digits, bytes that are no text."""
    pieces = [_PARTS[i % len(_PARTS)] + b"aBcD"[: i // len(_PARTS) % 5] for i in range(size)]
    pieces[1] = b""
    return pieces
