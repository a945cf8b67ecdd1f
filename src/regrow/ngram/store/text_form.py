"""The n-gram memory's text form: the training tokens themselves, compressed; counts are regrown at load.

Layout (integers little-endian; a varint is base 128, low group first):

    bytes 0-3   b"RgT1"
    bytes 4-7   CRC-32 of everything that follows
    bytes 8-11  CRC-32 of the decoded tokens as little-endian uint16
    varint      vocabulary size, 2..65536
    varint      number of tokens T
    varint      bytes of the code lengths, coded by the same model over a flat tree of 32 symbols
    ...         the code length of every token of the vocabulary (0: absent), which fixes the Huffman tree
    ...         the tokens

With b"RgT2" the tokens are two halves, of T / 2 (rounded down) and the rest, neither of which is coded with the other's
help, so two cores decode them in half the time. Before them stands how many bytes the first takes:

    varint      bytes of the first half
    ...         the first half, then the second

Forbidden: bytes after the tokens; a code-length list that is not a full prefix code; two halves of fewer than two
different tokens. The first checksum is verified before anything is allocated or decoded; the second guards against a
decoder unlike the encoder.
"""

from __future__ import annotations

import heapq
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.varints import decode_varint, encode_varint
from regrow.ngram.store import bit_coder
from regrow.ngram.store.bit_coder import Bytes
from regrow.ngram.store.text_coder import Model, Tree, code_tokens

MAGIC, MAGIC_HALVES = b"RgT1", b"RgT2"
MAX_TOKENS = 1 << 31
# Of each token of a text: to decode and count it, on two cores (dev/LOG.md, 2026-11-24).
LOAD_SECONDS = 1.7e-6
# Tokens: below, a second of decoding is not worth two models that each learn from less.
_WORTH_HALVING = 1 << 19

Tokens = NDArray[np.uint16]


def encode_tokens(tokens: Tokens, vocab_size: int, *, halves: bool = False) -> bytes:
    """The text form of `tokens` uint16[T], each below `vocab_size` (2..65536); the same on every machine.

    `halves`: as two that decode side by side, for a few per cent more bytes. Raises NgramError for a vocabulary size
    out of range, tokens of another type, or a token at or above it.
    """
    if not 2 <= vocab_size <= 65536:
        raise NgramError(f"text form: the vocabulary size is {vocab_size}; give one from 2 to 65536")
    if tokens.dtype != np.uint16 or tokens.ndim != 1:
        raise NgramError(f"text form: tokens are {tokens.dtype} of {tokens.ndim} axes; give uint16 of 1")
    if tokens.size >= MAX_TOKENS:
        raise NgramError(f"text form: {tokens.size} tokens; store fewer than {MAX_TOKENS}")
    tokens = np.array(tokens, order="C")
    if tokens.size and int(tokens.max()) >= vocab_size:
        raise NgramError(f"text form: token {int(tokens.max())} is outside the vocabulary of {vocab_size}")
    counts = np.bincount(tokens, minlength=vocab_size)
    lengths = _code_lengths(counts)
    coded_lengths = _run_encoder(lengths.astype(np.uint16), _tree(_FLAT))
    body = [
        _crc32(tokens).to_bytes(4, "little"),
        encode_varint(vocab_size),
        encode_varint(tokens.size),
        encode_varint(len(coded_lengths)),
        coded_lengths,
    ]
    halves = halves and bool(np.count_nonzero(counts) > 1)
    if halves:
        tree = _tree(lengths)
        with ThreadPoolExecutor(1) as other:
            second = other.submit(_run_encoder, tokens[tokens.size // 2 :], tree)
            first = _run_encoder(tokens[: tokens.size // 2], tree)
            body += [encode_varint(len(first)), first, second.result()]
    elif np.count_nonzero(counts) > 1:
        body.append(_run_encoder(tokens, _tree(lengths)))
    joined = b"".join(body)
    return (MAGIC_HALVES if halves else MAGIC) + zlib.crc32(joined).to_bytes(4, "little") + joined


def encode_within(tokens: Tokens, vocab_size: int, bytes_left: int) -> bytes:
    """`encode_tokens` in halves where that is worth it and fits into `bytes_left`, else as one, which may not fit."""
    if tokens.size >= _WORTH_HALVING:
        stored = encode_tokens(tokens, vocab_size, halves=True)
        if len(stored) <= bytes_left:
            return stored
    return encode_tokens(tokens, vocab_size)


def decode_tokens(data: bytes) -> Tokens:
    """The tokens uint16[T] that `encode_tokens` stored in `data`; NgramError if it is damaged or foreign."""
    if data[:4] not in (MAGIC, MAGIC_HALVES):
        raise NgramError("text form: it does not begin with RgT1 or RgT2; give bytes that encode_tokens made")
    halves, body = data[:4] == MAGIC_HALVES, data[8:]
    if len(data) < 12 or zlib.crc32(body) != int.from_bytes(data[4:8], "little"):
        raise NgramError(
            "text form: its checksum does not match; it is damaged or cut short, so pack it again"
        )
    n_first = 0
    try:
        vocab_size, at = decode_varint(body, 4)
        n_tokens, at = decode_varint(body, at)
        n_lengths, at = decode_varint(body, at)
        start = at + n_lengths
        if halves:
            n_first, start = decode_varint(body, start)
    except ValueError as error:
        raise NgramError("text form: its header is cut short; fetch or pack it again") from error
    if not 2 <= vocab_size <= 65536 or n_tokens >= MAX_TOKENS or start + n_first > len(body):
        raise NgramError("text form: its header holds impossible sizes; pack it again")
    stream = np.frombuffer(bytearray(body), np.uint8)
    lengths = _run_decoder(stream[at : at + n_lengths], vocab_size, _tree(_FLAT)).astype(np.uint8)
    n_symbols = int(np.count_nonzero(lengths))
    if not _is_prefix_code(lengths) or (n_symbols == 0) != (n_tokens == 0):
        raise NgramError("text form: its code lengths are not a prefix code; pack it again")
    if halves and n_symbols < 2:
        raise NgramError("text form: it has halves without tokens to tell apart; pack it again")
    if halves:
        tree, middle = _tree(lengths), start + n_first
        with ThreadPoolExecutor(1) as other:
            second = other.submit(_run_decoder, stream[middle:], n_tokens - n_tokens // 2, tree)
            first = _run_decoder(stream[start:middle], n_tokens // 2, tree)
            tokens = np.concatenate((first, second.result()))
    elif n_symbols > 1:
        tokens = _run_decoder(stream[start:], n_tokens, _tree(lengths))
    else:
        tokens = np.full(n_tokens, int(lengths.argmax()), np.uint16)
    if _crc32(tokens) != int.from_bytes(body[:4], "little"):
        raise NgramError("text form: the decoded tokens do not match their checksum; pack it again")
    return tokens


def _run_encoder(tokens: Tokens, tree: Tree) -> bytes:
    # No decision costs more than 13 bits (the coder's smallest probability is 16 / 65536).
    size = int(tree.length[tokens].sum(dtype=np.int64)) * 13 // 8 + 64
    stream = np.zeros(size, np.uint8)
    state = bit_coder.start(stream, decode=False)
    code_tokens(False, tokens, stream, state, tree, Model.fresh(tokens.size, tree.child.size // 2))
    return bit_coder.finish(stream, state)


def _run_decoder(stream: Bytes, n_tokens: int, tree: Tree) -> Tokens:
    tokens: Tokens = np.zeros(n_tokens, np.uint16)
    state = bit_coder.start(stream, decode=True)
    code_tokens(True, tokens, stream, state, tree, Model.fresh(n_tokens, tree.child.size // 2))
    if int(state[3]) != stream.size:
        raise NgramError("text form: its coded tokens end too early or too late; pack it again")
    return tokens


def _code_lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Huffman code lengths uint8[V] of counts int64[V]; 0 for absent tokens, 1 for a token that is alone.

    Counts are raised to at least a 2^20th of the total, which keeps every path at 31 decisions or fewer.
    """
    lengths = np.zeros(counts.size, np.uint8)
    present = np.flatnonzero(counts)
    if present.size == 1:
        lengths[present] = 1
    if present.size < 2:
        return lengths
    floor = int(counts.sum()) >> 20
    # (count, node): ties go to the older node, so the tree is a function of the counts alone.
    heap = [(max(int(counts[token]), floor), i) for i, token in enumerate(present)]
    heapq.heapify(heap)
    parent = np.zeros(2 * present.size - 1, np.int64)
    for node in range(present.size, 2 * present.size - 1):
        (a, i), (b, j) = heapq.heappop(heap), heapq.heappop(heap)
        parent[i] = parent[j] = node
        heapq.heappush(heap, (a + b, node))
    depth = np.zeros(parent.size, np.int64)
    for node in range(parent.size - 2, -1, -1):
        depth[node] = depth[parent[node]] + 1
    lengths[present] = depth[: present.size]
    return lengths


def _is_prefix_code(lengths: NDArray[np.uint8]) -> bool:
    """Whether code lengths fill the code space exactly (or are of no token, or one)."""
    used = lengths[lengths > 0].astype(np.int64)
    if used.size < 2:
        return bool((used == 1).all())
    return int((1 << (32 - used)).sum()) == 1 << 32


def _tree(lengths: NDArray[np.uint8]) -> Tree:
    """The canonical tree of code lengths uint8[V]: shorter paths first, then lower tokens."""
    code = np.zeros(lengths.size, np.uint32)
    present = np.flatnonzero(lengths)
    child = np.zeros(2 * max(present.size - 1, 1), np.int32)
    order = present[np.argsort(lengths[present], kind="stable")]
    made = 1
    path = 0
    previous = 0
    for token in order.tolist():
        length = int(lengths[token])
        path <<= length - previous
        previous = length
        code[token] = path
        node = 0
        for d in range(length - 1, 0, -1):
            edge = 2 * node + (path >> d & 1)
            if child[edge] == 0:
                child[edge] = made
                made += 1
            node = int(child[edge])
        child[2 * node + (path & 1)] = ~token
        path += 1
    return Tree(length=lengths, code=code, child=child)


_FLAT = np.full(32, 5, np.uint8)


def _crc32(tokens: Tokens) -> int:
    return zlib.crc32(tokens.astype("<u2", copy=False).tobytes())
