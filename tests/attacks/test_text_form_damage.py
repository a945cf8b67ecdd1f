"""Attack: alter or cut a stored text. Wanted: one sentence of NgramError; feared: other tokens, a crash.

The outer checksum catches plain damage before anything is decoded. The cases that put a right checksum over
wrong contents stand for a faulty writer, and reach the checks behind it.
"""

from __future__ import annotations

import resource
import zlib

import numpy as np
import pytest

from regrow.core.errors import NgramError
from regrow.ngram.store.text_form import decode_tokens, encode_tokens

TOKENS = (np.arange(400, dtype=np.uint16) * 7 % 31 * (np.arange(400, dtype=np.uint16) % 5)).astype(np.uint16)


def _sealed(data: bytes) -> bytes:
    """`data` with its outer checksum made right again."""
    return data[:4] + zlib.crc32(data[8:]).to_bytes(4, "little") + data[8:]


@pytest.mark.parametrize("halves", [False, True])
def test_every_altered_byte_is_an_error(halves: bool) -> None:
    """Each byte in turn, changed in three ways, is refused."""
    data = encode_tokens(TOKENS, 256, halves=halves)
    for at in range(len(data)):
        for change in (1, 0x80, 0xFF):
            bad = bytearray(data)
            bad[at] ^= change
            with pytest.raises(NgramError):
                decode_tokens(bytes(bad))


@pytest.mark.parametrize("halves", [False, True])
def test_every_cut_and_any_tail_is_an_error(halves: bool) -> None:
    """Cut at each place, or with bytes after the end, it is refused."""
    data = encode_tokens(TOKENS, 256, halves=halves)
    for end in range(len(data)):
        with pytest.raises(NgramError):
            decode_tokens(data[:end])
    for tail in (b"\0", b"\0\0\0\0\0", b"x"):
        with pytest.raises(NgramError):
            decode_tokens(data + tail)
        with pytest.raises(NgramError):
            decode_tokens(_sealed(data + tail))


@pytest.mark.parametrize("halves", [False, True])
def test_altered_bytes_under_a_right_checksum_never_give_other_tokens(halves: bool) -> None:
    """Past the outer checksum, the contents are still checked: an error, or the very same tokens."""
    data = encode_tokens(TOKENS, 256, halves=halves)
    for at in range(8, len(data)):
        for change in (1, 0x10, 0x80, 0xFF):
            bad = bytearray(data)
            bad[at] ^= change
            try:
                decoded = decode_tokens(_sealed(bytes(bad)))
            except NgramError:
                continue
            assert np.array_equal(decoded, TOKENS)


def test_a_header_that_claims_billions_of_tokens_allocates_little() -> None:
    """A short file cannot make the reader reserve gigabytes."""
    body = bytes(4) + b"\x80\x08" + b"\xff\xff\xff\xff\x07" + b"\x01" + bytes(40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(NgramError):
        decode_tokens(_sealed(b"RgT1" + bytes(4) + body))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20
