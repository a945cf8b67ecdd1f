"""A file of records, each decodable by itself. `docs/records.md` is its page.

    AA 52 47 35     magic, version 3 of the streams and the kind, records
    4 bytes         the first of the artifact's SHA-256
    strings         the lead, and the name of the field the records came from (empty: they are lines): varint, bytes
    4 bytes         CRC-32 of all before (little-endian, as the others)
    blocks          varint number of records, varint bytes of the index, the index: the records' coded lengths
                    (`regrow.artifact.int_coder`), the CRC-32 of each 64 records' coded bytes, the coded records
    the end         0, varint number of records, 1 if the last line has no newline, else 0, CRC-32 of the records as
                    lines: each followed by a newline, but for that last one

A record is found by adding up lengths, checked with its 64, and decoded alone. Where each has a checksum of its own,
the fourth byte is 36, how many bytes that takes (1 byte) stands before the head's CRC-32, and blocks have no other.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.int_coder import decode_ints, encode_ints
from regrow.core.errors import ArtifactError, DataError, StreamError
from regrow.core.magic import HEAD_BYTES, describe_bytes
from regrow.core.varints import encode_varint
from regrow.predict.record_codec import MAX_CHECKSUM, RecordCodec, RecordForm
from regrow.predict.stream import (
    CHECKED_RECORDS_KIND,
    ID_BYTES,
    MAGIC,
    RECORDS_KIND,
    VERSION,
    PlacedReader,
    read_exactly,
)

_MARK, _CHECKED_MARK = (MAGIC + bytes([VERSION << 4 | kind]) for kind in (RECORDS_KIND, CHECKED_RECORDS_KIND))
MARKS = (_MARK, _CHECKED_MARK)  # what a file of records begins with
BLOCK_RECORDS = 1 << 14
BLOCK_BYTES = 1 << 24  # of a block's records, about
CHECKED = 64  # records that have one checksum
MAX_STRING = 1 << 12  # bytes of a lead or a field's name
_MAX_INDEX = 1 << 20


class RecordsEnd(NamedTuple):
    """What stands at a file's end: how many records, whether the last line has no newline, and the CRC-32 of
    the lines."""

    records: int
    open_line: bool
    checksum: int


class RecordWriter:
    """Writes records into a file or pipe, a block at a time; `finish` writes the end. `codec` is fitted to the first
    block. `field`: the name of the field that the records came from, empty for lines."""

    def __init__(self, out: BinaryIO, codec: RecordCodec, artifact_sha256: str, field: str = "") -> None:
        self._out, self._codec, self._field = out, codec, field.encode()
        if len(self._field) > MAX_STRING:
            raise DataError(
                f"{field[:40]}...: the name of a field has at most {MAX_STRING:,} bytes; choose another."
            )
        self._id = bytes.fromhex(artifact_sha256)[:ID_BYTES]
        self._waiting: list[bytes] = []
        self._waiting_bytes, self._checksum = 0, 0
        self.records, self.raw_bytes, self.written = 0, 0, 0

    def add(self, record: bytes) -> None:
        """The next record."""
        self._waiting.append(record)
        self._waiting_bytes += len(record)
        self._checksum = line_checksum(record, self._checksum, begins=not self.records)
        self.records += 1
        self.raw_bytes += len(record)
        if len(self._waiting) == BLOCK_RECORDS or self._waiting_bytes >= BLOCK_BYTES:
            self._write_block()

    def finish(self, *, open_line: bool = False) -> None:
        """Write what is left and the end. `open_line`: the last line had no newline."""
        if self._waiting or not self.written:
            self._write_block()
        open_line = open_line and self.records > 0
        checksum = end_checksum(self._checksum, self.records, open_line)
        end = encode_varint(self.records) + bytes([open_line]) + checksum.to_bytes(4, "little")
        self.written += self._out.write(b"\0" + end)

    def _write_block(self) -> None:
        if not self.written:
            self._codec = self._codec.fitted(self._waiting)
            form = self._codec.form
            self.written += self._out.write(_head(self._id, form.lead, self._field, form.checksum))
        if self._waiting:
            coded = self._codec.encode_many(self._waiting)
            self.written += self._out.write(block_bytes(coded, checks=not self._codec.form.checksum))
        self._waiting, self._waiting_bytes = [], 0


def line_checksum(record: bytes, checksum: int, *, begins: bool) -> int:
    """The CRC-32 of lines and one more, whose newline comes with the next."""
    return zlib.crc32(record, checksum if begins else zlib.crc32(b"\n", checksum))


def end_checksum(checksum: int, records: int, open_line: bool) -> int:
    """The same once all records are in."""
    return checksum if open_line or not records else zlib.crc32(b"\n", checksum)


def block_bytes(coded: list[bytes], *, checks: bool = True) -> bytes:
    """A block of coded records. `checks`: with a checksum for each 64 of them."""
    index = encode_ints(np.array([len(one) for one in coded], np.uint32))
    groups = [b"".join(coded[at : at + CHECKED]) for at in range(0, len(coded), CHECKED)]
    sums = b"".join(zlib.crc32(group).to_bytes(4, "little") for group in groups) if checks else b""
    return encode_varint(len(coded)) + encode_varint(len(index)) + index + sums + b"".join(groups)


@dataclass(frozen=True)
class RecordBlock:
    """Where a block's records lie: the place of the first one (from 1 on), the byte where they begin, their coded
    lengths [N], and the checksums of each `CHECKED` of them, none where each record has its own."""

    first: int
    at: int
    lengths_N: NDArray[np.int64]
    checks: NDArray[np.uint32]

    @property
    def size(self) -> int:
        """Coded bytes of all records."""
        return int(self.lengths_N.sum())

    @property
    def together(self) -> int:
        """Records of a group: they are read and checked together."""
        return CHECKED if len(self.checks) else 1

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Of each group of records its number, and where its coded bytes begin and end within the block's."""
        ends = np.cumsum(self.lengths_N)
        lasts = np.append(ends[self.together - 1 : len(ends) - 1 : self.together], ends[-1]).tolist()
        yield from zip(range(len(lasts)), [0, *lasts[:-1]], lasts, strict=True)

    def records_of(self, group: int) -> str:
        """Which records a group holds, in words."""
        first = self.first + group * self.together
        last = min(first + self.together, self.first + len(self.lengths_N)) - 1
        return f"record {first:,}" if first == last else f"one of records {first:,} to {last:,}"


class RecordReader(PlacedReader):
    """A file of records, or a pipe. Raises StreamError, naming the file `name`, for one that is damaged, foreign or of
    another version; `lead`, `field`, `checksum` (bytes of it a record), `artifact_id` and, once all is read, `end` are
    what it says."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file, name)
        self._records = 0
        self._read_head()
        self._body = self._at
        self.end: RecordsEnd | None = None

    def codec(self, codec: RecordCodec, artifact_sha256: str) -> RecordCodec:
        """`codec` with this file's lead and checksums. Raises StreamError for a file of another artifact."""
        self.check_artifact(artifact_sha256)
        return codec.with_form(RecordForm(self.lead, checksum=self.checksum))

    def decoded(self, codec: RecordCodec) -> Iterator[list[bytes]]:
        """All records, a block at a time; at the end their checksum is compared."""
        checksum = count = 0
        for block, coded in self.blocks():
            edges = np.cumsum(block.lengths_N).tolist()
            each = [
                coded[end - size : end] for end, size in zip(edges, block.lengths_N.tolist(), strict=True)
            ]
            records = self._records_of(codec, each, block.first)
            for record in records:
                checksum = line_checksum(record, checksum, begins=not count)
                count += 1
            yield records
        if self.end is None or self.end.checksum != end_checksum(checksum, count, self.end.open_line):
            raise StreamError(
                f"{self._name}: does not decode to the records it was made of; decompress it with the artifact that "
                "made it, or make it again."
            )

    def record(self, codec: RecordCodec, place: int) -> bytes:
        """The record at a place, from 1 on, of a file that can be sought in; of the others only the index is read."""
        for block in self.index():
            inside = place - block.first
            if 0 <= inside < len(block.lengths_N):
                group = inside // block.together
                _, start, stop = next(g for g in block.groups() if g[0] == group)
                self._seek(block.at + start)
                coded = self._part(stop - start, block.records_of(group))
                self._check(block, group, coded)
                lengths = block.lengths_N[group * block.together : inside + 1]
                end = int(lengths.sum())
                return self._records_of(codec, [coded[end - int(lengths[-1]) : end]], place)[0]
        raise StreamError(f"{self._name}: has no record {place:,}; it has {self._records:,}, counted from 1.")

    def index(self) -> Iterator[RecordBlock]:
        """Where all records lie, block by block, of a file that can be sought in."""
        at = self._body
        while True:
            self._seek(at)
            block = self._block()
            if block is None:
                return
            at = block.at + block.size
            yield block

    def blocks(self) -> Iterator[tuple[RecordBlock, bytes]]:
        """Each block with its coded bytes, which have their checksums."""
        while (block := self._block()) is not None:
            parts = []
            for group, start, stop in block.groups():
                parts.append(self._part(stop - start, block.records_of(group)))
                self._check(block, group, parts[-1])
            yield block, b"".join(parts)
        if self._file.read(1):
            raise self._damaged("goes on after its end")

    def _records_of(self, codec: RecordCodec, coded: list[bytes], first: int) -> list[bytes]:
        try:
            return codec.decode_many(coded, first=first)
        except StreamError as error:
            raise StreamError(f"{self._name}: {error}") from error

    def _read_head(self) -> None:
        mark = read_exactly(self._file, len(_MARK))
        self._at = len(mark)
        if mark not in MARKS:
            if mark[:3] == MAGIC and mark[3:] and mark[3] >> 4 != VERSION:
                raise StreamError(
                    f"{self._name}: is of version {mark[3] >> 4} of the format, this regrow reads {VERSION}; "
                    "decompress it with the regrow that made it."
                )
            if mark[:3] == MAGIC and mark[3:]:
                raise StreamError(
                    f"{self._name}: is a regrow stream, not a file of records; use regrow decompress."
                )
            seems = describe_bytes(mark + read_exactly(self._file, HEAD_BYTES))
            raise StreamError(
                f"{self._name}: is {seems}, not a file of records; give what regrow records compress wrote."
            )
        self.artifact_id = self._part(ID_BYTES, "the head")
        self.lead = self._part(self._number(MAX_STRING, "the head"), "the head")
        field = self._part(self._number(MAX_STRING, "the head"), "the head")
        self.checksum = self._part(1, "the head")[0] if mark == _CHECKED_MARK else 0
        wanted = _head(self.artifact_id, self.lead, field, self.checksum)[-4:]
        known = mark == _MARK or 1 <= self.checksum <= MAX_CHECKSUM
        if self._part(4, "the head") != wanted or not known:
            raise self._damaged("is damaged in the head")
        self.field = field.decode("utf-8", "replace")

    def _block(self) -> RecordBlock | None:
        """The next block's index, or None at the end, which is then in `end`."""
        first = self._records + 1
        where = f"the index from record {first:,} on"
        count = self._number(BLOCK_RECORDS, where)
        if not count:
            records, flag = self._number(1 << 41, "the end"), self._part(1, "the end")[0]
            end = RecordsEnd(records, flag == 1, int.from_bytes(self._part(4, "the end"), "little"))
            if end.records != self._records or flag > min(1, records):
                raise self._damaged("is damaged in the end")
            self.end = end
            return None
        index = self._part(self._number(_MAX_INDEX, where), where)
        try:
            lengths_N = decode_ints(index).astype(np.int64).reshape(-1)
        except ArtifactError as error:
            raise self._damaged(f"is damaged in {where}") from error
        if len(lengths_N) != count or lengths_N.min() < 0:
            raise self._damaged(f"is damaged in {where}")
        sums = 0 if self.checksum else -(-count // CHECKED)
        checks = np.frombuffer(self._part(4 * sums, where), "<u4")
        self._records += count
        return RecordBlock(first, self._at, lengths_N, checks)

    def _check(self, block: RecordBlock, group: int, coded: bytes) -> None:
        if len(block.checks) and zlib.crc32(coded) != int(block.checks[group]):
            raise self._damaged(f"{block.records_of(group)} is damaged", self._at - len(coded))

    def _seek(self, at: int) -> None:
        if at == self._body:
            self._records = 0
        self._file.seek(at, io.SEEK_SET)
        self._at = at

    def _number(self, limit: int, where: str) -> int:
        return self._varint(limit, f"is damaged in {where}", f"is cut short in {where}")

    def _part(self, size: int, where: str) -> bytes:
        return self._take(size, f"is cut short in {where}")


def _head(artifact_id: bytes, lead: bytes, field: bytes, checksum: int) -> bytes:
    mark, own = (_CHECKED_MARK, bytes([checksum])) if checksum else (_MARK, b"")
    head = mark + artifact_id + _string(lead) + _string(field) + own
    return head + zlib.crc32(head).to_bytes(4, "little")


def _string(value: bytes) -> bytes:
    return encode_varint(len(value)) + value
