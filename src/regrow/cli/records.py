"""`regrow records compress` and `decompress`: many small records, each decodable by itself."""

from __future__ import annotations

import contextlib
import json as json_format
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from regrow.cli.destination import STANDARD, destination, refuse_json, source
from regrow.cli.options import Cache, Force, Json, ModelFile, Quiet, argument, array_cache, option
from regrow.cli.output import Output, command_output
from regrow.core.errors import ConfigError, DataError
from regrow.core.files import utf8

if TYPE_CHECKING:
    from regrow.predict.record_codec import RecordCodec

Out: TypeAlias = Annotated[Path, option("OUT", "The file to write; - for standard output.", "--out", "-o")]


def compress(
    model: ModelFile,
    file: Annotated[
        Path, argument("FILE", "Lines of text or JSON, or a Parquet file; - for standard input.")
    ],
    out: Out,
    text_field: Annotated[
        str | None,
        option(
            "NAME",
            "The records are this field of JSON lines, or this column of a Parquet file.  [default: whole lines; "
            "of a Parquet file, text]",
        ),
    ] = None,
    checksum: Annotated[
        int,
        option("BYTES", "Of a checksum at each record: damage is noticed record by record.", min=0, max=4),
    ] = 0,
    force: Force = False,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress many small records, each decodable by itself.

    A line is a record; or a field of each JSON line, or a row of a Parquet column. Without --checksum each 64 records
    have one together, of 4 bytes.
    """
    with command_output(json, quiet) as output, _result(output, out, json) as told:
        field = utf8(text_field or ("text" if file.suffix.lower() == ".parquet" else ""))
        with destination(out, force=force, sources=(file, model)) as target:
            from regrow.predict.record_file import RecordWriter

            codec, sha256 = _codec(model, cache)
            writer = RecordWriter(target, codec.checked(checksum), sha256, field)
            open_line = False
            with output.progress.task("compress", None, "records") as task:
                for record in _rows(file, field) if field else _lines(file):
                    open_line = not field and not record.endswith(b"\n")
                    writer.add(record if field else record.removesuffix(b"\n"))
                    task.advance(1)
                writer.finish(open_line=open_line)
        told.update(records=writer.records, raw_bytes=writer.raw_bytes, bytes=writer.written)
        each = f", {writer.written / writer.records:.2f} a record" if writer.records else ""
        told["line"] = (
            f"{writer.records:,} records of {writer.raw_bytes:,} bytes became {writer.written:,} bytes{each}"
        )


def decompress(
    model: ModelFile,
    file: Annotated[Path, argument("FILE", "What `regrow records compress` wrote; - for standard input.")],
    out: Out,
    record: Annotated[
        list[int] | None,
        option("N", "This record alone, counted from 1; may be given again.", min=1, max=2**63 - 1),
    ] = None,
    force: Force = False,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring back records that were compressed, all or some.

    Lines come back as they were; fields come back as JSON lines with that field alone.
    """
    with command_output(json, quiet) as output, _result(output, out, json) as told:
        if record and file == STANDARD:
            raise ConfigError(
                "--record: needs a file, in which it can be sought; write the input to one first."
            )
        with destination(out, force=force, sources=(file, model)) as target, source(file) as stream:
            from regrow.predict.record_file import RecordReader

            reader = RecordReader(stream, "standard input" if file == STANDARD else str(file))
            codec = reader.codec(*_codec(model, cache))
            count, written = 0, 0
            if record:
                for place in record:
                    written += target.write(_shown([reader.record(codec, place)], reader.field))
                    count += 1
            else:
                waiting = b""  # the last newline goes if the last line had none
                with output.progress.task("decompress", None, "records") as task:
                    for records in reader.decoded(codec):
                        written += target.write(waiting)
                        waiting = _shown(records, reader.field)
                        count += len(records)
                        task.advance(len(records))
                assert reader.end is not None
                written += target.write(waiting[:-1] if reader.end.open_line else waiting)
        told.update(records=count, raw_bytes=written, line=f"{count:,} records, {written:,} bytes")


@contextlib.contextmanager
def _result(output: Output, out: Path, json: bool) -> Iterator[dict[str, object]]:
    """What a command tells when all has gone well; nothing where the bytes themselves go to standard output."""
    if out == STANDARD:
        refuse_json(json)
    told: dict[str, object] = {"out": out}
    yield told
    line = told.pop("line")
    if out != STANDARD:
        output.result(told)
        output.line(f"{out}: {line}")


def _codec(model: Path, cache: bool) -> tuple[RecordCodec, str]:
    """The codec of an artifact, and the artifact's SHA-256."""
    from regrow.predict.codec import Codec

    codec = Codec.load(model, cache=array_cache(cache))
    return codec.records(), codec.sha256


def _lines(file: Path) -> Iterator[bytes]:
    with source(file) as lines:
        yield from lines


def _rows(file: Path, field: str) -> Iterator[bytes]:
    """The field of each row, as UTF-8."""
    from regrow.data.readers import ReadAs, read_rows

    kind = "parquet" if file.suffix.lower() == ".parquet" else "jsonl"
    path = Path("/dev/stdin") if file == STANDARD else file
    for number, row in enumerate(read_rows(path, ReadAs(kind, field)), 1):
        try:
            row.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: row {number:,} of {field} is not UTF-8 text; take it out.") from error
        yield row


def _shown(records: Iterable[bytes], field: str) -> bytes:
    """Records as lines, or as JSON lines of one field."""
    if field:
        records = (
            json_format.dumps({field: record.decode("utf-8", "surrogatepass")}).encode() for record in records
        )
    return b"".join(record + b"\n" for record in records)
