"""`regrow report`: one self-contained page about one or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from regrow.cli.options import Force, Json, Quiet, argument, flag, option
from regrow.cli.output import command_output
from regrow.core.files import check_output
from regrow.core.run_folder import ARTIFACT, CONFIG, LOG, RESULT

RUN_FILES = (CONFIG, LOG, RESULT, ARTIFACT, "excerpt.json")


def command(
    runs: Annotated[list[Path], argument("RUN", "Folders of runs.")],
    out: Annotated[
        Path | None, option("FILE", "The page.  [default: RUN/report.html]", "--out", "-o")
    ] = None,
    markdown: Annotated[
        bool, flag("Print its tables, config and hashes as Markdown, or write them to FILE.", "--markdown")
    ] = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one page about runs, self-contained.

    The scores by part and by document, the training curve, the size by component, the proof, held-out text coloured by
    its loss, and a sample. A page at its default place is made anew without asking.
    """
    with command_output(json, quiet) as output:
        if out is not None:
            check_output(out, force=force, sources=[run / name for run in runs for name in RUN_FILES])
        if markdown:
            from regrow.core.files import atomic_write_text
            from regrow.report.markdown import markdown_report

            text = markdown_report(runs)
            output.result({"markdown": text})
            if out is None:
                output.line(text.rstrip())
            else:
                atomic_write_text(out, text)
            return
        from regrow.report.page import write_report

        page = write_report(runs, out)
        output.result({"report": page})
        output.line(f"report  {page}")
