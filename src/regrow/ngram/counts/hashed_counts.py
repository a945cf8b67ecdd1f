"""Counts of the published hashed cache: one table of buckets an order, and no way to tell what fell into a bucket.

The cache of parameter-golf pull request 1095, rebuilt from its description and code. An n-gram's bucket comes from a
rolling hash over its tokens, the last one (the one to be predicted) included: starting at 0, for the k-th token
multiply by the k-th of seven constants, add the token, keep 32 bits; then take the remainder by the number of buckets.
Counting adds one to that bucket; tables are clipped to 16 bits when they are packed, and stored as LZMA. What is read
from such tables, and why it is no probability, is in `regrow.ngram.model.hashed_model`.

Layout of the stored form (integers little-endian):

    bytes 0-3   b"RgH1"
    bytes 4-7   CRC-32 of everything that follows
    bytes 8-11  CRC-32 of the tables as uint16
    bytes 12-15 vocabulary size, 2..65536
    bytes 16-19 number of orders, 1..15; the first is order 2
    4 bytes an order   its number of buckets, 2..2^26
    ...         the tables in that order, uint16, as one .xz stream without a check of its own

Forbidden: bytes after the stream, or a stream of another length than the tables. The first checksum is verified before
anything is allocated.
"""

from __future__ import annotations

import copy
import hashlib
import lzma
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import I64x1, U16x1, kernel
from regrow.ngram.contexts import check_tokens

MAGIC = b"RgH1"
PUBLISHED_BUCKETS = (1 << 20, 1 << 21, 1 << 21, 1 << 20, 1 << 19, 1 << 19)  # orders 2 to 7
MULTIPLIERS = (36313, 27191, 51647, 81929, 131071, 196613, 262147)  # of the published hash, taken in turn
LARGEST_COUNT = 65535  # what a stored count can say
MAX_BUCKETS = 1 << 26
_HEADER = struct.Struct("<III")


def default_buckets(max_order: int) -> tuple[int, ...]:
    """The published numbers of buckets for orders 2 to `max_order`; the last one again for orders above 7."""
    wanted = max_order - 1
    return (PUBLISHED_BUCKETS + PUBLISHED_BUCKETS[-1:] * wanted)[:wanted]


@kernel
def _count(
    tokens_T: U16x1,
    first: int,
    last: int,
    tables_N: I64x1,
    offset_O: I64x1,
    size_O: I64x1,
    multiplier_K: I64x1,
) -> None:
    """Add one for every n-gram that ends at `first`..`last`, of every order that fits before it."""
    for end in range(first, last):
        for o in range(len(size_O)):
            order = o + 2
            if end + 1 < order:
                break
            h = np.int64(0)
            for k in range(order):
                token = np.int64(tokens_T[end + 1 - order + k])
                h = (h * multiplier_K[k % 7] + token) & np.int64(0xFFFFFFFF)
            tables_N[offset_O[o] + h % size_O[o]] += 1


class HashedCounts:
    """Bucket counts of orders 2 to `max_order`, as the published cache keeps them while it counts.

    `tables_N` int64 [N]: all orders' buckets, one order after the other; `size_O`, `offset_O` int64 [orders]: buckets
    of an order and where they begin; `total`: tokens counted. Unlike the exact counts, buckets hold whatever
    collided there: with 24.8 million tokens of order 7 in 524,288 buckets, 47 n-grams each on average.
    """

    def __init__(self, vocab_size: int, max_order: int = 7, buckets: Sequence[int] = ()) -> None:
        """Empty counts. `buckets`: one number an order from 2 on (empty: the published ones).

        Raises NgramError for an order or a number of buckets out of range.
        """
        buckets = tuple(buckets) or default_buckets(max_order)
        if not 2 <= max_order <= 16:
            raise NgramError(f"hashed memory: max_order is {max_order}; give 2 to 16")
        if not 2 <= vocab_size <= 65536:
            raise NgramError(f"hashed memory: the vocabulary size is {vocab_size}; give 2 to 65536")
        if len(buckets) != max_order - 1:
            raise NgramError(
                f"hashed memory: {len(buckets)} numbers of buckets for orders 2 to {max_order}; give "
                f"{max_order - 1}"
            )
        if not all(2 <= size <= MAX_BUCKETS for size in buckets):
            raise NgramError(f"hashed memory: buckets are {list(buckets)}; give 2 to {MAX_BUCKETS} an order")
        self.vocab_size, self.max_order = vocab_size, max_order
        self.size_O = np.array(buckets, np.int64)
        self.offset_O = np.concatenate(([0], np.cumsum(self.size_O)[:-1])).astype(np.int64)
        self.tables_N = np.zeros(int(self.size_O.sum()), np.int64)
        self.total = 0

    def add(self, tokens: NDArray[np.integer[Any]], history: NDArray[np.integer[Any]] | None = None) -> None:
        """Count every n-gram that ends in `tokens` [T]; `history`: the tokens before them, not counted again.

        A document's start is nothing special, as in the published cache. Raises NgramError for a token outside the
        vocabulary; nothing is counted then.
        """
        new = check_tokens(tokens, self.vocab_size, "tokens")
        before = new[:0] if history is None else check_tokens(history, self.vocab_size, "history")
        whole = np.concatenate((before, new)).astype(np.uint16)
        constants = np.array(MULTIPLIERS, np.int64)
        _count(whole, len(before), len(whole), self.tables_N, self.offset_O, self.size_O, constants)
        self.total += len(new)

    def merge(self, other: HashedCounts) -> HashedCounts:
        """The counts of both texts, as one process would have them. NgramError for tables of another shape."""
        return self._combined(other, self.tables_N + self._same(other).tables_N, self.total + other.total)

    def subtract(self, other: HashedCounts) -> HashedCounts:
        """These counts without `other`'s, which must be a part of them. NgramError for tables of another shape,
        or for one that is no part."""
        left_N = self.tables_N - self._same(other).tables_N
        if left_N.size and int(left_N.min()) < 0:
            raise NgramError("hashed memory: what is to be subtracted was not counted; subtract a part of it")
        return self._combined(other, left_N, self.total - other.total)

    def repeated(self, passes: int) -> HashedCounts:
        """What `passes` passes over the same text count: every pass adds the same again."""
        return self._combined(self, self.tables_N * passes, self.total * passes)

    def filled(self, count: int) -> HashedCounts:
        """Tables of the same shape in which every bucket holds `count`, as if nothing had ever been learned."""
        return self._combined(self, np.full_like(self.tables_N, count), 0)

    def clipped(self) -> NDArray[np.uint16]:
        """uint16 [N]: the counts as they are packed."""
        return np.minimum(self.tables_N, LARGEST_COUNT).astype(np.uint16)

    def sha256(self) -> str:
        """Of what is stored: shape and clipped counts."""
        digest = hashlib.sha256(_HEADER.pack(self.vocab_size, self.max_order, len(self.size_O)))
        digest.update(self.size_O.astype("<i8").tobytes())
        digest.update(self.clipped().astype("<u2").tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """The stored form (see the module); counts above 65535 are clipped, as published."""
        raw = self.clipped().astype("<u2").tobytes()
        stream = lzma.compress(raw, check=lzma.CHECK_NONE, preset=9)
        body = (
            _HEADER.pack(zlib.crc32(raw), self.vocab_size, len(self.size_O))
            + self.size_O.astype("<u4").tobytes()
            + stream
        )
        return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def from_bytes(cls, data: bytes) -> HashedCounts:
        """The counts that `to_bytes` stored, clipped; `total` is not stored and 0. NgramError if damaged or foreign."""
        if data[:4] != MAGIC:
            raise NgramError("hashed memory: it does not begin with RgH1; give bytes that to_bytes made")
        body = data[8:]
        if len(body) < _HEADER.size or zlib.crc32(body) != int.from_bytes(data[4:8], "little"):
            raise NgramError(
                "hashed memory: its checksum does not match; it is damaged or cut short, so pack it again"
            )
        checksum, vocab_size, orders = _HEADER.unpack_from(body)
        at = _HEADER.size + 4 * orders
        if not 1 <= orders <= 15 or at > len(body):
            raise NgramError(f"hashed memory: its header states {orders} orders; pack it again")
        sizes = np.frombuffer(body[_HEADER.size : at], "<u4").tolist()
        if not 2 <= vocab_size <= 65536 or not all(2 <= size <= MAX_BUCKETS for size in sizes):
            raise NgramError("hashed memory: its header holds impossible sizes; pack it again")
        raw = _decompressed(body[at:], 2 * sum(sizes))
        if zlib.crc32(raw) != checksum:
            raise NgramError("hashed memory: its tables do not match their checksum; pack it again")
        counts = cls(vocab_size, orders + 1, sizes)
        counts.tables_N[:] = np.frombuffer(raw, "<u2")
        return counts

    def check(self, vocab_size: int, max_order: int, buckets: Sequence[int]) -> None:
        """Raise NgramError if these are not tables of such a vocabulary, order and buckets (empty: published)."""
        wanted = list(buckets) or list(default_buckets(max_order))
        if self.vocab_size != vocab_size or self.size_O.tolist() != wanted:
            raise NgramError(
                f"hashed memory: it is of vocabulary {self.vocab_size} and buckets {self.size_O.tolist()}, not of "
                f"{vocab_size} and {wanted}; pack the run again"
            )

    def _same(self, other: HashedCounts) -> HashedCounts:
        if (self.vocab_size, self.size_O.tolist()) != (other.vocab_size, other.size_O.tolist()):
            raise NgramError(
                f"hashed memory: vocabulary {other.vocab_size} and buckets {other.size_O.tolist()} do not go with "
                f"{self.vocab_size} and {self.size_O.tolist()}; count both with one config and tokenizer"
            )
        return other

    def _combined(self, other: HashedCounts, tables_N: NDArray[np.int64], total: int) -> HashedCounts:
        result = copy.copy(other)
        result.tables_N, result.total = tables_N, total
        return result


def _decompressed(stream: bytes, size: int) -> bytes:
    """Exactly `size` bytes out of an .xz stream that ends with them; never more than that is made."""
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28)
    try:
        raw = reader.decompress(stream, max_length=size + 1)
        if not reader.eof and len(raw) == size:
            raw += reader.decompress(b"", max_length=1)
    except lzma.LZMAError as error:
        raise NgramError(f"hashed memory: its tables do not decompress ({error}); pack it again") from error
    if len(raw) != size or not reader.eof or reader.unused_data:
        raise NgramError("hashed memory: its tables are shorter or longer than stated; pack it again")
    return raw
