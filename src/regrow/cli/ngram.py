"""`regrow ngram build`: an n-gram model by itself, of words as an ARPA file or of tokens as an artifact."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regrow.cli.destination import STANDARD, destination
from regrow.cli.options import Json, Quiet, argument, flag, option
from regrow.cli.output import Output, command_output
from regrow.core.errors import ConfigError, DataError
from regrow.core.files import check_output, utf8
from regrow.core.quantities import parse_bytes

if TYPE_CHECKING:
    from regrow.data.documents import Texts


def command(
    files: Annotated[
        list[Path],
        argument("TEXT...", "Text or JSON lines (each may be .gz) or Parquet files; - for standard input."),
    ],
    out: Annotated[Path, option("OUT", "The model to write.", "--out", "-o")],
    words: Annotated[
        bool, flag("Words, a sentence a line: OUT is an ARPA file, packed if it ends in .gz.", "--words")
    ] = False,
    bpe: Annotated[bool, flag("Tokens that the text gives: OUT is an artifact.", "--bpe")] = False,
    chars: Annotated[bool, flag("Bytes: OUT is an artifact.", "--chars")] = False,
    order: Annotated[int, option("N", "The longest n-gram.", min=1, max=16)] = 5,
    vocab: Annotated[int | None, option("N", "With --bpe: tokens.  [default: 1024]")] = None,
    budget: Annotated[
        str | None,
        option("SIZE", "With --bpe and --chars: the artifact's size at most, such as 4MB.  [default: 16MB]"),
    ] = None,
    by: Annotated[
        str | None,
        option(
            "line|document",
            "With --bpe and --chars: what begins anew; documents end at lines of a form feed alone.  [default: "
            "document]",
        ),
    ] = None,
    text_field: Annotated[str | None, option("NAME", "Lines are JSON, and this field is the text.")] = None,
    force: Annotated[bool, flag("Replace OUT if it is there already.", "--force", "-f")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate an n-gram model: interpolated modified Kneser-Ney.

    --words estimates what KenLM's lmplz does, from texts of any size. --bpe and --chars make artifacts of a memory
    alone, which compress, prove, eval, sample and score take.
    """
    if words + bpe + chars != 1:
        raise ConfigError(
            "regrow ngram build: says what n-grams are made of; give --words, --bpe or --chars."
        )
    if words and (vocab, budget, by) != (None, None, None):
        raise ConfigError(
            "--vocab, --budget and --by are for --bpe and --chars; leave them out with --words."
        )
    if chars and vocab is not None:
        raise ConfigError("--vocab: bytes are 256 and stay so; leave it out with --chars.")
    if by not in (None, "line", "document"):
        raise ConfigError(f"--by {by}: give line or document.")
    field = utf8(text_field) if text_field else None
    with command_output(json, quiet) as output:
        if words:
            _build_words(files, out, order, field, force, output)
        else:
            size = 257 if chars else vocab or 1024
            _build_artifact(
                files,
                out,
                order,
                (size, parse_bytes(budget or "16MB", "--budget"), by or "document", field),
                force,
                output,
            )


def _build_words(
    files: list[Path], out: Path, order: int, field: str | None, force: bool, output: Output
) -> None:
    from regrow.data.readers import read_texts
    from regrow.ngram.store.arpa import write_arpa
    from regrow.ngram.word_counts import estimate_words

    def lines() -> Iterator[bytes]:
        for file in files:
            for text in read_texts(_path(file), "line", field):
                yield from text.split(b"\n")

    with destination(out, force=force, sources=tuple(files)) as target:
        with output.progress.task("count", None, "bytes") as task:
            vocabulary, orders = estimate_words(lines(), order, task.advance, output.progress.log)
        entries = [len(of_order.log10_N) for of_order in orders]
        with output.progress.task("write", sum(entries), "n-grams") as task:
            if out.suffix.lower() == ".gz":
                with gzip.GzipFile(
                    filename="", fileobj=target, mode="wb", compresslevel=6, mtime=0
                ) as packed:
                    write_arpa(packed, vocabulary, orders, task.advance)
            else:
                write_arpa(target, vocabulary, orders, task.advance)
    if out != STANDARD:
        output.result({"out": out, "words": len(vocabulary), "ngrams": entries})
        output.line(
            f"{out}: {len(vocabulary):,} words, {sum(entries):,} n-grams of orders 1 to {len(entries)}"
        )


def _build_artifact(
    files: list[Path],
    out: Path,
    order: int,
    how: tuple[int, int, str, str | None],
    force: bool,
    output: Output,
) -> None:
    from regrow.artifact.memory_artifact import build_memory_artifact

    vocab, budget, by, field = how

    if out == STANDARD:
        raise ConfigError("--out -: an artifact is a file; give it a name.")
    check_output(out, force=force, sources=files)
    ledger = build_memory_artifact(
        out, _texts(files, by, field), order=order, vocab_size=vocab, budget_bytes=budget,
        progress=output.progress,
    )  # fmt: skip
    output.result({"out": out, "bytes": ledger.total, "parts": ledger.parts()})
    output.line(f"{out}: {ledger.total:,} bytes, of which the memory takes {ledger.parts()['memory']:,}")


def _texts(files: list[Path], by: str, field: str | None) -> Texts:
    from regrow.data.documents import Texts
    from regrow.data.readers import read_texts

    def read() -> Iterator[bytes]:
        for file in files:
            yield from (text for text in read_texts(_path(file), by, field) if text)

    if any(not path.is_file() for path in map(_path, files)):  # a pipe is read once
        return Texts.of(list(read()))
    return Texts.survey(read, "the text")


def _path(file: Path) -> Path:
    if file.is_dir():
        raise DataError(f"{file}: is a folder; give its files.")
    return Path("/dev/stdin") if file == STANDARD else file
