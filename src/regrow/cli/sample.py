"""`regrow sample`: text from the same predictor that is scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, Json, Quiet
from regrow.cli.output import command_output


def command(
    artifact: ArtifactFile,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="Text to continue.")] = "",
    tokens: Annotated[int, typer.Option(metavar="N", min=1, help="Max tokens to draw.")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed draws the same text.")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw text from an artifact.

    One token at a time, until a document ends or N tokens are drawn.
    """
    with command_output(json, quiet) as output:
        drawn: list[bytes] = []
        with output.progress.task("sample", total=tokens, unit="tokens") as task:
            for piece in draw(artifact, prompt, tokens, seed):
                drawn.append(piece)
                task.advance(1)
        # The last token may end within a letter.
        text = b"".join(drawn).decode("utf-8", errors="replace")
        output.result({"prompt": prompt, "text": text, "tokens": len(drawn), "seed": seed})
        output.line(prompt + text)


def draw(path: Path, prompt: str, tokens: int, seed: int) -> Iterator[bytes]:
    """At most `tokens` tokens after `prompt`, as bytes, drawn from the artifact's predictor."""
    import random

    import numpy as np

    from regrow.artifact.artifact import Artifact
    from regrow.core.dist import set_threads

    set_threads()
    artifact = Artifact.load(path)
    tokenizer = artifact.tokenizer
    predictor = artifact.predictor(1)
    for token in tokenizer.encode(prompt.encode("utf-8", "surrogateescape")):
        predictor.update(np.array([token], dtype=np.int64))
    chance = random.Random(seed)
    for _ in range(tokens):
        probs_V = np.exp(predictor.predict()[0].cpu().numpy())
        total = np.cumsum(probs_V)
        token = int(np.searchsorted(total, chance.random() * total[-1], side="right"))
        if token == tokenizer.bos_id:
            return
        yield tokenizer.decode([token])
        predictor.update(np.array([token], dtype=np.int64))
