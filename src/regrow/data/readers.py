"""Files to documents: plain text, JSON lines, Parquet; compressed ones (`.gz`, `.xz`, `.zst`) as what is in them."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from regrow.core.errors import DataError, EnvironmentProblem, readable
from regrow.core.magic import CONTROL, MAX_CONTROL, wide_encoding
from regrow.data.compressed import is_packed, opened, plain_name, unpacked
from regrow.data.documents import FORM_FEED_LINE, Text
from regrow.data.foreign_formats import FOREIGN_HEAD_BYTES, foreign_format


class ReadAs(NamedTuple):
    """How files are read: `kind` "text", "lines", "jsonl" or "parquet", None for what each file's name says; `field`:
    the field of a JSON line, and the column of a Parquet file, that holds the document."""

    kind: str | None = None
    field: str = "text"

    def kind_of(self, path: Path) -> str:
        """How the file at `path` is read. Raises DataError for a format that is neither of them, naming it."""
        name = plain_name(path)
        kind = self.kind or _KINDS.get(name.suffix.lower())
        # What a pipe gives is gone once it is looked at.
        looks = kind is None or (kind == "jsonl" and path.is_file())
        if looks and (encoding := wide_encoding(_head(path))):
            fix = f"convert it to UTF-8 (iconv -f {encoding} -t UTF-8)"
            insist = ", or insist with --as text" if kind is None else ""
            raise DataError(f"{path}: is {encoding} text, not plain text; {fix}{insist}.")
        if kind is None:
            foreign = foreign_format(name, _head(path))
            if foreign is not None:
                raise DataError(
                    f"{path}: is {foreign}, not plain text; convert it to UTF-8 text, JSON lines or Parquet, or insist "
                    "with --as text."
                )
        return kind or "text"


_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_AS_NAMED = ReadAs()

_WINDOW = 1 << 22  # bytes looked at in one go
_MAPPED_FROM = 1 << 24  # a larger text file is mapped instead of read


def read_documents(
    path: Path, read_as: ReadAs = _AS_NAMED, tell_empty: Callable[[int], None] = lambda rows: None
) -> Iterator[Text]:
    """The documents of one file one by one, empty ones left out; the file's name or `read_as` says which reader.

    jsonl (`.jsonl`, `.ndjson`): a field of each line. parquet: a column, a row a document. In both a null is an empty
    document, and at the end `tell_empty` is told how many rows were. text: one document, or several where a line holds
    a form feed and nothing else. lines: each line of a text, its newline included. Raises DataError if the file cannot
    be read so.
    """
    kind = read_as.kind_of(path)
    if kind == "lines":
        yield from lines_of(path)
        return
    if kind == "text":
        yield from (part for part in _text(path, insist=read_as.kind is not None) if len(part))
        return
    empty = 0
    for row in read_rows(path, read_as):
        if row:
            yield row
        else:
            empty += 1
    tell_empty(empty)


def read_rows(path: Path, read_as: ReadAs) -> Iterator[bytes]:
    """The rows of a JSONL or Parquet file one by one, empty ones too. Raises DataError if it cannot be read so."""
    return (
        _json_lines(path, read_as.field)
        if read_as.kind_of(path) == "jsonl"
        else _parquet(path, read_as.field)
    )


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, whatever it holds, with their newlines."""
    with opened(path) as file:
        yield from file


def read_texts(path: Path, by: str, field: str | None = None) -> Iterator[bytes]:
    """The texts of a file, packed ones too, in their order, empty ones included, without the newlines between them. One
    at a time is held.

    `by` "line": each line, or its `field` where it is JSON, which `.jsonl` is (field text). `by` "document": the same
    of JSON lines; of other text the parts between lines that hold a form feed and nothing else. A Parquet file gives
    its column's rows. Raises DataError if it cannot be read so.
    """
    kind = _KINDS.get(plain_name(path).suffix.lower()) or ("jsonl" if field else "text")
    if kind != "text":
        yield from read_rows(path, ReadAs(kind, field or "text"))
    elif by == "line":
        for line in lines_of(path):
            yield line.removesuffix(b"\n")
    else:
        part: list[bytes] = []
        for line in lines_of(path):
            if FORM_FEED_LINE.fullmatch(line):
                yield b"".join(part)
                part = []
            else:
                part.append(line)
        yield b"".join(part)


def _head(path: Path) -> bytes:
    if is_packed(path):
        return next(unpacked(path), b"")[:FOREIGN_HEAD_BYTES]
    with readable(path), path.open("rb") as file:
        return file.read(FOREIGN_HEAD_BYTES)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises DataError, naming it, if it cannot be read."""
    with readable(path):
        return path.read_bytes()


def read_text(path: Path, *, insist: bool = False) -> Text:
    """The bytes of a text file, whatever its encoding, mapped where it is large. Raises DataError if it is not text,
    unless the caller insists."""
    data = _mapped(path)
    if insist:
        return data
    control = 0
    for at in range(0, len(data), _WINDOW):
        window = bytes(data[at : at + _WINDOW])
        control += len(window) - len(window.translate(None, CONTROL))
    if control > MAX_CONTROL * len(data):
        raise DataError(
            f"{path}: not text ({100 * control / len(data):.0f} % of its bytes are control characters); "
            "unpack it, convert it to UTF-8, or insist with --as text."
        )
    return data


def _mapped(path: Path) -> Text:
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size < _MAPPED_FROM:
            return file.read()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _text(path: Path, insist: bool) -> Iterator[Text]:
    data = read_text(path, insist=insist)
    if isinstance(data, bytes):
        yield from FORM_FEED_LINE.split(data)
        return
    start = 0
    for found in FORM_FEED_LINE.finditer(data):
        yield data[start : found.start()]
        start = found.end()
    yield data[start:]


def _json_lines(path: Path, field: str) -> Iterator[bytes]:
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: line {number} is not UTF-8 (byte {error.start + 1} of it); convert the file, from Latin-1 "
                "for instance with iconv -f LATIN1 -t UTF-8."
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}: line {number} is not JSON ({getattr(error, 'msg', error)}); each line must be an object with "
                f"a string field {field}."
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: line {number} is no object; each line must be one, with a field {field}."
            )
        if field not in row:
            raise _no_field(path, f"line {number} has no field {field}", row)
        text = row[field]
        if not isinstance(text, str | None):
            raise DataError(f"{path}: line {number}: the field {field} must be a string or null.")
        # JSON can spell half a surrogate pair; its bytes are kept, though they are not UTF-8.
        yield (text or "").encode("utf-8", "surrogatepass")


def _no_field(path: Path, fault: str, names: Iterable[str]) -> DataError:
    return DataError(
        f"{path}: {fault} among {', '.join(names) or 'none'}; name the one that holds the text with --text-field."
    )


def _parquet(path: Path, field: str) -> Iterator[bytes]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EnvironmentProblem(f"{path}: Parquet files need pyarrow; pip install pyarrow.") from error
    try:
        with readable(path), path.open("rb"):  # what cannot be opened is told as of every other file
            pass
        readable_file = opened(path) if is_packed(path) else nullcontext(path)
        with readable_file as source, pyarrow.parquet.ParquetFile(source) as file:
            schema = file.schema_arrow
            if field not in schema.names:
                raise _no_field(path, f"no column {field}", schema.names)
            kind = schema.field(field).type
            values = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
            if str(values).removeprefix("large_").removesuffix("_view") not in ("string", "binary", "null"):
                raise DataError(f"{path}: the column {field} holds {kind}; it must hold strings.")
            for batch in file.iter_batches(columns=[field]):
                rows = batch.column(0).cast(values).cast(pyarrow.large_binary()).to_pylist()
                yield from (row or b"" for row in rows)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable Parquet file ({reason}); make it again.") from error
