"""`regrow eval`: bits per byte on held-out text, with its parts."""

from __future__ import annotations

from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, HeldOut, Json, Quiet, refuse_for_now
from regrow.cli.output import bits, speaking
from regrow.cli.runs import update_result


def command(
    artifact: ArtifactFile,
    data: HeldOut,
    stride: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Tokens scored a window; 0 for the whole window.  [default: the config's]",
        ),
    ] = None,
    ttt: Annotated[bool, typer.Option("--ttt", help="Also adapt to text already scored.")] = False,
    official_bytes: Annotated[
        bool, typer.Option("--official-bytes", help="Also parameter-golf's own byte count.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score held-out text, by part.

    Given a run's artifact and data, also updates the run's result.json.

    Several processes: `torchrun --nproc-per-node N -m regrow eval ...`
    """
    if ttt:
        refuse_for_now("--ttt")
    if official_bytes:
        refuse_for_now("--official-bytes")
    with speaking(json, quiet) as output:
        from regrow.dist import process_group
        from regrow.evaluation import evaluate

        with process_group() as group:
            progress = output.progress if group.is_first else None
            measured = evaluate(artifact, data, stride=stride, progress=progress, group=group)
        if not group.is_first:
            return
        parts = {"bpb": measured.bpb, "bytes": measured.bytes}
        # Sliding windows answer another question than the proof's streams, whose figures result.json holds.
        updated = None if stride else update_result(artifact, data, {**parts, "seconds": measured.seconds})
        output.result(parts)
        rows = [("network", measured.bpb.neural), ("memory", measured.bpb.memory)]
        output.table(
            [(name, bits(value)) for name, value in [*rows, ("blended", measured.bpb.blended)]],
            columns=("predictor", "bits per byte"),
        )
        if updated is not None:
            from regrow.reporting import save_passage

            save_passage(updated.parent, measured.passage)
            output.line(f"updated {updated}")
