"""A damaged or forged tokenizer payload is one sentence: never a crash, a hang, or gigabytes of memory."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from regrow.core.errors import TokenizerError
from regrow.data.tokenizer import Tokenizer

PAYLOAD = Tokenizer.train([b"The people of the United States of America. " * 20], 290).to_bytes()


def test_every_changed_byte_is_noticed() -> None:
    """Bit rot anywhere in the payload is an error: the stream carries a checksum."""
    for at in range(len(PAYLOAD)):
        damaged = bytearray(PAYLOAD)
        damaged[at] ^= 0x11
        with pytest.raises(TokenizerError, match=r"my\.bin: .*make it again"):
            Tokenizer.from_bytes(bytes(damaged), "my.bin")


def test_every_truncation_and_anything_appended_is_noticed() -> None:
    """A download cut short, and two files run together."""
    for end in range(len(PAYLOAD)):
        with pytest.raises(TokenizerError):
            Tokenizer.from_bytes(PAYLOAD[:end])
    with pytest.raises(TokenizerError):
        Tokenizer.from_bytes(PAYLOAD + b"\0")


@pytest.mark.parametrize(
    "pieces",
    [
        b"ab\xffab\xff",  # twice the same
        b"a\xff",  # one byte has its token already
        b"\xff",  # nothing
        b"\xc3\x28\xff",  # not UTF-8
        b"a\x10\xff",  # a name that white space has inside SentencePiece
        b"a\0\xff",
        b"abcdefghijklmnopq\xff",  # longer than training makes
        b"ab\xffcd",  # not closed
        b"\n" * 4_000_000,  # and long, which must not make the search for an end quadratic
        b"ab\xfecd\xfeab\xff",  # both step and token
    ],
)
def test_forged_pieces_are_refused(pieces: bytes) -> None:
    """A valid stream of pieces that training cannot make."""
    with pytest.raises(TokenizerError, match="damaged"):
        Tokenizer.from_bytes(b"\x01" + zlib.compress(pieces))


def test_too_many_pieces_are_refused() -> None:
    """More tokens than 16 bits can name."""
    pieces = b"".join(f"{i:05d}".encode() + b"\xff" for i in range(65_400))
    with pytest.raises(TokenizerError, match="more than 65536"):
        Tokenizer.from_bytes(b"\x01" + zlib.compress(pieces))


def test_a_compression_bomb_does_not_fill_the_memory() -> None:
    """200 MB of nothing in 200 kB: inflating stops at what a real payload can hold."""
    packer = zlib.compressobj(9)
    bomb = b"\x01" + b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(TokenizerError):
            Tokenizer.from_bytes(bomb)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
