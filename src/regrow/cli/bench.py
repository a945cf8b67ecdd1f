"""`regrow bench`: side by side with peers, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import Json, Quiet
from regrow.cli.output import speaking


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which bench.", show_default=False)],
    train: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training text, instead of the bench's own.")
    ] = None,
    val: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Held-out text, instead of the bench's own.")
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An artifact to measure, for the bench `adaptive`.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure side by side with peers.

    Keeps a dated result under bench/results/. A ratio is peer over ours, so larger is better.
    """
    with speaking(json, quiet) as output:
        from regrow.bench import run

        measured = run(name, train, val, output.progress, artifact=artifact)
        output.result(measured)
        output.tree(measured)
