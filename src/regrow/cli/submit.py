"""`regrow submit`: a parameter-golf record folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import Json, Quiet, argument, option
from regrow.cli.output import command_output


class Track(StrEnum):
    """Whether the challenge's time caps count."""

    non_record = "non-record"
    record = "record"


def command(
    runs: Annotated[list[Path], argument("RUN", "Runs of several seeds.")],
    out: Annotated[Path, option("DIR", "The folder to make.", "--out")],
    author: Annotated[str, option("NAME", "Who submits.")] = "unknown",
    github_id: Annotated[str, option("ID", "The author's GitHub name.")] = "unknown",
    name: Annotated[str, option("TEXT", "The submission's name.  [default: from the config]")] = "",
    blurb: Annotated[str, option("TEXT", "What it is, in a sentence.  [default: from the config]")] = "",
    baseline: Annotated[
        float | None, option("BPB", "Bits per byte to be better than, on the same text.")
    ] = None,
    track: Annotated[
        Track, typer.Option(help="With record, 600 s of training and of evaluation are the most.")
    ] = (Track.non_record),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a record folder from runs of several seeds.

    A parameter-golf submission: README.md, submission.json, a log of each seed, a train_gpt.py that stands alone and
    its requirements.txt, with the seeds' mean, deviation and p-value. The folder is then audited.

    Exits with 1 if a rule is not met (every one is named, nothing is written), or if the audit finds anything.
    """
    with command_output(json, quiet) as output:
        from regrow.challenge.audit import audit
        from regrow.challenge.submit.record import Author, submit
        from regrow.core.files import check_writable, utf8

        check_writable(out, folder=True)
        about = Author(utf8(author), utf8(github_id), utf8(name), utf8(blurb))
        made = submit(runs, out, about, baseline=baseline, track=track.value)
        verdict = audit(out).verdict
        output.result(
            {"folder": out, "verdict": verdict, "artifact_budget": made.artifact_budget, **made.claims}
        )
        claims = made.claims
        std, p = claims["val_bpb_std"], claims.get("p_value")
        output.table(
            [
                ("seeds", ", ".join(map(str, claims["seeds"]))),
                ("bits per byte, mean", f"{claims['val_bpb']:.5f}"),
                ("  standard deviation", "-" if std is None else f"{std:.5f}"),
                ("  proven, mean", f"{claims['proven_bpb']:.5f}"),
                ("p-value", "-" if p is None else f"{p:.3g}"),
                ("bytes, code and model", f"{claims['bytes_total']:,}"),
                ("  of it code", f"{claims['bytes_code']:,}"),
                ("  budget left for the model", f"{made.artifact_budget:,}"),
            ]
        )
        output.line(f"audit       {verdict}")
        output.line(f"submission  {out}")
        if verdict != "clean":
            raise typer.Exit(1)
