"""`regrow sample`: text from the same predictor that is scored."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import partial
from typing import Annotated

from regrow.cli.options import ArtifactFile, Cache, Json, Quiet, array_cache, flag, option
from regrow.cli.output import Output, command_output
from regrow.core.errors import ConfigError


def command(
    artifact: ArtifactFile,
    prompt: Annotated[str, option("TEXT", "Text to continue.")] = "",
    tokens: Annotated[int, option("N", "Max tokens to draw.", min=1, max=10**9)] = 200,
    seed: Annotated[int, option("N", "The same seed draws the same text.", min=0, max=2**63 - 1)] = 0,
    temperature: Annotated[
        float, option("T", "Below 1 likely tokens become likelier; 0 takes the likeliest.")
    ] = 1.0,
    top_p: Annotated[float, option("P", "Draw from the likeliest tokens that together reach P alone.")] = 1.0,
    stream: Annotated[bool, flag("Print the text as it is drawn.", "--stream")] = False,
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
