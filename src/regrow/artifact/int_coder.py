"""Entropy coding of arrays of small integers: quantised weights, their scales, tables of metadata.

The symbols are range coded with an adaptive model made of integers alone, so no table is stored and every
machine decodes the same. Blocks grow with what is already coded, and each is coded with frequencies made from
the counts before it. Those counts are pulled towards their own moving average, which is what makes a few
thousand weights enough to learn 255 frequencies; the encoder tries four strengths of that pull and stores the
best.

The bytes of an array, numbers being LEB128 varints:

    format (1 byte), dtype (1 byte), dimensions, each dimension, lowest value (zigzag), span (highest less
    lowest), strength of each plane (1 byte each), number of words, the words (little-endian, 4 bytes each),
    CRC-32 of everything before it (4 bytes, little-endian)

Values less the lowest are one plane when the span is below 4,096, else planes of 8 bits, the low ones first.
Order means nothing to the model: of a sorted table, code the differences.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow.artifact.range_coder import TOTAL, RangeDecoder, RangeEncoder
from regrow.core.errors import ArtifactError, StreamError
from regrow.core.varints import decode_varint, encode_varint

FORMAT = 1
MAX_ENTRIES = 1 << 25  # of one array; a damaged size is refused before anything of it is allocated
_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
_MAX_DIMENSIONS = 8
_MAX_ALPHABET = 4096
_FIRST_BLOCK = 32
_BLOCK_SHARE = 4  # a block is a quarter of all that came before it
_STRENGTHS = (0, 1, 8, 64)  # pseudo-counts that the moving average adds, per symbol of the alphabet
_WINDOW_SHARE = 16  # the moving average reaches a sixteenth of the alphabet to either side
_UNIT_BITS = 10  # a count is 2^10 units: their sum stays below 2^37, times 2^24 below 2^61

IntArray = npt.NDArray[np.integer[Any]]


def encode_ints(array: IntArray) -> bytes:
    """The coded bytes of an int8, uint8, int16, uint16, int32 or uint32 array of up to 8 dimensions.

    Raises ValueError for another dtype, more dimensions or more than 2^25 entries.
    """
    if array.dtype.name not in _DTYPES or array.ndim > _MAX_DIMENSIONS or array.size > MAX_ENTRIES:
        raise ValueError(f"cannot code an array of {array.dtype} and shape {array.shape}")
    lowest = int(array.min()) if array.size else 0
    span = int(array.max()) - lowest if array.size else 0
    values = array.astype(np.int64).ravel() - lowest
    coder = RangeEncoder()
    strengths = bytearray()
    for shift, alphabet in _planes(span):
        symbols = ((values >> shift) % alphabet).astype(np.int32)
        strengths.append(min(range(len(_STRENGTHS)), key=lambda index: _cost(symbols, alphabet, index)))
        model = _AdaptiveModel(alphabet, strengths[-1])
        for start, stop in _blocks(symbols.size):
            frequency_A = model.frequencies()
            chosen = symbols[start:stop]
            coder.push((np.cumsum(frequency_A) - frequency_A)[chosen], frequency_A[chosen])
            model.learn(symbols[start:stop])
    words = coder.words()
    head = [array.ndim, *array.shape, 2 * lowest if lowest >= 0 else -2 * lowest - 1, span]
    body = b"".join(
        [
            bytes([FORMAT, _DTYPES.index(array.dtype.name)]),
            *map(encode_varint, head),
            bytes(strengths),
            encode_varint(words.size),
            words.astype("<u4").tobytes(),
        ]
    )
    return body + zlib.crc32(body).to_bytes(4, "little")


def decode_ints(data: bytes | memoryview, *, name: str = "coded array") -> IntArray:
    """The array that `encode_ints` coded. `name` is for error messages.

    Raises ArtifactError for bytes that are damaged, cut, longer than the array, or of another format.
    """
    if len(data) < 5 or data[0] != FORMAT:
        raise _damaged(name, f"does not start as a coded array of format {FORMAT}")
    reader = _Reader(memoryview(data), 1, name)
    dtype = _DTYPES[reader.byte(len(_DTYPES))]
    dimensions = reader.varint(_MAX_DIMENSIONS)
    shape = tuple(reader.varint(MAX_ENTRIES) for _ in range(dimensions))
    size = math.prod(shape)
    if size > MAX_ENTRIES:
        raise _damaged(name, f"says it has {size} entries, above {MAX_ENTRIES}")
    folded = reader.varint(1 << 33)
    lowest = folded // 2 if folded % 2 == 0 else -(folded + 1) // 2
    span = reader.varint(1 << 32)
    if lowest < np.iinfo(dtype).min or lowest + span > np.iinfo(dtype).max:
        raise _damaged(name, f"says it has values that {dtype} cannot hold")
    planes = [(shift, alphabet, reader.byte(len(_STRENGTHS))) for shift, alphabet in _planes(span)]
    words = reader.take(4 * reader.varint(len(data)))
    checksum = zlib.crc32(data[: reader.position])
    if checksum != int.from_bytes(reader.take(4), "little"):
        raise _damaged(name, "does not match its checksum")
    if reader.position != len(data):
        raise _damaged(name, f"has {len(data) - reader.position} bytes after its end")
    coder = RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))
    values = np.full(size, lowest, dtype=np.int64)
    for shift, alphabet, strength in planes:
        model = _AdaptiveModel(alphabet, strength)
        for start, stop in _blocks(size):
            try:
                symbols = coder.pop_same(model.frequencies(), stop - start)
            except StreamError as invalid:
                raise _damaged(name, "has words that no encoder wrote") from invalid
            model.learn(symbols)
            values[start:stop] += symbols.astype(np.int64) << shift
    if not coder.exhausted() or (size and values.max() > lowest + span):
        raise _damaged(name, "does not decode to what its header says")
    return values.astype(dtype).reshape(shape)


class _AdaptiveModel:
    """Frequencies of the next block from the counts of the blocks before it, in integers alone."""

    def __init__(self, alphabet: int, strength: int) -> None:
        self._counts = np.zeros(alphabet, dtype=np.int64)
        self._seen = 0
        self._pseudo_counts = _STRENGTHS[strength] * alphabet
        index = np.arange(alphabet)
        reach = max(1, alphabet // _WINDOW_SHARE)
        self._low = np.maximum(index - reach, 0)
        self._high = np.minimum(index + reach + 1, alphabet)

    def weights(self) -> npt.NDArray[np.int64]:
        """Frequencies out of 2^24 less one each, so that none is 0; they sum to 2^24 - alphabet exactly."""
        units = (self._counts << _UNIT_BITS) + (1 << _UNIT_BITS - 1)
        if self._pseudo_counts and self._seen:
            running = np.concatenate([[0], np.cumsum(self._counts)])
            window = running[self._high] - running[self._low]
            units += (self._pseudo_counts * window << _UNIT_BITS) // ((self._high - self._low) * self._seen)
        free = TOTAL - self._counts.size
        weights = units * free // int(units.sum())
        weights[weights.argmax()] += free - int(weights.sum())
        return weights

    def frequencies(self) -> npt.NDArray[np.int64]:
        """One a symbol, at least 1, that sum to 2^24."""
        return self.weights() + 1

    def learn(self, symbols: npt.NDArray[np.int32]) -> None:
        self._counts += np.bincount(symbols, minlength=self._counts.size)
        self._seen += symbols.size


class _Reader:
    """Numbers and bytes from a position on; past the end, or above the stated limit, is an ArtifactError."""

    def __init__(self, data: memoryview, position: int, name: str) -> None:
        self._data, self.position, self._name = data, position, name

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self.position:
            raise _damaged(self._name, "is cut short")
        self.position += count
        return self._data[self.position - count : self.position]

    def byte(self, limit: int) -> int:
        value = self.take(1)[0]
        if value >= limit:
            raise _damaged(self._name, f"has the unknown code {value} in its header")
        return value

    def varint(self, limit: int) -> int:
        try:
            value, self.position = decode_varint(self._data, self.position)
        except ValueError:
            value = limit + 1
        if value > limit:
            raise _damaged(self._name, "has a number in its header that is cut short or too large")
        return value


def _planes(span: int) -> Iterator[tuple[int, int]]:
    """(shift, alphabet) of each plane of values from 0 to span; none when there is only one value."""
    shift = 0
    while span >= _MAX_ALPHABET:
        yield shift, 256
        shift, span = shift + 8, span >> 8
    if span:
        yield shift, span + 1


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < size:
        stop = min(size, start + max(_FIRST_BLOCK, start // _BLOCK_SHARE))
        yield start, stop
        start = stop


def _cost(symbols: npt.NDArray[np.int32], alphabet: int, strength: int) -> float:
    """Bits that the symbols cost with a model of that strength."""
    model = _AdaptiveModel(alphabet, strength)
    bits = 0.0
    for start, stop in _blocks(symbols.size):
        counts = np.bincount(symbols[start:stop], minlength=alphabet)
        bits += float((counts * (math.log2(TOTAL) - np.log2(model.weights() + 1))).sum())
        model.learn(symbols[start:stop])
    return bits


def _damaged(name: str, fault: str) -> ArtifactError:
    return ArtifactError(f"{name}: {fault}; it is damaged or foreign, get the whole artifact again.")
