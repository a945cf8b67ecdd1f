"""`regrow submit`: a parameter-golf record folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import Json, Quiet, refuse_for_now


def command(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Runs of several seeds.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder to make.", show_default=False)
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a record folder (in a later release).

    A parameter-golf submission with the seeds' mean, deviation and p-value.
    """
    refuse_for_now("`regrow submit`")
