"""Attack: alter or cut a stored hashed memory. Wanted: one sentence of NgramError; feared: other counts, a crash."""

from __future__ import annotations

import lzma
import resource
import zlib

import numpy as np
import pytest

from regrow.core.errors import NgramError
from regrow.ngram.counts.hashed_counts import HashedCounts


def stored() -> bytes:
    counts = HashedCounts(60, 3, (128, 99))
    counts.add((np.arange(500) * 7 % 31).astype(np.uint16))
    return counts.to_bytes()


def sealed(data: bytes) -> bytes:
    """`data` with its outer checksum made right again."""
    return data[:4] + zlib.crc32(data[8:]).to_bytes(4, "little") + data[8:]


def test_every_altered_byte_is_an_error() -> None:
    data = stored()
    for at in range(len(data)):
        for change in (1, 0x80, 0xFF):
            bad = bytearray(data)
            bad[at] ^= change
            with pytest.raises(NgramError):
                HashedCounts.from_bytes(bytes(bad))


def test_every_cut_and_any_tail_is_an_error() -> None:
    data = stored()
    for end in range(len(data)):
        with pytest.raises(NgramError):
            HashedCounts.from_bytes(data[:end])
        with pytest.raises(NgramError):
            HashedCounts.from_bytes(sealed(data[:end].ljust(8, b"\0")))
    for tail in (b"\0", b"\0\0\0\0", b"x"):
        with pytest.raises(NgramError):
            HashedCounts.from_bytes(sealed(data + tail))


def test_altered_bytes_under_a_right_checksum_never_give_other_counts() -> None:
    """Past the outer checksum the tables have one of their own. (A header may state another vocabulary: the
    artifact compares that with its tokenizer's.)"""
    data = stored()
    wanted = HashedCounts.from_bytes(data)
    for at in range(8, len(data)):
        for change in (1, 0x10, 0x80, 0xFF):
            bad = bytearray(data)
            bad[at] ^= change
            try:
                found = HashedCounts.from_bytes(sealed(bytes(bad)))
            except NgramError:
                continue
            assert np.array_equal(found.tables_N, wanted.tables_N)


def test_a_stream_that_unpacks_to_far_more_is_refused_without_making_it() -> None:
    data = stored()
    bomb = lzma.compress(bytes(200_000_000), check=lzma.CHECK_NONE, preset=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(NgramError, match="shorter or longer"):
        HashedCounts.from_bytes(sealed(data[: 8 + 12 + 8] + bomb))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
