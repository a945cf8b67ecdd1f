"""Files to documents: plain text, JSON lines, Parquet."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from regrow.core.errors import DataError, EnvironmentProblem
from regrow.data.documents import Text

FIELD = "text"  # the field of a JSON line, and the column of a Parquet file, that holds the document

# Begins with the form feed itself, which a search finds ten times sooner than the beginnings of lines.
_FORM_FEED_LINE = re.compile(rb"\x0c(?<![^\n]\x0c)\r?(?:\n|\Z)")
# Control characters that no text has: all but those that move the cursor, ring the bell or begin an escape.
_CONTROL = bytes(set(range(32)) - set(b"\a\b\t\n\v\f\r\x1b"))
_MOST_CONTROL = (
    0.02  # share of a text; compressed and compiled files have more, in UTF-16 every second byte is 0
)
_WINDOW = 1 << 22  # bytes looked at in one go
_MAPPED_FROM = 1 << 24  # a larger text file is mapped instead of read


def read_documents(path: Path) -> Iterator[Text]:
    """The documents of one file one by one, empty ones left out; the file's name says which reader.

    `.jsonl` and `.ndjson`: the field `text` of each line. `.parquet`: the column `text`, a row a document.
    Anything else is text, one document, or several where a line holds a form feed and nothing else. Raises
    DataError if the file cannot be read so.
    """
    reader = _READERS.get(path.suffix.lower(), _text)
    return (document for document in reader(path) if len(document))


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises DataError, naming it, if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); give it a file that can."
    )


def read_text(path: Path) -> Text:
    """The bytes of a text file, whatever its encoding, mapped where it is large. Raises DataError if it is not text."""
    data = _mapped(path)
    control = 0
    for at in range(0, len(data), _WINDOW):
        window = bytes(data[at : at + _WINDOW])
        control += len(window) - len(window.translate(None, _CONTROL))
    if control > _MOST_CONTROL * len(data):
        raise DataError(
            f"{path}: not text ({100 * control / len(data):.0f} % of its bytes are control characters); "
            "unpack it or convert it to UTF-8 first."
        )
    return data


def _mapped(path: Path) -> Text:
    try:
        if path.stat().st_size < _MAPPED_FROM:
            return read_bytes(path)
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise _unreadable(path, error) from error


def _text(path: Path) -> Iterator[Text]:
    data = read_text(path)
    if isinstance(data, bytes):
        yield from _FORM_FEED_LINE.split(data)
        return
    start = 0
    for found in _FORM_FEED_LINE.finditer(data):
        yield data[start : found.start()]
        start = found.end()
    yield data[start:]


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise _unreadable(path, error) from error


def _json_lines(path: Path) -> Iterator[Text]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}: line {number} is not JSON ({getattr(error, 'msg', error)}); each line must be an "
                f"object with a string field {FIELD}."
            ) from error
        text = row.get(FIELD) if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise DataError(
                f"{path}: line {number} has no string field {FIELD}; each line must be an object with one."
            )
        # JSON can spell half a surrogate pair; its bytes are kept, though they are not UTF-8.
        yield text.encode("utf-8", "surrogatepass")


def _parquet(path: Path) -> Iterator[Text]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EnvironmentProblem(f"{path}: Parquet files need pyarrow; pip install pyarrow.") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            if FIELD not in schema.names:
                columns = ", ".join(schema.names)
                raise DataError(
                    f"{path}: no column {FIELD} among {columns}; rename the one that holds the text."
                )
            kind = schema.field(FIELD).type
            values = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
            if str(values).removeprefix("large_").removesuffix("_view") not in ("string", "binary"):
                raise DataError(f"{path}: the column {FIELD} holds {kind}; it must hold strings.")
            for batch in file.iter_batches(columns=[FIELD]):
                rows = batch.column(0).cast(values).cast(pyarrow.large_binary()).to_pylist()
                yield from (row for row in rows if row is not None)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(f"{path}: not a readable Parquet file ({reason}); make it again.") from error


_READERS: dict[str, Callable[[Path], Iterator[Text]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
