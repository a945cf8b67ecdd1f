"""`regrow sample`: text from the same predictor that is scored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from regrow.cli.options import ArtifactFile, Cache, Json, Quiet, array_cache
from regrow.cli.output import command_output

if TYPE_CHECKING:
    from regrow.predict.codec import Codec


def command(
    artifact: ArtifactFile,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="Text to continue.")] = "",
    tokens: Annotated[int, typer.Option(metavar="N", min=1, help="Max tokens to draw.")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed draws the same text.")] = 0,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw text from an artifact.

    One token at a time, until a document ends or N tokens are drawn.
    """
    with command_output(json, quiet) as output:
        from regrow.predict.codec import Codec

        codec = Codec.load(artifact, cache=array_cache(cache), notice=output.progress.log)
        drawn: list[bytes] = []
        with output.progress.task("sample", total=tokens, unit="tokens") as task:
            for piece in sampled(codec, prompt.encode("utf-8", "surrogateescape"), tokens, seed):
                drawn.append(piece)
                task.advance(1)
        # The last token may end within a letter.
        text = b"".join(drawn).decode("utf-8", errors="replace")
        output.result({"prompt": prompt, "text": text, "tokens": len(drawn), "seed": seed})
        output.line(prompt + text)


def sampled(codec: Codec, prompt: bytes, tokens: int, seed: int) -> Iterator[bytes]:
    """At most `tokens` tokens after `prompt`, as bytes, drawn from the exact rows: the same text on every machine."""
    import random

    import numpy as np

    from regrow.predict.codec import CHUNK
    from regrow.predict.sampling import draw

    rows = codec.rows(1, CHUNK, None)
    given = codec.tokenizer.encode(prompt).astype(np.int64)
    for at in range(0, len(given), CHUNK):
        rows.intervals(given[None, at : at + CHUNK])
    chance = random.Random(seed)
    for _ in range(tokens):
        weights_SV, _ = rows.weights()
        token = draw(weights_SV[0].astype(np.float64), chance)
        if token == codec.tokenizer.bos_id:
            return
        yield codec.tokenizer.decode([token])
        rows.advance(np.array([token]))
