"""A second reader of artifacts and streams, in plain numpy: docs/format.md and docs/stream.md by the letter.

With `frequencies`, which computes the rows, it decodes every stream but adaptive ones. The memory's text comes from
regrow: its stored form is a format of its own.
"""

from __future__ import annotations

import bisect
import json
import lzma
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from tests.second_decoder import frequencies
from tests.second_decoder.frequencies import Ints, KneserNey

from regrow.ngram.store.text_form import decode_tokens

MASK = (1 << 64) - 1
FILTERS = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}]


class RangeDecoder:
    """Symbols from 32-bit words; zeros follow the last."""

    def __init__(self, words: list[int]) -> None:
        self.words = words[::-1]
        self.low, self.range = 0, MASK
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        return self.words.pop() if self.words else 0

    def symbol(self, starts: Any) -> int:
        scale = self.range >> 24
        v = bisect.bisect_right(starts, (self.point - self.low & MASK) // scale) - 1
        self.low = self.low + scale * int(starts[v]) & MASK
        self.range = scale * int(starts[v + 1] - starts[v])
        if self.range < 1 << 32:
            self.low, self.range = self.low << 32 & MASK, self.range << 32
            self.point = (self.point << 32 | self.word()) & MASK
        return v


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def integers(data: bytes) -> Ints:
    read = Reader(data)
    read.take(2)
    shape = [read.varint() for _ in range(read.varint())]
    folded, span = read.varint(), read.varint()
    values = np.full(int(np.prod(shape)), -(folded + 1 >> 1) if folded & 1 else folded >> 1, np.int64)
    planes, shift, left = [], 0, span
    while left >= 4096:
        planes.append((shift, 256))
        shift, left = shift + 8, left >> 8
    planes += [(shift, left + 1)] if left else []
    strengths = [(0, 1, 8, 64)[code] for code in read.take(len(planes))]
    coder = RangeDecoder(np.frombuffer(read.take(4 * read.varint()), "<u4").tolist())
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little") and read.at == len(data) - 4
    for (shift, K), strength in zip(planes, strengths, strict=True):
        counts, k, at = np.zeros(K, np.int64), np.arange(K), 0
        reach = max(1, K // 16)
        low, high = np.maximum(k - reach, 0), np.minimum(k + reach + 1, K)
        while at < len(values):
            u = 1024 * counts + 512
            if at:
                running = np.concatenate([[0], np.cumsum(counts)])
                u += 1024 * strength * K * (running[high] - running[low]) // ((high - low) * at)
            frequency = 1 + u * ((1 << 24) - K) // u.sum()
            frequency[frequency.argmax()] += (1 << 24) - frequency.sum()
            starts = [0, *np.cumsum(frequency).tolist()]
            stop = min(len(values), at + max(32, at // 4))
            symbols = np.array([coder.symbol(starts) for _ in range(stop - at)])
            values[at:stop] += symbols << shift
            counts += np.bincount(symbols, minlength=K)
            at = stop
    return values.reshape(shape)


def vars_of(table: dict[str, Any]) -> SimpleNamespace:
    earlier = {"memory_input": 0, "recent_input": 0, "tied": True}  # of older artifacts
    return SimpleNamespace(**(earlier | table))


class Artifact:
    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.sha256 = frequencies.sha256(data)
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        manifest = json.loads(header.pop("__metadata__")["manifest"], object_hook=vars_of)
        places = {name: (start + at for at in entry["data_offsets"]) for name, entry in header.items()}
        payload = {name: data[slice(*place)] for name, place in places.items()}
        self.config, seed, V = manifest.config, manifest.seed, manifest.vocab_size
        pieces = zlib.decompress(payload["tokenizer"][1:]).replace(b"\xfe", b"\xfe\xff").split(b"\xff")[:-1]
        self.pieces = [b"\0", b"", *(bytes([b]) for b in range(1, 256))]
        self.pieces += [piece for piece in pieces if piece[-1:] != b"\xfe"]
        weights, read = {}, Reader(payload["weights"])
        for name, shape in frequencies.shapes(self.config.model, V).items():
            record = read.take(int.from_bytes(read.take(4), "little"))
            cut = 2 * shape[0] if len(shape) == 2 and 1 not in shape else len(record)
            halves = (np.frombuffer(record[:cut], "<f2").astype(np.float64) * (1 << 24)).astype(np.int64)
            matrix = cut < len(record)
            q = integers(record[cut:]) if matrix else halves.reshape(shape)
            weights[name] = SimpleNamespace(q=q, step_R=halves if matrix else np.ones(shape[0], np.int64))
        self.weights = frequencies.read(weights, payload["mixer"], self.config, seed, manifest.format_version)
        tokens = decode_tokens(payload["memory"]).tolist()
        self.memory = KneserNey(tokens, self.config.memory.max_order, V, manifest.discounts, bos=1)

    def tokens(self, payload: bytes, count: int) -> list[int]:
        S = max(1, min(64, count // 1024))
        streams: list[list[int]] = [[1] for _ in range(S)]
        padded = payload + bytes(-len(payload) % 4)
        coder = RangeDecoder(np.frombuffer(padded, ">u4").tolist())
        for i in range(count):
            stream = streams[i % S]
            stream.append(coder.symbol(frequencies.next_row(self.weights, self.memory, stream)))
        return [token for stream in streams for token in stream[1:]]

    def blocks(self, stream: bytes) -> list[bytes | None]:
        read, raw = Reader(stream), []
        assert read.take(3) == b"\xaaRG"
        kind = read.take(1)[0] - 48
        assert read.take(4) == self.sha256[:4]
        if kind:
            return [self.block(read, kind, None)]
        while kind := read.take(1)[0]:
            read.varint()
            raw.append(self.block(read, kind, read.varint()))
        return raw

    def block(self, read: Reader, kind: int, size: int | None) -> bytes | None:
        checksum = int.from_bytes(read.take(4), "little")
        if kind == 2 and size is None:
            read.varint()
        count = read.varint() if kind > 2 else 0
        settings = [read.varint() for _ in range(3 if kind in (4, 7) else 0)]
        payload = read.take(len(read.data) - read.at if size is None else size)
        if settings:
            return None
        raw = payload
        if kind == 2:
            raw = lzma.decompress(payload, lzma.FORMAT_RAW, filters=FILTERS)
        elif kind == 3:
            raw = b"".join(self.pieces[token] for token in self.tokens(payload, count))
        assert zlib.crc32(raw) == checksum
        return raw
