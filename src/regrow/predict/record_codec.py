"""Many small records, each coded by itself: no header, at most about one byte beyond its bits, in any order.

A record's tokens follow BOS (and a `lead` that both sides know), as a document's do in training. Its end is coded in
one of two ways: as the newline that follows a line, which a model of lines predicts, or as a number of tokens before
the first. Records that do not compress are stored after a byte 255, which no coded record begins with. Batches are
coded in lock-step: rows of exact arithmetic do not depend on their neighbours, so neither do a record's bytes.
docs/records.md, "A record".

Legend: S records of a batch, T tokens, N symbols.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.load_cache import ArrayCache
from regrow.artifact.range_coder import PRECISION_BITS, TOTAL, RangeDecoder, RangeEncoder
from regrow.artifact.stored import StoredArtifact
from regrow.core.errors import StreamError
from regrow.core.machine import cores
from regrow.core.progress import Progress, Silent, Task
from regrow.data.tokenizer import Tokenizer
from regrow.predict.exact.loading import exact_model
from regrow.predict.exact.model import ExactModel
from regrow.predict.exact.streams import Streams
from regrow.predict.exact.symbols import Decoders
from regrow.predict.lockstep import IGNORED

MAX_RECORD_BYTES = 1 << 20  # a longer record is stored as it is
RAW = 255  # the first byte of a record that is stored as it is
_LINE, _COUNTED = 0, 1
MAX_CHECKSUM = 4  # bytes: the low ones of a CRC-32
_WAYS = np.array([240, 15, 1]) << (
    PRECISION_BITS - 8
)  # how a record ends; the last part is that of the byte RAW
_CLASSES = 32  # of a number of tokens: how many bits it has
_FREE_TOKENS, _TOKENS_A_BYTE = 4096, 256  # at most: a damaged record must not be decoded for ever
_BATCH = 256  # records in lock-step
_ROW_CELLS = 1 << 22  # entries of a batch's rows of weights
_RING_CELLS = 1 << 26  # bytes of its keys and values
_ENCODE_CHUNK, _REPLAY_CHUNK = 32, 8  # tokens of a record that are read in one call
_FIRST_LENGTH = 64  # tokens that a batch is decoded with room for at first
_SAMPLE, _SAMPLE_BYTES = 64, 1 << 13  # records, and bytes of them, that tell how the others are best coded

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


class RecordForm(NamedTuple):
    """How records are coded. `lead`: text that each is taken to follow, known to both sides; `counted`: whether a
    record without a newline ends by a number of tokens too (a decoder sees that by itself); `checksum`: bytes of
    checksum that follow each coded record, 0 to `MAX_CHECKSUM`."""

    lead: bytes = b""
    counted: bool = False
    checksum: int = 0


FORMS = (RecordForm(), RecordForm(b"\n"), RecordForm(counted=True), RecordForm(b"\n", counted=True))


class RecordCodec:
    """Records, one or many at once, to bytes and back. A record is any bytes; of the coded bytes nothing but their
    length has to be known."""

    def __init__(
        self,
        model: ExactModel,
        tokenizer: Tokenizer,
        form: RecordForm | None = None,
        threads: int | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.form = form or RecordForm()
        if not 0 <= self.form.checksum <= MAX_CHECKSUM:
            raise ValueError(f"a checksum has at most {MAX_CHECKSUM} bytes, not {self.form.checksum}")
        self.threads = threads or cores()
        self._lead = tokenizer.encode(self.form.lead).astype(np.int64)
        self._ends_line = np.array([b"\n" in piece for piece in tokenizer.token_bytes])

    @classmethod
    def load(
        cls,
        path: Path | str,
        form: RecordForm | None = None,
        *,
        cache: ArrayCache | None = None,
        threads: int | None = None,
    ) -> RecordCodec:
        """From an artifact's file; what takes seconds to regrow is kept in a `cache`. Raises ArtifactError."""
        stored = StoredArtifact.read(path)
        return cls(exact_model(stored, cache), stored.tokenizer, form, threads)

    def with_form(self, form: RecordForm) -> RecordCodec:
        """The same model with another form."""
        return RecordCodec(self.model, self.tokenizer, form, self.threads)

    def checked(self, checksum: int = 2) -> RecordCodec:
        """The same model and form with so many bytes of checksum (1 to `MAX_CHECKSUM`, 0 for none) after each coded
        record: one that was damaged, or is decoded with another model, is refused but for one time in 256 to the
        power of that number."""
        return self.with_form(self.form._replace(checksum=checksum))

    def fitted(self, records: Sequence[bytes]) -> RecordCodec:
        """The same model with the lead and the way to end that suit a sample of these records best."""
        step = max(1, len(records) // _SAMPLE)
        few = list(records[::step][:_SAMPLE])
        sizes = accumulate(len(record) for record in few)
        sample = [record for record, size in zip(few, sizes, strict=True) if size <= _SAMPLE_BYTES]
        forms = [form._replace(checksum=self.form.checksum) for form in FORMS]
        best = min(map(self.with_form, forms), key=lambda codec: sum(codec.bits(sample)))
        return best if sample else self

    def encode(self, record: bytes) -> bytes:
        """The coded bytes of one record; `encode_many` is many times faster a record."""
        return self.encode_many([record])[0]

    def decode(self, coded: bytes) -> bytes:
        """The record that `encode` was given. Raises StreamError for bytes that are no coded record; without a checksum
        (`checked`) other damage gives another record."""
        return self.decode_many([coded])[0]

    def encode_many(self, records: Sequence[bytes], progress: Progress | None = None) -> list[bytes]:
        """The coded bytes of each record, the same as alone."""
        with (progress or Silent()).task("encode", len(records), "records") as task:
            found = [coded for coded, _ in self._encoded(records, task)]
        if not self.form.checksum:
            return found
        return [coded + self._check(coded, record) for coded, record in zip(found, records, strict=True)]

    def bits(self, records: Sequence[bytes]) -> list[float]:
        """The bits that each record's symbols cost, not rounded up to bytes and without a checksum; where it is stored,
        8 a byte of it."""
        with Silent().task("encode") as task:
            return [bits for _, bits in self._encoded(records, task)]

    def decode_many(
        self, coded: Sequence[bytes], progress: Progress | None = None, *, first: int = 1
    ) -> list[bytes]:
        """The inverse of `encode_many`. Raises StreamError, naming the record by its place from `first` on."""
        records: list[bytes] = [b""] * len(coded)
        started = []
        bodies = [one[: len(one) - self.form.checksum] for one in coded] if self.form.checksum else coded
        for i, one in enumerate(bodies):
            if one[:1] == bytes([RAW]):
                records[i] = bytes(one[1:])
            else:
                started.append(_started(one, i, first))
        started.sort(key=lambda record: record.coded_bytes)
        jobs = _shares(started, self._batch(_FIRST_LENGTH), self.threads)
        with (progress or Silent()).task("decode", len(coded), "records") as task:
            task.advance(len(coded) - len(started))
            for batch, found in zip(jobs, self._on_threads(self._decode_batch, jobs), strict=True):
                for record, tokens in zip(batch, found, strict=True):
                    records[record.at] = self._text(record, tokens)
                task.advance(len(batch))
        for i, text in enumerate(records if self.form.checksum else ()):
            if coded[i][len(bodies[i]) :] != self._check(bodies[i], text):
                raise _damaged(first + i)
        return records

    def _check(self, coded: bytes, record: bytes) -> bytes:
        """The checksum that follows a coded record: of both, so that other bytes are noticed, and another model is."""
        return zlib.crc32(record, zlib.crc32(coded)).to_bytes(4, "little")[: self.form.checksum]

    def _encoded(self, records: Sequence[bytes], task: Task) -> Iterator[tuple[bytes, float]]:
        """The coded bytes and the bits of each record."""
        result = [(bytes([RAW]) + bytes(record), 8.0 * len(record)) for record in records]
        ready = [
            self._tokens(i, record) for i, record in enumerate(records) if len(record) <= MAX_RECORD_BYTES
        ]
        ready.sort(key=lambda record: len(record.tokens))
        jobs: list[Sequence[_Ready]] = []
        for batch in _shares(ready, _BATCH, self.threads):
            most = self._batch(len(self._lead) + len(batch[-1].tokens))
            jobs += [batch[at : at + most] for at in range(0, len(batch), most)]
        task.advance(len(records) - len(ready))
        for batch, found in zip(jobs, self._on_threads(self._encode_batch, jobs), strict=True):
            for record, (coded, bits) in zip(batch, found, strict=True):
                if len(coded) < len(result[record.at][0]) and len(record.tokens) <= _most_tokens(len(coded)):
                    result[record.at] = coded, bits
            task.advance(len(batch))
        return iter(result)

    def _tokens(self, index: int, record: bytes) -> _Ready:
        line = not self.form.counted and b"\n" not in record
        return _Ready(index, line, self.tokenizer.encode(record + b"\n" if line else record).astype(np.int64))

    def _encode_batch(self, batch: Sequence[_Ready]) -> list[tuple[bytes, float]]:
        longest = max(1, len(batch[-1].tokens))
        tokens_ST = np.full((len(batch), longest), IGNORED, np.int64)
        for s, record in enumerate(batch):
            tokens_ST[s, : len(record.tokens)] = record.tokens
        chunk = min(_ENCODE_CHUNK, longest)
        streams = self._streams(len(batch), chunk, longest)
        parts = [streams.intervals(tokens_ST[:, at : at + chunk]) for at in range(0, longest, chunk)]
        intervals_ST2 = np.concatenate(parts, axis=1)
        result = []
        for s, record in enumerate(batch):
            coder = RangeEncoder()
            ahead = _ahead(record.line, len(record.tokens))
            whole = np.concatenate((np.array(ahead, np.int64), intervals_ST2[s, : len(record.tokens)]))
            coder.push(whole[:, 0], whole[:, 1])
            result.append((coder.finish(), float((PRECISION_BITS - np.log2(whole[:, 1])).sum())))
        return result

    def _decode_batch(self, batch: Sequence[_Started]) -> list[NDArray[np.int64]]:
        """The tokens of each record. Once half of the records have ended, the others go on without them."""
        result: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(batch)
        count_N = np.array([record.known_tokens for record in batch])
        limit_N = np.array([_most_tokens(record.coded_bytes) for record in batch])
        index = np.flatnonzero(count_N != 0)
        if not len(index):
            return result
        decoders = Decoders([batch[i].decoder for i in index.tolist()])
        jobs = [_Job(index, decoders, np.empty((len(index), 0), np.int64))]
        while jobs:
            job = jobs.pop()
            room = _FIRST_LENGTH
            while room <= job.known_ST.shape[1]:
                room *= 2
            most = self._batch(room + len(self._lead))
            if len(job.index) > most:
                parts = np.array_split(np.arange(len(job.index)), -(-len(job.index) // most))
                jobs += [job.chosen(part) for part in parts]
                continue
            known_ST, alive_S = self._decode_steps(job, room, batch, count_N[job.index], limit_N[job.index])
            lengths_S = (known_ST != IGNORED).sum(1)
            for s in np.flatnonzero(~alive_S).tolist():
                result[job.index[s]] = known_ST[s, : lengths_S[s]]
            if alive_S.any():
                jobs.append(_Job(job.index, job.decoders, known_ST).chosen(np.flatnonzero(alive_S)))
        return result

    def _decode_steps(
        self,
        job: _Job,
        room: int,
        batch: Sequence[_Started],
        count_S: NDArray[np.int64],
        limit_S: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Decode until `room` tokens are known or half of the records have ended: all tokens so far [S, T], IGNORED
        after a record's end, and the records that go on."""
        S, known = job.known_ST.shape
        streams = self._streams(S, _REPLAY_CHUNK, room)
        for at in range(0, known, _REPLAY_CHUNK):
            streams.skip(job.known_ST[:, at : at + _REPLAY_CHUNK])
        columns, alive_S = [job.known_ST], np.ones(S, np.bool_)
        while known < room and 2 * alive_S.sum() > (S if S >= 16 else 0):
            tokens_S = np.where(alive_S, 0, IGNORED)
            bad = job.decoders.pop(*streams.weights(), tokens_S)
            known += 1
            columns.append(tokens_S[:, None])
            line_S = self._ends_line[np.maximum(tokens_S, 0)] & (count_S < 0)
            ended_S = line_S | (count_S == known)
            late_S = alive_S & ~ended_S & (known >= limit_S)
            if bad >= 0 or late_S.any():
                raise batch[job.index[bad if bad >= 0 else int(late_S.argmax())]].damaged()
            alive_S &= ~ended_S
            streams.advance(tokens_S)
        return np.concatenate(columns, axis=1), alive_S

    def _text(self, record: _Started, tokens: NDArray[np.int64]) -> bytes:
        text = self.tokenizer.decode(tokens)
        if record.known_tokens >= 0:
            return text
        if text.find(b"\n") != len(text) - 1:
            raise record.damaged()
        return text[:-1]

    def _streams(self, streams: int, chunk: int, longest: int) -> Streams:
        """Streams that have read the lead, with room for `longest` tokens after it."""
        result = Streams(self.model, streams, chunk=chunk, longest=longest + len(self._lead))
        for at in range(0, len(self._lead), chunk):
            result.skip(np.tile(self._lead[at : at + chunk], (streams, 1)))
        return result

    def _batch(self, longest: int) -> int:
        """How many records of so many tokens fit a batch's memory."""
        layers = self.model.layers
        _, K, E, window, _ = (int(n) for n in layers.sizes)
        slots = min(window + _ENCODE_CHUNK, longest) + 64
        ring = max(1, len(layers.gain)) * K * slots * (2 * E + 12)
        return int(max(1, min(_BATCH, _ROW_CELLS // self.model.vocab_size, _RING_CELLS // ring)))

    def _on_threads(self, work: Callable[[_Part], _Result], parts: Sequence[_Part]) -> Iterator[_Result]:
        """The results in order. A thread works on a batch by itself: threads never wait for each other."""
        if self.threads == 1 or len(parts) < 2:
            yield from map(work, parts)
            return
        with ThreadPoolExecutor(min(self.threads, len(parts))) as pool:
            try:
                yield from pool.map(work, parts)
            finally:
                pool.shutdown(cancel_futures=True)


class _Ready(NamedTuple):
    """A record to encode: where it stands, whether it ends as a line does, its tokens [T]."""

    at: int
    line: bool
    tokens: NDArray[np.int64]


class _Started(NamedTuple):
    """A record whose decoder stands before its tokens: where it stands, the place it goes by in errors, and its number
    of tokens, -1 where it ends as a line does."""

    at: int
    place: int
    coded_bytes: int
    decoder: RangeDecoder
    known_tokens: int

    def damaged(self) -> StreamError:
        return _damaged(self.place)


@dataclass(frozen=True)
class _Job:
    """Records of a batch that have the same number of tokens known [S, T]: their places in the batch."""

    index: NDArray[np.int64]
    decoders: Decoders
    known_ST: NDArray[np.int64]

    def chosen(self, part: NDArray[np.int64]) -> _Job:
        return _Job(self.index[part], self.decoders.chosen(part), self.known_ST[part])


def _started(coded: bytes, index: int, first: int) -> _Started:
    decoder = RangeDecoder(coded)
    try:
        way = int(decoder.pop_same(_WAYS, 1)[0])
        count = -1 if way == _LINE else _read_count(decoder)
        if way > _COUNTED or count > MAX_RECORD_BYTES or count > _most_tokens(len(coded)):
            raise _damaged(first + index)
    except StreamError as error:
        raise _damaged(first + index) from error
    return _Started(index, first + index, len(coded), decoder, count)


def _ahead(line: bool, tokens: int) -> list[tuple[int, int]]:
    """What is coded before a record's tokens, as intervals: how it ends, and their number where that is counted.

    The number has a class, how many bits it has, and then those below its highest, eight at a time, low ones first.
    """
    if line:
        return [(0, int(_WAYS[_LINE]))]
    bits = tokens.bit_length()
    step = TOTAL // _CLASSES
    found = [(int(_WAYS[_LINE]), int(_WAYS[_COUNTED])), (bits * step, step)]
    for at in range(0, bits - 1, 8):
        step = TOTAL >> min(8, bits - 1 - at)
        found.append((((tokens >> at) % (TOTAL // step)) * step, step))
    return found


def _read_count(decoder: RangeDecoder) -> int:
    bits = int(decoder.pop_same(np.full(_CLASSES, TOTAL // _CLASSES), 1)[0])
    count = 1 << bits >> 1
    for at in range(0, bits - 1, 8):
        values = 1 << min(8, bits - 1 - at)
        count += int(decoder.pop_same(np.full(values, TOTAL // values), 1)[0]) << at
    return count


def _most_tokens(coded_bytes: int) -> int:
    return _FREE_TOKENS + _TOKENS_A_BYTE * coded_bytes


def _shares(parts: Sequence[_Part], most: int, threads: int) -> list[Sequence[_Part]]:
    """Parts in batches of at most `most`, of one size, as many as keep every thread at work where they are long."""
    if not parts:
        return []
    batches = -(-len(parts) // most)
    if len(parts) >= 32 * threads:
        batches = -(-batches // threads) * threads
    edges = np.linspace(0, len(parts), batches + 1).astype(int).tolist()
    return [parts[a:b] for a, b in pairwise(edges)]


def _damaged(place: int) -> StreamError:
    return StreamError(f"record {place:,}: is damaged, or was made with another artifact; copy it again.")
