"""`regrow sample`: text from the same predictor that is scored."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, Cache, Json, Quiet, array_cache
from regrow.cli.output import Output, command_output
from regrow.core.errors import ConfigError


def command(
    artifact: ArtifactFile,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="Text to continue.")] = "",
    tokens: Annotated[int, typer.Option(metavar="N", min=1, max=10**9, help="Max tokens to draw.")] = 200,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="The same seed draws the same text.")
    ] = 0,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Below 1 likely tokens become likelier; 0 takes the likeliest.")
    ] = 1.0,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="Draw from the likeliest tokens that together reach P alone.")
    ] = 1.0,
    stream: Annotated[bool, typer.Option("--stream", help="Print the text as it is drawn.")] = False,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw text from an artifact.

    One token at a time, until a document ends or N tokens are drawn.
    """
    if stream and json:
        raise ConfigError("--stream and --json: an object is printed when it is whole; give one of them.")
    with command_output(json, quiet) as output:
        import random

        from regrow.predict.codec import Codec
        from regrow.predict.sampling import draw, sampled

        codec = Codec.load(artifact, cache=array_cache(cache), notice=output.progress.log)
        choose = partial(draw, chance=random.Random(seed), temperature=temperature, top_p=top_p)
        pieces = sampled(codec, prompt.encode("utf-8", "surrogateescape"), tokens, choose)
        if stream:
            _stream(output, prompt, pieces)
            return
        drawn: list[bytes] = []
        with output.progress.task("sample", total=tokens, unit="tokens") as task:
            for piece in pieces:
                drawn.append(piece)
                task.advance(1)
        # The last token may end within a letter.
        text = b"".join(drawn).decode("utf-8", errors="replace")
        output.result({"prompt": prompt, "text": text, "tokens": len(drawn), "seed": seed})
        output.line(prompt + text)


def _stream(output: Output, prompt: str, pieces: Iterator[bytes]) -> None:
    """The text as it is drawn; a token may end within a letter."""
    letters = codecs.getincrementaldecoder("utf-8")("replace")
    output.part(prompt)
    for piece in pieces:
        output.part(letters.decode(piece))
    output.line(letters.decode(b"", final=True))
