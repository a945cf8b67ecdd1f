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

The stream (see `table_coder`) holds the V unigram counts and then, for orders 2..N in turn:

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

import math
import struct
import zlib
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.varints import decode_varint, encode_varint
from regrow.ngram.counts.ngram_counts import ORDER_LIMIT, VOCAB_LIMIT
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store import bit_coder
from regrow.ngram.store import table_coder as tc
from regrow.ngram.store.adaptive_bits import Coder
from regrow.ngram.store.linked_ngrams import (
    I32,
    U32,
    Grams,
    Order,
    extensions,
    first_heads,
    first_order,
    lower_links,
    starts,
)
from regrow.ngram.store.model_from_ngrams import model_of

MAGIC = b"RgN1"
EXACT = 31  # as mantissa: counts are stored whole
_NGRAMS_PER_BYTE = 1 << 12
_INDEX_LIMIT = 2**31 - 1


def encode_table(grams: Grams, discounts: Sequence[Sequence[float]], mantissa: int = EXACT) -> bytes:
    """The table form of n-grams whose every context is an n-gram (`pruning.closed`); the same on every machine.

    `mantissa` 1..31: counts are rounded to that many bits after the leading one (at 4, by at most 3 %); 31 keeps them
    whole. `discounts` as in `model_from_ngrams.model_of`; they are stored as float32.
    Raises NgramError for grams that are not closed, or discounts that a distribution cannot have.
    """
    if not 1 <= mantissa <= EXACT:
        raise NgramError(f"table form: the mantissa is {mantissa}; give 1 to {EXACT} bits")
    if not _possible(discounts, grams.max_order):
        raise NgramError(
            "table form: discounts must be above 0 and at most the count they are taken from; estimate them"
        )
    if any(len(o.head_C) and int(o.head_C.min()) < 0 for o in grams.orders[2:]):
        raise NgramError("table form: a context is no n-gram of the order below; close the n-grams first")
    if mantissa < EXACT:
        grams = _rounded(grams, mantissa)
    rests = any(order.rest_C.any() for order in grams.orders[1:])
    size = max(1 << 17, 2 * grams.entries)
    while True:
        coder = Coder.over(np.zeros(size, np.uint8), tc.SLOTS, mantissa, decode=False)
        _code(coder, grams, [order.entries for order in grams.orders], rests)
        if int(coder.state[3]) + 4 <= size:
            break
        size *= 4
    stream = bit_coder.finish(coder.stream, coder.state)
    head = bytes((grams.max_order, mantissa, rests)) + encode_varint(grams.vocab_size)
    head += b"".join(bytes((len(d),)) + struct.pack(f"<{len(d)}f", *d) for d in discounts)
    head += b"".join(encode_varint(order.entries) for order in grams.orders)
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
        or sum(entries) > min(_INDEX_LIMIT, _NGRAMS_PER_BYTE * len(data))
        or any(n > vocab * m for n, m in zip(entries[1:], [vocab, *entries[1:]], strict=False))
    ):  # fmt: skip
        _impossible()
    coder = Coder.over(np.frombuffer(bytearray(body[at:]), np.uint8), tc.SLOTS, mantissa, decode=True)
    grams = Grams(vocab, [])
    _code(coder, grams, entries, bool(rests))
    if int(coder.state[3]) != len(coder.stream) or _content_crc(grams) != int.from_bytes(body[:4], "little"):
        raise NgramError("table form: what was decoded does not match its checksum; pack it again")
    return grams, discounts


def _rounded(grams: Grams, mantissa: int) -> Grams:
    """Counts and rests as a table of that mantissa holds them."""
    orders = [
        order._replace(value_E=_round(order.value_E, mantissa), rest_C=_round(order.rest_C, mantissa))
        for order in grams.orders[1:]
    ]
    return Grams(grams.vocab_size, [grams.orders[0], *orders])


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


def _code(coder: Coder, grams: Grams, entries: list[int], rests: bool) -> None:
    """Codes the stream; when decoding, `grams` is empty and gets its orders."""
    vocab, top, given = grams.vocab_size, len(entries), [] if coder.decode else grams.orders
    unigram = np.zeros(vocab, np.uint32)
    if given:
        unigram[given[0].token_E] = given[0].value_E
    tc.unigrams(unigram, coder)
    below = given[0] if given else first_order(unigram)
    if below.entries != entries[0]:
        _impossible()
    made = [below]
    oldest, head = np.arange(vocab).astype(np.uint16), first_heads(vocab, below)
    exact = _exact(coder, below, given[1] if given and top > 1 else None)
    for n in range(2, top + 1):
        coder.forget()
        order = given[n - 1] if given else _empty(n, oldest, head, entries[n - 1])
        above = given[n] if given and n < top else None
        heads = np.zeros(order.contexts, np.uint32)
        heads[order.head_C >= 0] = below.value_E[order.head_C[order.head_C >= 0]]
        if tc.members(below, order, exact, heads, coder) != entries[n - 1]:
            _impossible()
        if not given:
            order = order._replace(lower_E=lower_links(vocab, below, order.start_C1, order.token_E))
        flag = np.zeros(order.entries, np.uint8)
        if n < top:
            if above is not None:
                flag[above.head_C] = 1
            extended = extensions(below.entries, order)
            tc.flags(below, order, heads, extended, flag, coder)
            if not given:
                child_start, oldest, head = _contexts(order, extended, flag)
                order = order._replace(child_start_C1=child_start)
        exact = _exact(coder, order, above)
        if tc.values(below, order, exact, heads, flag, coder):
            _impossible()
        if rests and tc.rests(order, heads, coder):
            _impossible()
        made.append(order)
        below = order
    grams.orders[:] = made


def _empty(n: int, oldest: NDArray[np.uint16], head: I32, entries: int) -> Order:
    contexts = len(oldest)
    return Order(
        n, np.zeros(contexts + 1, np.int32), oldest, np.zeros(entries, np.uint16), np.zeros(entries, np.uint32),
        np.zeros(contexts, np.uint32), np.zeros(contexts + 1, np.int32), np.empty(0, np.int32), head,
    )  # fmt: skip


def _contexts(order: Order, extended: I32, flag: NDArray[np.uint8]) -> tuple[I32, NDArray[np.uint16], I32]:
    """The contexts of the order above: where each parent's begin, their oldest tokens, the n-grams they are."""
    chosen = np.flatnonzero(flag)
    parent = extended[order.lower_E[chosen]]
    sizes = np.bincount(parent, minlength=order.contexts)
    # Stable: the n-grams of one parent come by ascending oldest token already.
    head = chosen[np.argsort(parent, kind="stable")].astype(np.int32)
    context = np.searchsorted(order.start_C1, head, side="right") - 1
    return starts(sizes), order.oldest_C[context], head


def _exact(coder: Coder, order: Order, above: Order | None) -> NDArray[np.uint8]:
    """Codes of each context with children whether its values say in how many of them each token stands."""
    exact = np.zeros(order.contexts, np.uint8)
    if above is not None:
        implied = np.bincount(above.lower_E, minlength=order.entries)
        exact[:] = 1
        exact[order.context_E[implied != order.value_E]] = 0
    tc.exacts(order, exact, coder)
    return exact


def _content_crc(grams: Grams) -> int:
    crc = 0
    for o in grams.orders:
        for array, kind in ((o.start_C1, "<i4"), (o.token_E, "<u2"), (o.value_E, "<u4"), (o.rest_C, "<u4")):
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
