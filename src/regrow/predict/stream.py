"""The stream's format, version 3: what stands before and between the payloads. `docs/stream.md` is its page.

    AA 52 47, 30 + kind    magic, version 3 and the kind of the stream
    4 bytes                the first of the artifact's SHA-256
    then, of a stream that is one block: the block's fields and its payload up to the end;
    of a stream of blocks (kind 0): each block as kind, varint raw length, varint payload length, fields, payload,
    and a last byte 0.

Fields of a block, by kind: CRC-32 of its raw bytes (little-endian), then
    1 stored     nothing: the payload is the raw bytes
    2 packed     varint raw length: the payload is raw LZMA2
    3 fixed      varint number of tokens: range coded with the artifact's fixed predictor
    7 adaptive   varint number of tokens, varints of the adaptation's settings: range coded with the adaptive one
    4            the same with the adaptive predictor of before, which this regrow reads and does not write

Nothing of the machine that wrote it stands in a stream: a row of frequencies is the same everywhere (docs/exact.md).
"""

from __future__ import annotations

import enum
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from regrow.core.errors import StreamError
from regrow.core.magic import HEAD_BYTES, describe_bytes
from regrow.core.varints import decode_varint, encode_varint

MAGIC = b"\xaaRG"
VERSION = 3
BLOCK_BYTES = 1 << 22  # raw bytes of a block: larger input is cut into blocks that know nothing of each other
MAX_BLOCK_BYTES = 1 << 26  # what a reader takes from a stream's word
ID_BYTES = 4
LEAD_BYTES = len(MAGIC) + 1 + ID_BYTES
# In the place of a block's kind: a file of records, which `record_file` reads, and one whose records have checksums.
RECORDS_KIND, CHECKED_RECORDS_KIND = 5, 6
_OLD_MAGIC = b"RGST"


class BlockKind(enum.IntEnum):
    """How a block is coded, and of a whole stream also that it is made of blocks."""

    BLOCKS = 0
    STORED = 1
    PACKED = 2
    FIXED = 3
    EARLIER_ADAPTIVE = 4
    ADAPTIVE = 7


ADAPTIVE_KINDS = (BlockKind.EARLIER_ADAPTIVE, BlockKind.ADAPTIVE)


class AdaptiveSettings(NamedTuple):
    """What the adaptive predictor remembers: `streams` side by side, contexts of `orders` tokens, the last
    `tokens`."""

    streams: int
    orders: int
    tokens: int


@dataclass(frozen=True)
class StreamBlock:
    """A piece of a text, coded by itself. `raw_bytes` is None where only the decoded text tells (one block alone);
    `tokens` is 0 but for what the artifact codes."""

    kind: BlockKind
    checksum: int
    payload: bytes
    raw_bytes: int | None = None
    tokens: int = 0
    settings: AdaptiveSettings | None = None
    at: int = 0  # where the block begins in its stream

    def check(self, raw: bytes, name: str = "the stream") -> bytes:
        """`raw`, if it is what this block was made of. Raises StreamError that names the stream and the block."""
        if zlib.crc32(raw) != self.checksum or self.raw_bytes not in (None, len(raw)):
            raise StreamError(
                f"{name}: is damaged in the block at byte {self.at:,}, or was made with another artifact; "
                "copy it again."
            )
        return raw


def block_of(
    kind: BlockKind, raw: bytes, payload: bytes, tokens: int = 0, settings: AdaptiveSettings | None = None
) -> StreamBlock:
    """The block that holds `raw` as `payload`."""
    return StreamBlock(kind, zlib.crc32(raw), payload, len(raw), tokens, settings)


def single(artifact_sha256: str, block: StreamBlock) -> bytes:
    """The stream that is one block."""
    return _lead(block.kind, artifact_sha256) + _fields(block, alone=True) + block.payload


def blocks_head(artifact_sha256: str) -> bytes:
    """What a stream of blocks begins with."""
    return _lead(BlockKind.BLOCKS, artifact_sha256)


def block_bytes(block: StreamBlock) -> bytes:
    """A block of a stream of blocks; `BLOCKS_END` follows the last."""
    sizes = encode_varint(block.raw_bytes or 0) + encode_varint(len(block.payload))
    return bytes([block.kind]) + sizes + _fields(block, alone=False) + block.payload


BLOCKS_END = b"\0"


class PlacedReader:
    """A file or pipe that is read from its begin, and an error that says at which byte of which one.

    `artifact_id`: the 4 bytes by which it names the artifact that made it.
    """

    artifact_id: bytes

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._at = file, name, 0

    def check_artifact(self, sha256: str) -> None:
        """Raise StreamError if what is read was made with another artifact than the one of this SHA-256."""
        if self.artifact_id.hex() != sha256[: 2 * ID_BYTES]:
            raise StreamError(
                f"{self._name}: was made with the artifact whose SHA-256 begins {self.artifact_id.hex()}, and the one "
                f"given begins {sha256[: 2 * ID_BYTES]}; decompress it with the artifact it names."
            )

    def _take(self, size: int, fault: str = "is cut short") -> bytes:
        taken = read_exactly(self._file, size)
        self._at += len(taken)
        if len(taken) < size:
            raise self._damaged(fault)
        return taken

    def _varint(
        self, limit: int, fault: str = "has a number that is too large", cut: str = "is cut short"
    ) -> int:
        read = bytearray()
        while not read or read[-1] > 127:
            read += self._take(1, cut)
            if len(read) > 6:
                raise self._damaged(fault)
        value, _ = decode_varint(bytes(read), 0, 42)
        if value > limit:
            raise self._damaged(fault)
        return value

    def _damaged(self, fault: str, at: int | None = None) -> StreamError:
        place = self._at if at is None else at
        return StreamError(f"{self._name}: {fault} (at byte {place:,}); copy the whole file again.")


class StreamReader(PlacedReader):
    """A stream read from a file: `artifact_id` (4 bytes), `kind`, and its blocks in turn, of any file, pipes too.

    Raises StreamError for a file that is no stream of this version, saying what it seems to be.
    """

    def __init__(self, file: BinaryIO, name: str = "the stream") -> None:
        super().__init__(file, name)
        lead = read_exactly(file, LEAD_BYTES)
        if lead[:4] == _OLD_MAGIC:
            raise StreamError(
                f"{name}: is a stream of version 2; regrow 0.1 reads it, on the machine that wrote it."
            )
        if lead[:3] != MAGIC[: len(lead)] or not lead:
            kind = describe_bytes(lead + read_exactly(file, HEAD_BYTES))
            raise StreamError(f"{name}: this is {kind}, no stream; give a file that `regrow compress` wrote.")
        if len(lead) < LEAD_BYTES:
            raise self._damaged("is cut short", len(lead))
        self._at = LEAD_BYTES
        if lead[3] >> 4 != VERSION:
            raise StreamError(
                f"{name}: is a stream of version {lead[3] >> 4}, this regrow reads {VERSION}; use a newer regrow."
            )
        if lead[3] & 15 in (RECORDS_KIND, CHECKED_RECORDS_KIND):
            raise StreamError(f"{name}: is a file of records; give it to regrow records decompress.")
        self.kind = self._kind(lead[3] & 15)
        self.artifact_id = lead[4:]

    @property
    def position(self) -> int:
        """The place in the stream, in bytes, up to which it has been read."""
        return self._at

    def seek(self, at: int) -> None:
        """Go on reading where a block begins (`StreamBlock.at`). The file must be seekable."""
        self._file.seek(at)
        self._at = at

    def blocks(self) -> Iterator[StreamBlock]:
        """Every block with its payload. Raises StreamError, naming the place, for a stream that is cut or damaged."""
        while (block := self.next_block()) is not None:
            yield block

    def headers(self) -> Iterator[StreamBlock]:
        """The blocks without their payloads, which are skipped and empty here. The file must be seekable."""
        while (block := self.next_block(skip=True)) is not None:
            yield block

    def next_block(self, skip: bool = False) -> StreamBlock | None:
        """The block that begins here, None at the stream's end; `skip`: without its payload, as in `headers`."""
        if self.kind != BlockKind.BLOCKS:
            return self._single(skip) if self._at == LEAD_BYTES else None
        at = self._at
        code = self._take(1)[0]
        if code == BLOCKS_END[0]:
            if self._file.read(1):
                raise self._damaged("has bytes after its end")
            return None
        kind = self._kind(code)
        raw_bytes = self._varint(MAX_BLOCK_BYTES)
        size = self._varint(2 * MAX_BLOCK_BYTES)
        checksum, tokens, settings = self._read_fields(kind, raw_bytes)
        block = StreamBlock(kind, checksum, b"", raw_bytes, tokens, settings, at)
        return self._with_payload(block, size, skip)

    def _single(self, skip: bool) -> StreamBlock:
        checksum = int.from_bytes(self._take(4), "little")
        raw_bytes = self._varint(MAX_BLOCK_BYTES) if self.kind == BlockKind.PACKED else None
        tokens, settings = self._code_fields(self.kind, MAX_BLOCK_BYTES)
        if skip:
            size, payload = self._file.seek(0, io.SEEK_END) - self._at, b""
        else:
            payload = read_exactly(self._file, 2 * MAX_BLOCK_BYTES)
            size = len(payload)
        self._at += size
        if self.kind == BlockKind.STORED:
            raw_bytes = size
        return StreamBlock(self.kind, checksum, payload, raw_bytes, tokens, settings, LEAD_BYTES)

    def _with_payload(self, block: StreamBlock, size: int, skip: bool) -> StreamBlock:
        if skip:
            self._file.seek(size, io.SEEK_CUR)
            self._at += size
            return block
        payload = self._take(size)
        return StreamBlock(
            block.kind, block.checksum, payload, block.raw_bytes, block.tokens, block.settings, block.at
        )

    def _read_fields(self, kind: BlockKind, raw_bytes: int) -> tuple[int, int, AdaptiveSettings | None]:
        checksum = int.from_bytes(self._take(4), "little")
        return checksum, *self._code_fields(kind, raw_bytes)

    def _code_fields(self, kind: BlockKind, raw_bytes: int) -> tuple[int, AdaptiveSettings | None]:
        if kind not in (BlockKind.FIXED, *ADAPTIVE_KINDS):
            return 0, None
        tokens = self._varint(raw_bytes)
        if kind == BlockKind.FIXED:
            return tokens, None
        settings = AdaptiveSettings(self._varint(1 << 16), self._varint(8), self._varint(1 << 40))
        if settings.streams < 1 or settings.tokens < 1:
            raise self._damaged("has settings that no encoder writes")
        return tokens, settings

    def _kind(self, code: int) -> BlockKind:
        if code not in list(BlockKind):
            raise self._damaged(f"has a block of the unknown kind {code}")
        return BlockKind(code)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """`size` bytes, or what is left: a pipe gives less at a time."""
    taken = bytearray()
    while len(taken) < size and (more := file.read(size - len(taken))):
        taken += more
    return bytes(taken)


def _lead(kind: BlockKind, artifact_sha256: str) -> bytes:
    return MAGIC + bytes([VERSION << 4 | kind]) + bytes.fromhex(artifact_sha256)[:ID_BYTES]


def _fields(block: StreamBlock, *, alone: bool) -> bytes:
    """A block's fields; `alone`: it is the whole stream, which then says nothing twice."""
    fields = block.checksum.to_bytes(4, "little")
    if block.kind == BlockKind.PACKED and alone:
        fields += encode_varint(block.raw_bytes or 0)
    if block.kind in (BlockKind.FIXED, *ADAPTIVE_KINDS):
        fields += encode_varint(block.tokens)
    for number in block.settings or ():
        fields += encode_varint(number)
    return fields
