"""The tokenizer: encode, decode, and its payload."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from regrow.core.config.schema import MAX_VOCAB
from regrow.core.errors import TokenizerError
from regrow.core.files import sha256_hex
from regrow.core.machine import cores
from regrow.data.tokenizer.processor import load_processor
from regrow.data.tokenizer.text import (
    FIRST_PIECE,
    MAX_PIECE_CHARS,
    NOT_FOR_SENTENCEPIECE,
    rename,
    segments,
    stretches,
)
from regrow.data.tokenizer.training import learn_pieces

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BOS_ID = 1

_FORMAT = b"\x01"  # first byte of the payload
# A payload inflates to no more than this; a quarter of the pieces at most are steps without an id.
_MAX_INFLATED = MAX_VOCAB * 5 // 4 * (4 * MAX_PIECE_CHARS + 1)
_FEW_PARTS = 32
_OUR_NAMES = b"\x00\x10\x11\x12"  # the bytes among what is not for SentencePiece
_CLOSED_PIECE = re.compile(b"[^\xfe\xff]*[\xfe\xff]")


class Tokenizer:
    """Bytes to tokens and back; see the module's docstring for what the ids mean."""

    def __init__(self, pieces: Sequence[bytes], steps: Collection[bytes] = ()) -> None:
        """`pieces` in order of merging: the tokens from 257 on, and among them the `steps`, which have no id.

        Raises TokenizerError if there are too many, or one that training cannot make: not UTF-8, of a single
        byte or more than 16 characters, or twice the same.
        """
        self._pieces, self._steps = tuple(pieces), frozenset(steps)
        _check_pieces(self._pieces, self._steps)
        single = [bytes([b]) for b in range(256)]
        tokens = [piece for piece in pieces if piece not in self._steps]
        self._token_bytes = [single[0], b"", *single[1:], *tokens]
        self._processor = load_processor(self._pieces, self._steps)

    @classmethod
    def train(cls, texts: Iterable[bytes | memoryview], vocab_size: int) -> Tokenizer:
        """The byte-pair tokenizer of `vocab_size` tokens, byte tokens and BOS included, that `texts` give.

        Deterministic. Raises TokenizerError if `vocab_size` cannot be had from these texts; the sentence
        names the largest that can.
        """
        if not FIRST_PIECE <= vocab_size <= MAX_VOCAB:
            raise TokenizerError(
                f"data.vocab_size is {vocab_size}, choose at least {FIRST_PIECE} (every byte has a token) "
                f"and at most {MAX_VOCAB} (tokens are 16-bit)."
            )
        return cls(*learn_pieces(texts, vocab_size))

    @property
    def vocab_size(self) -> int:
        """Number of ids, BOS included."""
        return len(self._token_bytes)

    @property
    def bos_id(self) -> int:
        """The id that starts a document or stream."""
        return BOS_ID

    @property
    def token_bytes(self) -> list[bytes]:
        """For each id the bytes it decodes to; none for BOS."""
        return list(self._token_bytes)

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of the payload before it is deflated: builds of zlib differ in bytes."""
        return sha256_hex(self._closed_pieces())

    def encode(self, data: bytes | memoryview, *, threads: int = 0) -> NDArray[np.uint16]:
        """The tokens_T of any bytes, without BOS; `decode` gives exactly these bytes back.

        The tokens of a + b need not be those of a and then those of b. `threads`: 0 for as many as there are
        cores; the tokens are the same for any number.
        """
        return np.concatenate([self._encode_segment(segment, threads) for segment in segments(data)])

    def _encode_segment(self, data: bytes, threads: int) -> NDArray[np.uint16]:
        chunks: list[NDArray[Any] | None] = []
        parts: list[str] = []
        # Odd parts are what the pattern matched, even ones (often empty) what lies between.
        for i, part in enumerate(_for_sentencepiece(data)):
            if i % 2:
                chunks.append(_byte_tokens(part.encode("utf-8", "surrogateescape")))
            elif part:
                renamed = [rename(stretch) for stretch in stretches(part)]
                parts += renamed
                chunks += [None] * len(renamed)
        if not chunks:
            return np.zeros(0, np.uint16)
        encoded = iter(self._encode_parts(parts, threads))
        tokens_T = np.concatenate([next(encoded) if chunk is None else chunk for chunk in chunks])
        return tokens_T.astype(np.uint16)

    def _encode_parts(self, parts: list[str], threads: int) -> list[NDArray[np.int32]]:
        encode = self._processor.encode
        # A call with a list starts threads, which costs more than a short text gains.
        if len(parts) < _FEW_PARTS or threads == 1:
            return [encode(part, return_type="numpy") for part in parts]
        number = min(threads or cores(), 1 + len(parts) // _FEW_PARTS)
        encoded: list[NDArray[np.int32]] = encode(parts, return_type="numpy", num_threads=number)
        return encoded

    def decode(self, tokens_T: ArrayLike) -> bytes:
        """The bytes of these tokens; BOS gives none. Raises TokenizerError for ids outside the vocabulary."""
        ids = np.asarray(tokens_T)
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            wrong = int(ids.max() if ids.min() >= 0 else ids.min())
            raise TokenizerError(
                f"token {wrong} is outside the vocabulary of {self.vocab_size}; the tokens were made with "
                "another tokenizer."
            )
        return b"".join(map(self._token_bytes.__getitem__, ids.tolist()))

    def to_bytes(self) -> bytes:
        """The payload: a format byte, then, deflated, the pieces, a token closed by 0xff and a step by 0xfe.

        Neither byte occurs in UTF-8.
        """
        return _FORMAT + zlib.compress(self._closed_pieces(), 9)

    def _closed_pieces(self) -> bytes:
        return b"".join(p + (b"\xfe" if p in self._steps else b"\xff") for p in self._pieces)

    @classmethod
    def from_bytes(cls, payload: bytes, source: str = "the tokenizer") -> Tokenizer:
        """The tokenizer of a payload. Raises TokenizerError, naming it `source`, if it is damaged."""
        if payload[:1] != _FORMAT:
            raise TokenizerError(
                f"{source}: not a tokenizer of format {_FORMAT[0]}; it is damaged or from another version of "
                "regrow, make it again."
            )
        inflate = zlib.decompressobj()
        try:
            text = inflate.decompress(payload[1:], _MAX_INFLATED)
            # The last byte is checked first: without an end to find, the search would be quadratic.
            if not inflate.eof or inflate.unused_data or text[-1:] not in (b"", b"\xfe", b"\xff"):
                raise ValueError("cut short or followed by something else")
            closed = _CLOSED_PIECE.findall(text)
            return cls([p[:-1] for p in closed], {p[:-1] for p in closed if p[-1] == 0xFE})
        except (zlib.error, ValueError, TokenizerError) as error:
            raise TokenizerError(f"{source}: damaged ({error}); make it again.") from error


def _for_sentencepiece(data: bytes) -> list[str]:
    """`data` as NOT_FOR_SENTENCEPIECE splits it; most texts hold nothing to split at, which is seen sooner here."""
    if len(data.translate(None, _OUR_NAMES)) == len(data):
        try:
            return [data.decode("utf-8")]
        except UnicodeDecodeError:
            pass
    return NOT_FOR_SENTENCEPIECE.split(data.decode("utf-8", "surrogateescape"))


def _check_pieces(pieces: Sequence[bytes], steps: Collection[bytes]) -> None:
    if FIRST_PIECE + len(pieces) - len(steps) > MAX_VOCAB:
        raise TokenizerError(f"{len(pieces)} pieces are more than {MAX_VOCAB} tokens leave room for")
    if not set(pieces).issuperset(steps):
        raise TokenizerError("a step is not among the pieces")
    for piece in pieces:
        try:
            text = piece.decode("utf-8")
        except UnicodeDecodeError:
            raise TokenizerError(f"the piece {piece!r} is not UTF-8") from None
        if len(piece) < 2 or len(text) > MAX_PIECE_CHARS or NOT_FOR_SENTENCEPIECE.search(text):
            raise TokenizerError(f"the piece {piece!r} is not one that training makes")
    if len(set(pieces)) < len(pieces):
        raise TokenizerError("a piece is there twice")


def _byte_tokens(data: bytes) -> NDArray[np.int32]:
    values = np.frombuffer(data, np.uint8).astype(np.int32)
    return values + (values > 0)  # BOS sits between byte 0 and byte 1
