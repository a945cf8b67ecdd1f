"""The n-gram memory's table form: the n-grams with their counts, entropy-coded along the backoff trie.

Layout (integers little-endian; a varint is base 128, low group first):

    bytes 0-3   b"RgN1"
    bytes 4-7   CRC-32 of everything that follows
    bytes 8-11  CRC-32 of what was decoded: each order's starts, tokens, counts and rests as little-endian integers
    byte        longest order N, 1..16
    byte        M: a count above 2^M keeps M bits after its leading one (31: all counts are exact)
    byte        1 if contexts have rests (something was pruned), else 0
    varint      vocabulary size V, 2..65536
    N times     of each order: a byte K >= 1 and K float32, the discounts of counts 1..K; the last holds above K
    N times     varint: n-grams of each order 1..N
    ...         the coded stream, to the end

The stream (see `regrow.ngram.store.table_coder`) holds the V unigram counts and then, for orders 2..N in turn:

1. how many n-grams each context has, and which. They are a subset of those of its parent, the context without its
   oldest token, so each is one decision, predicted from the count below and from what the siblings took already; where
   counts say in how many children a token stands (Kneser-Ney's do, unless pruned: step 3), many decisions are forced;
2. which n-grams are contexts of the order above (a context is an n-gram of the order below; nearly all are, unless
   pruned), so contexts are never stored by name;
3. of each context with children, whether its counts say in how many of them each token stands; and the counts,
   predicted from the order below and the context's own count, or from its children where they count those;
4. the rests, what was counted after a context of n-grams not stored: their mass goes to the order below.

The weight that a context leaves to the order below is computed from these, so every distribution sums to 1.

Forbidden: bytes after the stream, more than 2^12 n-grams a byte, a context without n-grams above order 2.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.varints import decode_varint, encode_varint
from regrow.ngram.counts.ngram_counts import ORDER_LIMIT, VOCAB_LIMIT
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store import table_coder as tm
from regrow.ngram.store.linked_ngrams import I32, U32, Grams, Shelf, extensions, lower_links, root_shelf
from regrow.ngram.store.model_from_ngrams import model_of

MAGIC = b"RgN1"
EXACT = 31  # as mantissa: counts are stored whole
_ENTRIES_A_BYTE = 1 << 12
_INDEX_LIMIT = 2**31 - 1
Bits = NDArray[np.float64]


@dataclasses.dataclass
class _Coder:
    """One pass over a stream, in either direction."""

    decode: bool
    stream: NDArray[np.uint8]
    mantissa: int
    probs: NDArray[np.uint32]
    state: NDArray[np.int64]
    tables: NDArray[np.int64]

    @classmethod
    def over(cls, stream: NDArray[np.uint8], mantissa: int, *, decode: bool) -> _Coder:
        state = np.array([0, 0xFFFFFFFF, 0, 0], np.int64)
        if decode:
            state[2] = int.from_bytes(stream[:4].tobytes().ljust(4, b"\0"), "big")
            state[3] = 4
        return cls(decode, stream, mantissa, tm.fresh_probs(), state, tm.tables())

    @property
    def tail(self) -> tuple[Any, ...]:
        return self.probs, self.state, self.stream, self.tables

    def forget(self) -> None:
        self.probs = tm.fresh_probs()


def encode_table(
    grams: Grams,
    discounts: Sequence[Sequence[float]],
    mantissa: int = EXACT,
    cost: Sequence[Bits] = (),
) -> bytes:
    """The table form of n-grams whose every context is an n-gram (`pruning.closed`); the same on every machine.

    `mantissa` 1..31: counts are rounded to that many bits after the leading one (at 4, by at most 3 %); 31 keeps them
    whole. `discounts` as in `model_from_ngrams.model_of`; they are stored as float32. `cost[n - 1]`: float64 of the
    contexts of order n (below the longest), to which the bits that their children took are added; for pricing.
    Raises NgramError for grams that are not closed, or discounts that a distribution cannot have.
    """
    if not 1 <= mantissa <= EXACT:
        raise NgramError(f"table form: the mantissa is {mantissa}; give 1 to {EXACT} bits")
    if not _possible(discounts, grams.max_order):
        raise NgramError(
            "table form: discounts must be above 0 and at most the count they are taken from; estimate them"
        )
    if any(len(s.head_C) and int(s.head_C.min()) < 0 for s in grams.shelves[2:]):
        raise NgramError("table form: a context is no n-gram of the order below; close the n-grams first")
    if mantissa < EXACT:
        grams = rounded(grams, mantissa)
    rests = any(shelf.rest_C.any() for shelf in grams.shelves[1:])
    room = 1 << 16
    while True:
        room = room * 4 if room > 1 << 16 else max(1 << 17, 2 * grams.entries)
        for bits in cost:
            bits[:] = 0
        coder = _Coder.over(np.zeros(room, np.uint8), mantissa, decode=False)
        _code(coder, grams, [s.entries for s in grams.shelves], rests, cost)
        used = int(coder.state[3])
        if used + 4 <= room:
            break
    stream = coder.stream[:used].tobytes() + int(coder.state[1]).to_bytes(4, "big")
    head = bytes((grams.max_order, mantissa, rests)) + encode_varint(grams.vocab_size)
    head += b"".join(bytes((len(d),)) + struct.pack(f"<{len(d)}f", *d) for d in discounts)
    head += b"".join(encode_varint(shelf.entries) for shelf in grams.shelves)
    body = _content_crc(grams).to_bytes(4, "little") + head + stream
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def decode_table(data: bytes) -> NgramModel:
    """The model that `encode_table` stored; NgramError if the bytes are damaged or foreign."""
    grams, discounts = decode_grams(data)
    return model_of(grams, discounts)


def decode_grams(data: bytes) -> tuple[Grams, list[tuple[float, ...]]]:
    """The n-grams, counts and discounts that `encode_table` stored; NgramError if damaged or foreign."""
    if data[:4] != MAGIC:
        raise NgramError("table form: it does not begin with RgN1; give bytes that encode_table made")
    body = data[8:]
    if len(data) < 20 or zlib.crc32(body) != int.from_bytes(data[4:8], "little"):
        raise NgramError(
            "table form: its checksum does not match; it is damaged or cut short, so pack it again"
        )
    order, mantissa, rests = body[4:7]
    if not 1 <= order <= ORDER_LIMIT or not 1 <= mantissa <= EXACT or rests > 1:
        _impossible()
    vocab, at = _number(body, 7)
    discounts = []
    for _ in range(order):
        size = body[at] if at < len(body) else 0
        if not size or at + 1 + 4 * size > len(body):
            _impossible()
        discounts.append(struct.unpack_from(f"<{size}f", body, at + 1))
        at += 1 + 4 * size
    entries = []
    for _ in range(order):
        number, at = _number(body, at)
        entries.append(number)
    if (
        not 2 <= vocab <= VOCAB_LIMIT or entries[0] > vocab or not _possible(discounts, order)
        or sum(entries) > min(_INDEX_LIMIT, _ENTRIES_A_BYTE * len(data))
        or any(n > vocab * m for n, m in zip(entries[1:], [vocab, *entries[1:]], strict=False))
    ):  # fmt: skip
        _impossible()
    coder = _Coder.over(np.frombuffer(bytearray(body[at:]), np.uint8), mantissa, decode=True)
    grams = Grams(vocab, [root_shelf(np.zeros(vocab, np.uint32))])
    _code(coder, grams, entries, bool(rests), ())
    if int(coder.state[3]) != len(coder.stream) or _content_crc(grams) != int.from_bytes(body[:4], "little"):
        raise NgramError("table form: what was decoded does not match its checksum; pack it again")
    return grams, discounts


def rounded(grams: Grams, mantissa: int) -> Grams:
    """Counts and rests as a table of that mantissa holds them."""
    shelves = [
        dataclasses.replace(s, value_E=_round(s.value_E, mantissa), rest_C=_round(s.rest_C, mantissa))
        for s in grams.shelves
    ]
    shelves[0] = grams.shelves[0]
    return Grams(grams.vocab_size, shelves)


def _round(value: U32, mantissa: int) -> U32:
    """To the nearest number of at most `mantissa` bits after the leading one; 0 stays 0."""
    wide = value.astype(np.int64)
    length = np.zeros(len(wide), np.int64)
    for shift in (16, 8, 4, 2, 1):
        over = wide >> (length + shift) > 0
        length[over] += shift
    shift_E = np.maximum(length - mantissa, 0)
    half = np.where(shift_E > 0, 1 << np.maximum(shift_E - 1, 0), 0)
    up = (wide + half) >> shift_E << shift_E
    result: U32 = np.minimum(up, (2**32 - 1) >> shift_E << shift_E).astype(np.uint32)
    return result


def _code(coder: _Coder, grams: Grams, entries: list[int], rests: bool, cost: Sequence[Bits]) -> None:
    """Codes the stream; when decoding, `grams` has its root alone and gets its shelves."""
    unigram = np.zeros(grams.vocab_size, np.uint32)
    if not coder.decode:
        unigram[grams.shelves[0].token_E] = grams.shelves[0].value_E
    tm.numbers_kernel()(coder.decode, unigram, tm.REST, *coder.tail)
    if coder.decode:
        grams.shelves[0] = root_shelf(unigram)
        if grams.shelves[0].entries != entries[0]:
            _impossible()
    below = grams.shelves[0]
    oldest = np.arange(grams.vocab_size).astype(np.uint16)
    head = np.full(grams.vocab_size, -1, np.int32)
    head[below.token_E] = np.arange(below.entries)
    top = len(entries)
    exact = _exact(coder, below, grams.shelves[1] if top > 1 and not coder.decode else None)
    for order in range(2, top + 1):
        coder.forget()
        shelf = _empty(order, oldest, head, entries[order - 1]) if coder.decode else grams.shelves[order - 1]
        bits = cost[order - 2] if cost else np.empty(0)
        heads = np.zeros(shelf.contexts, np.uint32)
        heads[shelf.head_C >= 0] = below.value_E[shelf.head_C[shelf.head_C >= 0]]
        made = tm.members_kernel()(
            coder.decode, 0 if order == 2 else 1, below.start_C1, below.token_E, below.value_E, exact,
            below.child_start_C1, heads, shelf.start_C1, shelf.token_E, np.zeros(grams.vocab_size, np.int32), bits,
            *coder.tail,
        )  # fmt: skip
        if made != entries[order - 1]:
            _impossible()
        if coder.decode:
            shelf.lower_E = lower_links(grams.vocab_size, below, shelf.start_C1, shelf.token_E)
        flag = np.zeros(shelf.entries, np.uint8)
        if order < top:
            if not coder.decode:
                flag[grams.shelves[order].head_C] = 1
            extended = extensions(below.entries, shelf)
            tm.flags_kernel()(
                coder.decode, shelf.start_C1, shelf.lower_E, below.value_E, heads, extended, flag, *coder.tail
            )
            if coder.decode:
                shelf.child_start_C1, oldest, head = _contexts(shelf, extended, flag)
        exact = _exact(coder, shelf, grams.shelves[order] if order < top and not coder.decode else None)
        if tm.values_kernel()(
            coder.decode, coder.mantissa, below.start_C1, below.value_E, below.rest_C,
            below.child_start_C1, shelf.start_C1, shelf.lower_E, shelf.child_start_C1, exact, heads, flag,
            shelf.value_E, bits, *coder.tail,
        ):  # fmt: skip
            _impossible()
        if rests and tm.rests_kernel()(
            coder.decode, coder.mantissa, shelf.start_C1, shelf.value_E, heads, shelf.rest_C, *coder.tail
        ):
            _impossible()
        if coder.decode:
            grams.shelves.append(shelf)
        below = shelf


def _empty(order: int, oldest: NDArray[np.uint16], head: I32, entries: int) -> Shelf:
    contexts = len(oldest)
    return Shelf(
        order, np.zeros(contexts + 1, np.int32), oldest, np.zeros(entries, np.uint16), np.zeros(entries, np.uint32),
        np.zeros(contexts, np.uint32), np.zeros(contexts + 1, np.int32), np.empty(0, np.int32), head,
    )  # fmt: skip


def _contexts(shelf: Shelf, extended: I32, flag: NDArray[np.uint8]) -> tuple[I32, NDArray[np.uint16], I32]:
    """The contexts of the order above: where each parent's begin, their oldest tokens, the n-grams they are."""
    chosen = np.flatnonzero(flag)
    parent = extended[shelf.lower_E[chosen]]
    # Stable: the n-grams of one parent come by ascending oldest token already.
    order = np.argsort(parent, kind="stable")
    sizes = np.bincount(parent, minlength=shelf.contexts)
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    head = chosen[order].astype(np.int32)
    context = np.searchsorted(shelf.start_C1, head, side="right") - 1
    return starts, shelf.oldest_C[context], head


def _exact(coder: _Coder, shelf: Shelf, above: Shelf | None) -> NDArray[np.uint8]:
    """Codes of each context with children whether its values say in how many of them each token stands."""
    exact = np.zeros(shelf.contexts, np.uint8)
    if above is not None:
        implied = np.bincount(above.lower_E, minlength=shelf.entries)
        exact[:] = 1
        exact[np.repeat(np.arange(shelf.contexts), np.diff(shelf.start_C1))[implied != shelf.value_E]] = 0
    tm.exacts_kernel()(coder.decode, shelf.start_C1, shelf.child_start_C1, exact, *coder.tail)
    return exact


def _content_crc(grams: Grams) -> int:
    crc = 0
    for s in grams.shelves:
        for array, kind in ((s.start_C1, "<i4"), (s.token_E, "<u2"), (s.value_E, "<u4"), (s.rest_C, "<u4")):
            crc = zlib.crc32(np.ascontiguousarray(array, kind).data, crc)
    return crc


def _possible(discounts: Sequence[Sequence[float]], order: int) -> bool:
    """Whether there is a table an order, and each discount takes something of a count and not more than it."""
    return len(discounts) == order and all(
        0 < len(table) < 256 and all(math.isfinite(d) and 0 < d <= i for i, d in enumerate(table, 1))
        for table in discounts
    )


def _number(body: bytes, at: int) -> tuple[int, int]:
    try:
        return decode_varint(body, at)
    except ValueError:
        _impossible()


def _impossible() -> NoReturn:
    raise NgramError("table form: its header or its stream is impossible; pack it again")
