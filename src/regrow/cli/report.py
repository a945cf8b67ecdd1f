"""`regrow report`: one self-contained page about one or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import Json, Quiet
from regrow.cli.output import command_output


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page.  [default: RUN/report.html]"),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one page about runs, self-contained.

    The scores by part, the training curve, the ledger, the proof, and held-out text coloured by its cost.
    """
    with command_output(json, quiet) as output:
        from regrow.report.page import write_report

        page = write_report(runs, out)
        output.result({"report": page})
        output.line(f"report  {page}")
