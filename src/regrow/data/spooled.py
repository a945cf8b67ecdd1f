"""Sources that are no files yet: standard input, URLs, and texts in memory are copied into temporary files first.

A source is read several times (a survey, the vocabulary, the tokens), and memory must not grow with it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import unquote, urlsplit

from regrow.core.errors import DataError, EnvironmentProblem, RegrowError
from regrow.core.files import utf8

Row: TypeAlias = str | bytes | Mapping[str, Any] | None

STDIN = "-"
_COPY_BYTES = 1 << 20


@contextlib.contextmanager
def local_sources(sources: Sequence[str]) -> Iterator[list[str]]:
    """`sources` with a file in the place of `-` (standard input) and of each URL, while the context lasts.

    URLs are opened by fsspec: https://, s3://, hf:// and what else is installed for it. Raises EnvironmentProblem
    without fsspec, or where a URL cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="regrow-source-") as folder:
        local = []
        for number, source in enumerate(sources):
            place = Path(folder) / str(number)  # two URLs may end in one name
            if source == STDIN:
                local.append(_copied(sys.stdin.buffer, place / "stdin"))
            elif "://" in source:
                local.append(_fetched(source, place / _file_name(source)))
            else:
                local.append(source)
        try:
            yield local
        except RegrowError as error:  # of the user's sources it speaks, not of where their copies are
            sentence = str(error)
            for copy, source in zip(local, sources, strict=True):
                sentence = sentence.replace(copy, "standard input" if source == STDIN else source)
            error.args = (sentence,)
            raise


@contextlib.contextmanager
def spooled(texts: Iterable[Row], field: str) -> Iterator[Path]:
    """A file of JSON lines, named `texts`, of texts in memory or out of a generator, while the context lasts.

    A text is a str, UTF-8 bytes, or a row whose `field` holds one; None is an empty one. Raises DataError naming the
    first that is neither.
    """
    if hasattr(texts, "select_columns"):  # a datasets.Dataset: other columns need not be decoded
        columns = getattr(texts, "column_names", None)
        if columns is not None and field not in columns:
            raise DataError(
                f"texts: no column {field} among {', '.join(columns)}; name the one that holds the text."
            )
        texts = texts.select_columns([field])
    with tempfile.TemporaryDirectory(prefix="regrow-texts-") as folder:
        path = Path(folder) / "texts"
        with path.open("w", encoding="utf-8") as file:
            for number, row in enumerate(texts, 1):
                file.write(json.dumps({field: _text_of(row, field, number)}) + "\n")
        yield path


def _text_of(row: object, field: str, number: int) -> str | None:
    if isinstance(row, Mapping):
        if field not in row:
            raise DataError(
                f"texts: row {number} has no field {field} among {', '.join(map(str, row)) or 'none'}; name the one "
                "that holds the text."
            )
        row = row[field]
    if isinstance(row, bytes):
        try:
            return row.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"texts: number {number} is not UTF-8 (byte {error.start}); decode it, or write it to a file."
            ) from error
    if not isinstance(row, str | None):
        raise DataError(f"texts: number {number} is of the type {type(row).__name__}; give strings.")
    return row


def _copied(source: BinaryIO, path: Path) -> str:
    path.parent.mkdir()
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, _COPY_BYTES)
    return str(path)


def _file_name(url: str) -> str:
    """The file's name in a URL, which says how it is read, without the query and what signs it."""
    path = urlsplit(url).path if url.startswith(("http://", "https://")) else url
    name = unquote(path.rstrip("/").rpartition("/")[2])
    return name[-100:] if name not in ("", ".", "..") and "/" not in name and "\0" not in name else "url"


def _fetched(url: str, path: Path) -> str:
    try:
        import fsspec
    except ImportError as error:
        raise EnvironmentProblem(
            f"{url}: URLs need fsspec; pip install 'fsspec[http]', or fetch the file yourself."
        ) from error
    try:
        with fsspec.open(url, "rb") as remote:
            return _copied(remote, path)
    except Exception as error:  # every kind of storage has errors of its own
        cause: BaseException | None = error
        while cause and str(cause).strip("'\"") in ("", url):  # fsspec may say no more than the address
            cause = cause.__cause__ or cause.__context__
        reason = " ".join(str(cause or type(error).__name__).split())[:160]
        raise EnvironmentProblem(
            f"{utf8(url)}: cannot be read ({reason}); check the address, or fetch the file yourself."
        ) from error
