"""A damaged stream of blocks: every block that is sound, and the name of what is lost between them."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from regrow.core.errors import StreamError
from regrow.core.progress import Progress, Silent
from regrow.predict.codec import Codec
from regrow.predict.stream import LEAD_BYTES, BlockKind, StreamReader

# So many headers one behind the other are no accident; in a stream cut short they are all there is to go by.
_CHAIN = 4
_PIECE = 1 << 20


@dataclass(frozen=True)
class Hole:
    """What is lost: `stream_bytes` of the stream from byte `at` on, which stood for `raw_bytes` (None: nobody knows)
    at byte `out_at` of what was written."""

    at: int
    stream_bytes: int
    raw_bytes: int | None
    out_at: int

    def __str__(self) -> str:
        lost = "an unknown number of" if self.raw_bytes is None else f"{self.raw_bytes:,}"
        return (
            f"{self.stream_bytes:,} bytes of the stream at byte {self.at:,} are damaged or missing; {lost} bytes are "
            f"left out at byte {self.out_at:,} of the output"
        )


def salvage(
    codec: Codec,
    source: BinaryIO,
    out: BinaryIO,
    progress: Progress | None = None,
    *,
    name: str = "the stream",
) -> tuple[list[Hole], int]:
    """Write every sound block of a stream of blocks; returns what is lost, in order, and the bytes written.

    `source` must be seekable. Where a block's own header is damaged, the next one is sought: a place from which the
    stream reads on to its end. Raises StreamError for a stream that is one block, if it is damaged, and for one whose
    first bytes are not a stream's or another artifact's.
    """
    reader = StreamReader(source, name)
    reader.check_artifact(codec.sha256)
    size = source.seek(0, io.SEEK_END)
    reader.seek(LEAD_BYTES)
    holes: list[Hole] = []
    written = 0
    with (progress or Silent()).task("decode", None, "bytes") as task:
        while True:
            at, raw_bytes, after = reader.position, None, None
            try:
                block = reader.next_block()
                if block is None:
                    return holes, written
                raw_bytes, after = block.raw_bytes, reader.position
                raw = codec.decode_block(block, task, name)
            except StreamError:
                if reader.kind != BlockKind.BLOCKS:
                    raise
                found = _next_sound(source, reader, at, after, size)
                holes.append(Hole(at, found - at, raw_bytes if found == after else None, written))
                if found == size:
                    return holes, written
            else:
                written += out.write(raw)
                # A size that is damaged upwards hides the blocks behind, while the text may be right.
                found = _next_sound(source, reader, at, after, after)
            reader.seek(found)


def _next_sound(source: BinaryIO, reader: StreamReader, at: int, after: int | None, end: int) -> int:
    """Where the stream reads on behind a block that begins at `at` and, if its header is right, ends at `after`.

    Sought before `end`; where nothing is found, all that is left to go by is `after`, else `end`.
    """
    if after is not None and _reads_on(reader, after):
        return after
    places = itertools.takewhile(lambda place: place < end, _candidates(source, at + 1))
    return next((place for place in places if _reads_on(reader, place)), end if after is None else after)


def _candidates(source: BinaryIO, start: int) -> Iterator[int]:
    """The places from `start` on that hold the first byte of a block, or the last of a stream."""
    kinds = re.compile(b"[%s]" % bytes(BlockKind))
    while source.seek(start) == start and (piece := source.read(_PIECE)):
        yield from (start + found.start() for found in kinds.finditer(piece))
        start += len(piece)


def _reads_on(reader: StreamReader, at: int) -> bool:
    """Whether blocks follow each other from `at` to the stream's end, or some of them do."""
    reader.seek(at)
    try:
        for _ in range(_CHAIN):
            if reader.next_block(skip=True) is None:
                return True
    except StreamError:
        return False
    return True
