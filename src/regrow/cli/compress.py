"""`regrow compress`: the artifact as a codec, for any bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, Cache, EvalOverrides, Json, Quiet, array_cache, refuse_settings
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
    cache: Cache = True,
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

        from regrow.predict.adaptive.settings import adaptive_settings
        from regrow.predict.codec import Codec

        codec = Codec.load(artifact, cache=array_cache(cache), notice=output.progress.log)
        adapt = adaptive_settings(codec.config, settings or True) if ttt else None
        stream = codec.encode(raw, output.progress, settings=adapt).stream
        atomic_write_bytes(out, stream)
        bpb = 8 * len(stream) / len(raw) if raw else None
        output.result({"out": out, "raw_bytes": len(raw), "stream_bytes": len(stream), "bpb": bpb})
        ratio = "" if bpb is None else f", {bpb:.4f} bits per byte"
        output.line(f"{out}: {len(raw):,} bytes became {len(stream):,}{ratio}")
