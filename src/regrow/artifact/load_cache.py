"""Arrays that took seconds to make, kept in the user's cache folder and memory-mapped when they are asked for again.

A cache is never believed: every array's CRC-32 is compared when it is read, and what does not fit is made anew. The
name of a file is a hash of what was made (an artifact) and of the version of the code that made it.

File: b"regrow cache\\n", length of the head (8 bytes, little-endian), the head (JSON: names, dtypes, shapes, offsets,
checksums), its CRC-32 (4 bytes), the arrays, each from a multiple of 64 bytes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import platformdirs
from numpy.typing import NDArray

from regrow.core.errors import EnvironmentProblem, reason
from regrow.core.files import atomic_write, is_special, remove_leftovers

_MAGIC = b"regrow cache\n"
_ALIGNMENT = 64
_MAX_HEAD = 1 << 20
_MAX_ENTRY_BYTES = 512  # of the head, for an array
_SUFFIX = ".arrays"
LIMIT_BYTES = 2_000_000_000  # of all files together; the one used longest ago goes first

Arrays = Mapping[str, NDArray[Any]]


class _Entry(msgspec.Struct):
    name: str
    dtype: str
    shape: list[int]
    offset: int
    crc32: int


class ArrayCache:
    """A folder of kept arrays. `folder` None: the user's own (on Linux ~/.cache/regrow)."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder or platformdirs.user_cache_path("regrow", appauthor=False)
        self._limit = limit_bytes

    def path(self, *key: str) -> Path:
        """Where the arrays of this key lie."""
        return self.folder / (hashlib.sha256("\0".join(key).encode()).hexdigest()[:32] + _SUFFIX)

    def load(self, *key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays kept under this key, memory-mapped; a change of them stays in this process. None where there are
        none, or damaged ones."""
        path = self.path(*key)
        if not path.is_file():  # a FIFO in its place would be waited for
            return None
        try:
            whole = np.asarray(np.memmap(path, np.uint8, "c"))
            arrays = _arrays(whole)
        except (OSError, ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            return None
        with contextlib.suppress(OSError):
            path.touch()  # used now: the last to go
        return arrays

    def keep(self, arrays: Arrays, *key: str) -> str | None:
        """Keep arrays under this key, whole or not at all; the reason where they could not be kept."""
        size = sum(array.nbytes + _MAX_ENTRY_BYTES for array in arrays.values()) + _MAX_ENTRY_BYTES
        if size > self._limit:
            return f"{size:,} bytes are above the limit of {self._limit:,}"
        path = self.path(*key)
        if is_special(path):
            return f"{path.name} is no file"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder, f"*{_SUFFIX}")
            self._make_room(size)
            with atomic_write(path) as file:
                head, bodies = _packed(arrays)
                file.write(head)
                for offset, body in bodies:
                    file.write(bytes(offset - file.tell()))
                    file.write(body)
        except (EnvironmentProblem, OSError) as error:
            cause = error.__cause__ if isinstance(error, EnvironmentProblem) else error
            return reason(cause) if isinstance(cause, OSError) else str(error)
        return None

    def _make_room(self, wanted: int) -> None:
        files = sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda p: p.stat().st_mtime)
        total = sum(p.stat().st_size for p in files)
        for path in files:
            if total + wanted <= self._limit:
                return
            total -= path.stat().st_size
            path.unlink()


def _packed(arrays: Arrays) -> tuple[bytes, list[tuple[int, memoryview]]]:
    """The head, and each array's bytes with their offset in the file."""
    bodies = [
        memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data) for array in arrays.values()
    ]
    entries = [
        _Entry(name, array.dtype.str, list(array.shape), 0, zlib.crc32(body))
        for (name, array), body in zip(arrays.items(), bodies, strict=True)
    ]
    lead = len(_MAGIC) + 8
    room = lead + _MAX_ENTRY_BYTES * (len(entries) + 1)
    placed = []
    for entry, body in zip(entries, bodies, strict=True):
        room = -(-room // _ALIGNMENT) * _ALIGNMENT
        entry.offset = room
        placed.append((room, body))
        room += len(body)
    head = msgspec.json.encode(entries)
    return b"".join(
        [_MAGIC, len(head).to_bytes(8, "little"), head, zlib.crc32(head).to_bytes(4, "little")]
    ), placed


def _arrays(whole: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The arrays in a file's bytes. Raises ValueError or MsgspecError for anything that is not as it was written."""
    lead = len(_MAGIC) + 8
    size = int.from_bytes(whole[len(_MAGIC) : lead].tobytes(), "little")
    if whole[: len(_MAGIC)].tobytes() != _MAGIC or not size <= min(_MAX_HEAD, len(whole) - lead - 4):
        raise ValueError("no cache file")
    head = whole[lead : lead + size].tobytes()
    if zlib.crc32(head) != int.from_bytes(whole[lead + size : lead + size + 4].tobytes(), "little"):
        raise ValueError("damaged head")
    entries = msgspec.json.decode(head, type=list[_Entry])

    def read(entry: _Entry) -> NDArray[Any]:
        dtype = np.dtype(entry.dtype)
        end = entry.offset + math.prod(entry.shape) * dtype.itemsize
        body = whole[entry.offset : end]
        if len(body) != end - entry.offset or zlib.crc32(body.data) != entry.crc32:
            raise ValueError("damaged array")
        return body.view(dtype).reshape(entry.shape)

    with ThreadPoolExecutor(2) as pool:  # crc32 lets go of the interpreter's lock
        return {entry.name: array for entry, array in zip(entries, pool.map(read, entries), strict=True)}
