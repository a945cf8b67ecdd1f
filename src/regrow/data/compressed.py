"""Compressed source files: what `.gz`, `.xz` and `.zst` hold, as bytes or as a file of its own."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from regrow.core.errors import DataError, EnvironmentProblem, readable

_CHUNK = 1 << 18


def is_packed(path: Path) -> bool:
    """Whether the file's name says that it is compressed."""
    return path.suffix.lower() in _READERS


def plain_name(path: Path) -> Path:
    """The path without `.gz`, `.xz` or `.zst`: what it holds is named so."""
    return path.with_suffix("") if is_packed(path) else path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file to read from; of a compressed one a temporary file with what it holds. Raises DataError if it cannot be
    read."""
    with contextlib.ExitStack() as stack:
        if is_packed(path):
            file: IO[bytes] = stack.enter_context(tempfile.TemporaryFile(prefix="regrow-unpacked-"))
            for chunk in unpacked(path):
                file.write(chunk)
            file.seek(0)
        else:
            with readable(path):
                file = stack.enter_context(path.open("rb"))
        with readable(path):
            yield file


def unpacked(path: Path) -> Iterator[bytes]:
    """What a compressed file holds, piece by piece. Raises DataError if it is damaged or cut short, EnvironmentProblem
    without the package that it needs."""
    try:
        yield from _READERS[path.suffix.lower()](path)
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            f"{path}: cannot be unpacked ({str(error).rstrip('.').lower()}); make it again, or copy it again."
        ) from error


def _gzip(path: Path) -> Iterator[bytes]:
    with _raw(path) as raw, gzip.GzipFile(fileobj=raw) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _xz(path: Path) -> Iterator[bytes]:
    return _streams(path, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ), lzma.LZMAError)


def _zstd(path: Path) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise EnvironmentProblem(
            f"{path}: .zst files need zstandard; pip install zstandard, or unpack it with zstd -d."
        ) from error
    return _streams(path, zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError)


def _streams(path: Path, begin: Callable[[], Any], damage: type[Exception]) -> Iterator[bytes]:
    """What streams that follow each other hold; `begin` makes the decompressor of one."""
    stream, whole = begin(), True
    with _raw(path) as raw:
        while chunk := raw.read(_CHUNK):
            while chunk:
                try:
                    yield stream.decompress(chunk)
                except damage as error:
                    raise ValueError(str(error)) from error
                chunk, whole = stream.unused_data, stream.eof
                if whole:
                    stream = begin()
    if not whole:
        raise EOFError("it ends in the middle")


def _raw(path: Path) -> IO[bytes]:
    with readable(path):
        return path.open("rb")


_READERS = {".gz": _gzip, ".xz": _xz, ".zst": _zstd}
