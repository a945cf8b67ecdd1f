"""`regrow audit`: does somebody's score mean what it says?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import Json, Quiet, refuse_for_now


class Level(StrEnum):
    """Severities, from the least."""

    low = "low"
    medium = "medium"
    high = "high"


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Scripts, submission folders or artifacts.", show_default=False),
    ],
    run: Annotated[
        Path | None, typer.Option(metavar="SHIM", help="Also probe the scorer that this shim wraps.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Also start the script for a few steps.")] = False,
    many: Annotated[bool, typer.Option("--many", help="PATH is a folder of submissions.")] = False,
    fail_on: Annotated[Level, typer.Option(help="Exit with 1 for a finding of this severity.")] = Level.high,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the findings as SARIF.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check somebody's score (in a later release).

    Looks for the ways in which published bits per byte were wrong.
    """
    refuse_for_now("`regrow audit`")
