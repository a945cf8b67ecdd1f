"""`regrow score`: what each line or document costs under a model, for filtering text."""

from __future__ import annotations

import json as json_format
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.destination import STANDARD, destination
from regrow.cli.options import Json, Quiet, argument, artifact_in_run, flag, option
from regrow.cli.output import command_output
from regrow.core.errors import ConfigError
from regrow.core.files import utf8


class By(StrEnum):
    """What is one text."""

    line = "line"
    document = "document"


def command(
    model: Annotated[
        Path,
        argument(
            "MODEL",
            "An artifact.safetensors, the folder of a run, or an ARPA file (.gz too).",
            callback=artifact_in_run,
        ),
    ],
    file: Annotated[
        Path, argument("FILE", "Text, JSON lines (each may be .gz) or a Parquet file; - for standard input.")
    ],
    by: Annotated[
        By, typer.Option(help="What is scored by itself; documents end at lines of a form feed alone.")
    ] = By.line,
    out: Annotated[Path, option("OUT", "JSON lines; - for standard output.", "--out", "-o")] = STANDARD,
    text_field: Annotated[
        str | None,
        option(
            "NAME",
            "Lines are JSON, and this field is the text; or a Parquet file's column.  [default: text where FILE "
            "is named .jsonl or .parquet]",
        ),
    ] = None,
    force: Annotated[bool, flag("Replace OUT if it is there already.", "--force", "-f")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score every line or document by itself.

    A line of JSON each, in their order: bits, tokens, bytes, bits per byte, perplexity per token and per word. With an
    ARPA file a text is a sentence of words, </s> counted as a token. Lines count without their newline.
    """
    if json and out == STANDARD:
        raise ConfigError("--json: prints on standard output, where the scores go; choose a file with --out.")
    with (
        command_output(json, quiet) as output,
        destination(out, force=force, sources=(file, model)) as target,
    ):
        from regrow.data.readers import read_texts
        from regrow.predict.text_scores import TextScore, load_scorer, score_texts

        scorer = load_scorer(model)
        path = Path("/dev/stdin") if file == STANDARD else file
        texts = read_texts(path, by.value, utf8(text_field) if text_field else None)
        total, number, started = TextScore(0.0, 0, 0, 0, 0), 0, time.perf_counter()
        with output.progress.task("score", None, "texts") as task:
            for number, score in enumerate(score_texts(scorer, texts), 1):
                target.write(_line(by.value, number, score))
                total = total.plus(score)
                task.advance(1)
        seconds = time.perf_counter() - started
    if out != STANDARD:
        facts = {**_facts(total), "texts": number, "seconds": seconds, "out": out}
        output.result(facts)
        bpb = "" if total.bpb is None else f", {total.bpb:.4f} bits per byte"
        output.line(
            f"{out}: {number:,} {by.value}s, {total.tokens:,} tokens{bpb}, {total.tokens / seconds:,.0f} tokens/s"
        )


def _facts(score: object) -> dict[str, object]:
    from regrow.predict.text_scores import TextScore

    assert isinstance(score, TextScore)
    return {
        "bits": round(score.bits, 4),
        "tokens": score.tokens,
        "bytes": score.bytes,
        "bpb": _rounded(score.bpb),
        "perplexity": _rounded(score.perplexity),
        "words": score.words,
        "unknown": score.unknown,
        "word_perplexity": _rounded(score.word_perplexity),
    }


def _line(by: str, number: int, score: object) -> bytes:
    return json_format.dumps({by: number, **_facts(score)}, separators=(",", ":")).encode() + b"\n"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.7g}")
