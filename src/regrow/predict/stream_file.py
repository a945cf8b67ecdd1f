"""A compressed stream as a file object: any part of its text, of which only the blocks touched are decoded."""

from __future__ import annotations

import bisect
import io
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from regrow.core.errors import StreamError, readable
from regrow.core.progress import Silent
from regrow.predict.codec import Codec, codec_of
from regrow.predict.stream import StreamReader

if TYPE_CHECKING:
    from regrow.artifact.artifact import Artifact

_KEPT_BYTES = 1 << 24  # of decoded blocks: four of the size that `regrow compress` makes


def open(path: Path | str, artifact: Path | str | Codec | Artifact) -> io.BufferedReader:
    """The text of the stream at `path`, read-only: `read`, `readinto`, `readline`, `seek`, `tell`, in bytes.

    `artifact`: what it was compressed with, its path or its run's folder, or a `Codec`, which many streams can share.
    A block is decoded when something of it is read, and the last few are kept, at most 16 MiB of them (or one). So
    the time that a first byte takes is that of its block: `regrow compress --block-size` makes smaller ones.

    Raises StreamError, here or when its block is read, for a stream that is damaged or another artifact's.
    """
    codec = codec_of(artifact)
    with readable(Path(path), kind=StreamError):
        file = Path(path).open("rb")  # noqa: SIM115 - the reader closes it
    try:
        return io.BufferedReader(_Blocks(file, codec, str(path)))
    except BaseException:
        file.close()
        raise


class _Blocks(io.RawIOBase):
    """The text as raw reads, each of which ends at the end of a block."""

    def __init__(self, file: BinaryIO, codec: Codec, name: str) -> None:
        super().__init__()
        self._file, self._codec, self._name = file, codec, name
        self._reader = StreamReader(file, name)
        self._reader.check_artifact(codec.sha256)
        headers = list(self._reader.headers())
        self._starts = [header.at for header in headers]
        self._kept: dict[int, bytes] = {}  # by number, the block read last at the end
        sizes = [
            len(self._block(i))
            if header.raw_bytes is None
            else header.raw_bytes  # only one block alone is silent
            for i, header in enumerate(headers)
        ]
        self._ends = list(accumulate(sizes))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.seek(0, io.SEEK_CUR)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        size = self._ends[-1] if self._ends else 0
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError(f"no place in the text: {offset} from {whence}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        number = bisect.bisect_right(self._ends, self.tell())
        if number == len(self._ends) or not len(buffer):
            return 0
        raw = self._block(number)
        start = self._at - (self._ends[number] - len(raw))
        taken = raw[start : start + len(buffer)]
        buffer[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._kept.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        raw = self._kept.pop(number, None)
        if raw is None:
            self._reader.seek(self._starts[number])
            block = self._reader.next_block()
            assert block is not None
            with Silent().task("decode") as task:
                raw = self._codec.decode_block(block, task, self._name)
        self._kept[number] = raw
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _KEPT_BYTES:
            del self._kept[next(iter(self._kept))]
        return raw
