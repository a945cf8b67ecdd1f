"""`regrow compress`: the artifact as a codec, for any bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, EvalOverrides, Json, Quiet, refuse_settings
from regrow.cli.output import command_output
from regrow.core.files import atomic_write_bytes, check_writable


def command(
    artifact: ArtifactFile,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="The stream to write.", show_default=False)
    ],
    ttt: Annotated[
        bool, typer.Option("--ttt", help="Train on the file while it is coded (test-time training).")
    ] = False,
    settings: EvalOverrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress any file with an artifact.

    Text like the training text becomes small; any other bytes come back too.
    """
    refuse_settings(settings, ttt)
    with command_output(json, quiet) as output:
        check_writable(out)
        raw = file.read_bytes()

        from regrow.predict.adaptive.predictor import adaptation_of
        from regrow.predict.codec import compress, load

        loaded = load(artifact)
        adaptation = adaptation_of(loaded.config, settings or ()) if ttt else None
        stream = compress(loaded, raw, output.progress, adaptation=adaptation)
        atomic_write_bytes(out, stream)
        bpb = 8 * len(stream) / len(raw) if raw else None
        output.result({"out": out, "raw_bytes": len(raw), "stream_bytes": len(stream), "bpb": bpb})
        ratio = "" if bpb is None else f", {bpb:.4f} bits per byte"
        output.line(f"{out}: {len(raw):,} bytes became {len(stream):,}{ratio}")
